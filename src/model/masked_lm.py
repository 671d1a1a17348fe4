"""BERT with the masked language modeling head.

Shape letters: B batch, S length, H hidden, P positions to predict, R tokens, V vocabulary, C words of it.
"""

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Zero, initializer

from ..config.bert_config import BertConfig
from .bert import BertModel
from .layers import FLOAT_LAYERS, Layers


class BertLMPredictionHead(nn.Cell):
    """Dense, activation, LayerNorm, then the product with the word embeddings (Devlin et al. 2019, 3.1).

    The output matrix is the word embedding table, an input; only its bias belongs to the head.
    Construct: hidden [P, H], word_embeddings [V, H], bias [V] (None: the head's) -> logits [P, V] float32.
    """

    def __init__(self, config: BertConfig, layers: Layers) -> None:
        super().__init__()
        size = config.hidden_size
        self.transform = layers.dense(size, size, config)
        self.activation = layers.activations[config.hidden_act]()
        self.norm = layers.norm(size, config)
        self.bias = Parameter(initializer(Zero(), (config.vocab_size,)))
        self.matmul = layers.matmul(config.replace(dtype="float32"))
        self.bias_add = ops.BiasAdd()

    def construct(self, hidden: Tensor, word_embeddings: Tensor, bias: Tensor | None = None) -> Tensor:
        inner = self.norm(self.activation(self.transform.matmul(hidden), self.transform.bias))
        return self.bias_add(self.matmul(inner, word_embeddings), self.bias if bias is None else bias)


class BertMaskedLM(nn.Cell):
    """BERT for masked language modeling, as transformers' BertForMaskedLM.

    Construct: input_ids, token_type_ids, attention_mask [B, S] int32; positions [P] int32, each b * S + s
    -> logits [P, V] float32. The head runs for these positions alone: its product with the vocabulary costs
    as much as a small encoder.
    """

    def __init__(self, config: BertConfig, layers: Layers = FLOAT_LAYERS) -> None:
        super().__init__()
        self.bert = BertModel(config, layers)
        self.predictions = BertLMPredictionHead(config, layers)

    def construct(
        self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor, positions: Tensor
    ) -> Tensor:
        hidden = self.bert(input_ids, token_type_ids, attention_mask, positions)[0]
        return self.predictions(hidden, self.bert.embeddings.word_embeddings.weight)


class WordLogits(nn.Cell):
    """The logits of the words `ids` [C] alone, at one masked token of each of P sequences, for inference.

    Construct: input_ids, token_type_ids, sequences, position_ids [R], positions [P] int32 -> [P, C] float32.
    Where BertModel.packed can compute, the sequences may have any lengths, else they have R / P tokens each,
    with padding.
    """

    def __init__(self, network: BertMaskedLM, ids: np.ndarray) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.can_pack = network, network.bert.can_pack
        embeddings, bias = network.bert.embeddings.word_embeddings.weight, network.predictions.bias
        self.embeddings = Parameter(Tensor(embeddings.asnumpy()[ids]), "embeddings", requires_grad=False)
        self.bias = Parameter(Tensor(bias.asnumpy()[ids]), "bias", requires_grad=False)

    def construct(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        sequences: Tensor,
        position_ids: Tensor,
        positions: Tensor,
    ) -> Tensor:
        bert = self.network.bert
        if self.can_pack:
            hidden = bert.packed(input_ids, token_type_ids, sequences, position_ids, positions)
        else:
            shape = (positions.shape[0], -1)
            mask = ops.minimum(sequences, 1).reshape(shape)
            hidden = bert(input_ids.reshape(shape), token_type_ids.reshape(shape), mask, positions)[0]
        return self.network.predictions(hidden, self.embeddings, self.bias)
