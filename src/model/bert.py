"""BERT: teacher, student and quantized model differ in config and layer constructors only.

Shape letters: B batch, S length, E embedding width, H hidden, N heads, L layers, C labels.
"""

import mindspore as ms
from mindspore import Tensor, nn, ops

from ..config.bert_config import ATTENTION_MASK_VALUE, BertConfig
from .attention import SelfAttention
from .layers import FLOAT_LAYERS, Gelu, Layers

POOLER_ACTIVATIONS = {"tanh": ops.Tanh, "relu": ops.ReLU, "gelu": Gelu}

BertOutputs = tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]


class BertEmbeddings(nn.Cell):
    """Sum of word, position and token-type embeddings, normalized.

    A single token type applies to every token, whatever its token_type_id.
    Construct: input_ids, token_type_ids [B, S] int32 -> [B*S, E]; with `position_ids` [S] int32 the tokens of
    each row have these positions, not 0 to S - 1.
    """

    def __init__(self, config: BertConfig, layers: Layers) -> None:
        super().__init__()
        width, self.token_types = config.embedding_width, config.type_vocab_size
        self.word_embeddings = layers.embedding(config.vocab_size, width, config)
        if self.token_types:
            self.token_type_embeddings = layers.embedding(self.token_types, width, config)
        # With relative positions the attention alone encodes the order, as in the model zoo's BERT.
        self.absolute = not config.use_relative_positions
        if self.absolute:
            self.position_embeddings = layers.embedding(config.max_position_embeddings, width, config)
        self.norm = layers.norm(width, config)
        self.dropout = layers.dropout(config.hidden_dropout_prob)

    def construct(
        self, input_ids: Tensor, token_type_ids: Tensor, position_ids: Tensor | None = None
    ) -> Tensor:
        batch, length = input_ids.shape
        summed = self.word_embeddings(input_ids.reshape(-1))
        if self.token_types == 1:
            token_type_ids = ops.zeros_like(token_type_ids)
        if self.token_types:
            summed = summed + self.token_type_embeddings(token_type_ids.reshape(-1))
        if self.absolute:
            if position_ids is None:
                position_ids = ops.arange(0, length, 1).astype(ms.int32)
            positions = self.position_embeddings(position_ids)
            summed = (summed.reshape(batch, length, -1) + positions).reshape(batch * length, -1)
        return self.dropout(self.norm(summed))


class BertLayer(nn.Cell):
    """One encoder layer: attention and feed-forward, each with residual and LayerNorm after it.

    Construct: hidden [B*S, H], mask_bias [B, 1, 1, S], shape (B, S) -> hidden [B*S, H], scores [B, N, S, S].
    With `positions` [P] int32 the operators after the attention run for these rows alone: hidden [P, H].
    `cls_only` computes everything but keys and values for [CLS] alone: hidden [B, H], scores [B, N, 1, S].
    """

    def __init__(self, config: BertConfig, layers: Layers) -> None:
        super().__init__()
        size, inner = config.hidden_size, config.intermediate_size
        self.attention = SelfAttention(config, layers)
        self.attention_output = layers.dense(config.attention_size, size, config)
        self.attention_norm = layers.residual_norm(size, config)
        self.intermediate = layers.dense(size, inner, config)
        self.activation = layers.activations[config.hidden_act]()
        self.output = layers.dense(inner, size, config)
        self.output_norm = layers.residual_norm(size, config)

    def construct(
        self,
        hidden: Tensor,
        mask_bias: Tensor,
        shape: tuple[int, int],
        positions: Tensor | None = None,
        cls_only: bool = False,
    ) -> tuple[Tensor, Tensor]:
        queries = hidden.reshape(*shape, -1)[:, 0] if cls_only else hidden
        # Each bias is added by the operator after its product.
        context, scores = self.attention(queries, hidden, mask_bias, shape[0])
        hidden = queries
        if positions is not None:
            context, hidden = ops.gather(context, positions, 0), ops.gather(hidden, positions, 0)
        return self._after_attention(context, hidden), scores

    def packed(self, queries: Tensor, hidden: Tensor, sequences: Tensor, rows: Tensor) -> Tensor:
        """The layer for queries [P, H], as SelfAttention.packed -> [P, H]."""
        return self._after_attention(self.attention.packed(queries, hidden, sequences, rows), queries)

    def _after_attention(self, context: Tensor, hidden: Tensor) -> Tensor:
        product = self.attention_output.matmul(context)
        hidden = self.attention_norm(product, self.attention_output.bias, hidden)
        inner = self.activation(self.intermediate.matmul(hidden), self.intermediate.bias)
        return self.output_norm(self.output.matmul(inner), self.output.bias, hidden)


class BertModel(nn.Cell):
    """Embeddings, L layers and the pooler (Devlin et al. 2019), or what its family has in their place.

    Construct: input_ids, token_type_ids, attention_mask [B, S] int32
    -> pooled [B, H], or the last hidden state [B*S, H] for a head on each token;
       hidden_states, L+1 tensors [B*S, H], the embedding output first;
       attention_scores, L tensors [B, N, S, S] before mask and softmax.
    With `positions` [P] int32, each b * S + s, the last layer's output is computed for these tokens alone:
    the first output and the last hidden state are [P, H]. With `pooled_only` the last layer is computed for
    [CLS] alone, where there is a pooler, which reads no other token: the last hidden state is [B, H], the
    last scores are [B, N, 1, S].
    """

    def __init__(self, config: BertConfig, layers: Layers = FLOAT_LAYERS) -> None:
        super().__init__()
        self.config = config
        self.embeddings = BertEmbeddings(config, layers)
        self.projects = config.embedding_width != config.hidden_size
        if self.projects:
            self.embeddings_project = layers.dense(config.embedding_width, config.hidden_size, config)
        self.encoder = nn.CellList([BertLayer(config, layers) for _ in range(config.num_hidden_layers)])
        self.num_layers, self.has_pooler = config.num_hidden_layers, not config.by_token
        if self.has_pooler:
            self.pooler = layers.dense(config.hidden_size, config.hidden_size, config)
            self.pooler_activation = POOLER_ACTIVATIONS[config.family.pooler_activation]()

    def construct(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        attention_mask: Tensor,
        positions: Tensor | None = None,
        pooled_only: bool = False,
    ) -> BertOutputs:
        batch, length = input_ids.shape
        mask_bias = (1.0 - attention_mask.astype(ms.float32)).reshape(
            batch, 1, 1, length
        ) * ATTENTION_MASK_VALUE
        hidden = self.embeddings(input_ids, token_type_ids)
        if self.projects:
            hidden = self.embeddings_project(hidden)
        hidden_states: tuple[Tensor, ...] = (hidden,)
        attention_scores: tuple[Tensor, ...] = ()
        cls_only = pooled_only and self.has_pooler
        for i in range(self.num_layers):
            last = i == self.num_layers - 1
            hidden, scores = self.encoder[i](
                hidden, mask_bias, (batch, length), positions if last else None, cls_only and last
            )
            hidden_states = hidden_states + (hidden,)
            attention_scores = attention_scores + (scores,)
        if self.has_pooler and positions is None:
            first = hidden if cls_only else hidden.reshape(batch, length, -1)[:, 0]
            hidden = self.pooler_activation(self.pooler(first))
        return hidden, hidden_states, attention_scores

    @property
    def can_pack(self) -> bool:
        """Whether `packed` can compute: the attention is a fused cell."""
        return self.encoder[0].attention.fused

    def packed(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        sequences: Tensor,
        position_ids: Tensor,
        positions: Tensor,
    ) -> Tensor:
        """The last hidden states [P, H] of the tokens `positions` [P] of sequences without padding between.

        input_ids, token_type_ids, sequences, position_ids [R] int32: sequences one after another, numbered
        from 1 (0: padding at the end); position_ids are those of tokens in their sequence. For inference.
        """
        row = (1, input_ids.shape[0])
        hidden = self.embeddings(input_ids.reshape(row), token_type_ids.reshape(row), position_ids)
        if self.projects:
            hidden = self.embeddings_project(hidden)
        every = ops.arange(0, input_ids.shape[0], 1).astype(ms.int32)
        for i in range(self.num_layers - 1):
            hidden = self.encoder[i].packed(hidden, hidden, sequences, every)
        asked = ops.gather(hidden, positions, 0)
        return self.encoder[self.num_layers - 1].packed(asked, hidden, sequences, positions)

    def relation_states(self, hidden_states: tuple[Tensor, ...], layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B*S, H] of a layer (from 1), given the hidden_states of construct."""
        attention, hidden = self.encoder[layer - 1].attention, hidden_states[layer - 1]
        return attention.query(hidden), attention.key(hidden), attention.value(hidden)


class BertEncoder(nn.Cell):
    """BERT without a head, under the names that it has inside a BertClassifier. Construct: as BertModel."""

    def __init__(self, config: BertConfig, layers: Layers = FLOAT_LAYERS) -> None:
        super().__init__()
        self.bert = BertModel(config, layers)

    def construct(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> BertOutputs:
        return self.bert(input_ids, token_type_ids, attention_mask)


class BertClassifier(nn.Cell):
    """BERT with a classification or regression head.

    Construct: as BertModel -> logits [B, C] (C = 1 for regression), or [B, S, C] of each token;
    hidden_states, attention_scores. `logits_only` is BertModel's `pooled_only`.
    `config.head_activation: relu` puts the original TinyBERT's ReLU before the classifier.
    """

    def __init__(self, config: BertConfig, layers: Layers = FLOAT_LAYERS) -> None:
        super().__init__()
        self.bert = BertModel(config, layers)
        rate = config.classifier_dropout
        self.dropout = layers.dropout(config.hidden_dropout_prob if rate is None else rate)
        self.classifier = layers.classifier(config.hidden_size, config.num_labels, config)
        self.relu_head = config.head_activation == "relu"
        self.by_token = config.by_token

    def construct(
        self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor, logits_only: bool = False
    ) -> BertOutputs:
        top, hidden_states, attention_scores = self.bert(
            input_ids, token_type_ids, attention_mask, pooled_only=logits_only
        )
        if self.relu_head:
            top = ops.relu(top)
        logits = self.classifier(self.dropout(top)).astype(ms.float32)
        if self.by_token:
            logits = logits.reshape(*input_ids.shape, -1)
        return logits, hidden_states, attention_scores
