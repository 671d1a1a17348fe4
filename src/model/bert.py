"""The one BERT of this project: teacher, student and quantized model differ in config and constructors only.

Shape letters: B batch, S length, H hidden, N heads, L layers, C labels.
"""

import mindspore as ms
from mindspore import nn, ops

from ..config.bert_config import ATTENTION_MASK_VALUE
from .attention import SelfAttention
from .layers import FLOAT_LAYERS


class BertEmbeddings(nn.Cell):
    """Sum of word, position and token-type vectors, normalised.

    Construct: input_ids, token_type_ids [B, S] int32 -> [B*S, H].
    """

    def __init__(self, config, layers):
        super().__init__()
        self.word_embeddings = layers.embedding(config.vocab_size, config.hidden_size, config)
        self.token_type_embeddings = layers.embedding(config.type_vocab_size, config.hidden_size, config)
        # With relative positions the attention alone tells the order of words, as in the model zoo's BERT.
        self.absolute = not config.use_relative_positions
        if self.absolute:
            self.position_embeddings = layers.embedding(
                config.max_position_embeddings, config.hidden_size, config
            )
        self.norm = layers.norm(config.hidden_size, config)
        self.dropout = layers.dropout(config.hidden_dropout_prob)

    def construct(self, input_ids, token_type_ids):
        batch, length = input_ids.shape
        summed = self.word_embeddings(input_ids.reshape(-1)) + self.token_type_embeddings(
            token_type_ids.reshape(-1)
        )
        if self.absolute:
            places = self.position_embeddings(ops.arange(0, length, 1).astype(ms.int32))
            summed = (summed.reshape(batch, length, -1) + places).reshape(batch * length, -1)
        return self.dropout(self.norm(summed))


class BertLayer(nn.Cell):
    """One encoder layer: attention and feed-forward, each with residual and LayerNorm after it.

    Construct: hidden [B*S, H], mask_bias [B, 1, 1, S], shape (B, S) -> hidden [B*S, H], scores [B, N, S, S].
    With `places` [P] int32 all that follows the attention is computed for these rows alone: hidden [P, H].
    """

    def __init__(self, config, layers):
        super().__init__()
        size, inner = config.hidden_size, config.intermediate_size
        self.attention = SelfAttention(config, layers)
        self.attention_output = layers.dense(size, size, config)
        self.attention_norm = layers.residual_norm(size, config)
        self.intermediate = layers.dense(size, inner, config)
        self.activation = layers.activations[config.hidden_act]()
        self.output = layers.dense(inner, size, config)
        self.output_norm = layers.residual_norm(size, config)

    def construct(self, hidden, mask_bias, shape, places=None):
        # Each bias is left to the operator that follows its product.
        context, scores = self.attention(hidden, mask_bias, shape)
        if places is not None:
            context, hidden = ops.gather(context, places, 0), ops.gather(hidden, places, 0)
        mixed = self.attention_output.matmul(context)
        hidden = self.attention_norm(mixed, self.attention_output.bias, hidden)
        inner = self.activation(self.intermediate.matmul(hidden), self.intermediate.bias)
        return self.output_norm(self.output.matmul(inner), self.output.bias, hidden), scores


class BertModel(nn.Cell):
    """Embeddings, L layers and the pooler (Devlin et al. 2019).

    Construct: input_ids, token_type_ids, attention_mask [B, S] int32
    -> pooled [B, H], or, where the head answers for each token, the last hidden state [B*S, H];
       hidden_states, L+1 tensors [B*S, H], the embedding output first;
       attention_scores, L tensors [B, N, S, S] before mask and softmax.
    With `places` [P] int32, each b * S + s, the end of the last layer is computed for these tokens alone, and
    the first output and the last hidden state are theirs: [P, H].
    """

    def __init__(self, config, layers=FLOAT_LAYERS):
        super().__init__()
        self.config = config
        self.embeddings = BertEmbeddings(config, layers)
        self.encoder = nn.CellList([BertLayer(config, layers) for _ in range(config.num_hidden_layers)])
        self.depth, self.pools = config.num_hidden_layers, not config.by_token
        if self.pools:
            self.pooler = layers.dense(config.hidden_size, config.hidden_size, config)

    def construct(self, input_ids, token_type_ids, attention_mask, places=None):
        batch, length = input_ids.shape
        mask_bias = (1.0 - attention_mask.astype(ms.float32)).reshape(
            batch, 1, 1, length
        ) * ATTENTION_MASK_VALUE
        hidden = self.embeddings(input_ids, token_type_ids)
        hidden_states, attention_scores = (hidden,), ()
        for i in range(self.depth):
            asked = places if i == self.depth - 1 else None
            hidden, scores = self.encoder[i](hidden, mask_bias, (batch, length), asked)
            hidden_states = hidden_states + (hidden,)
            attention_scores = attention_scores + (scores,)
        if self.pools and places is None:
            hidden = ops.tanh(self.pooler(hidden.reshape(batch, length, -1)[:, 0]))
        return hidden, hidden_states, attention_scores


class BertEncoder(nn.Cell):
    """BERT without a head, under the names that it has inside a BertClassifier. Construct: as BertModel."""

    def __init__(self, config, layers=FLOAT_LAYERS):
        super().__init__()
        self.bert = BertModel(config, layers)

    def construct(self, input_ids, token_type_ids, attention_mask):
        return self.bert(input_ids, token_type_ids, attention_mask)


class BertClassifier(nn.Cell):
    """BERT with a classification or regression head.

    Construct: as BertModel -> logits [B, C] (C = 1 for regression), or [B, S, C] of each token;
    hidden_states, attention_scores.
    `config.head_activation: relu` puts the original TinyBERT's ReLU between pooler and classifier.
    """

    def __init__(self, config, layers=FLOAT_LAYERS):
        super().__init__()
        self.bert = BertModel(config, layers)
        own = config.classifier_dropout is not None
        self.dropout = layers.dropout(config.classifier_dropout if own else config.hidden_dropout_prob)
        self.classifier = layers.classifier(config.hidden_size, config.num_labels, config)
        self.relu_head = config.head_activation == "relu"
        self.by_token = config.by_token

    def construct(self, input_ids, token_type_ids, attention_mask):
        top, hidden_states, attention_scores = self.bert(input_ids, token_type_ids, attention_mask)
        if self.relu_head:
            top = ops.relu(top)
        logits = self.classifier(self.dropout(top)).astype(ms.float32)
        if self.by_token:
            logits = logits.reshape(*input_ids.shape, -1)
        return logits, hidden_states, attention_scores
