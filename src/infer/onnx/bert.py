"""A BERT classifier as an ONNX graph, written from its weights.

The framework's own ONNX export has neither Erf nor a dynamic length. Both axes of the batch are dynamic here,
and GELU is the exact one. Where the logits are those of a row, the last layer is computed for [CLS] alone, as
nothing else of it reaches them. Shape letters: B batch, S length, Q queries (S, or 1 in that last layer), H
hidden, N heads, D head width, C labels.
"""

import math

from ...config.bert_config import ATTENTION_MASK_VALUE
from ...errors import UserError
from .graph import Graph

INPUTS = ("input_ids", "token_type_ids", "attention_mask")


class FloatLayers:
    """Dense layers and embeddings of a graph in float32; `arrays` {Hugging Face name: array}."""

    def __init__(self, graph, arrays):
        self.graph, self.arrays = graph, arrays

    def dense(self, x, *names):
        """x [..., H] -> x W^T + b, one value for each of the layers `names`, which share their input."""
        return [self._biased(self.multiply(x, name), name) for name in names]

    def multiply(self, x, name):
        """x [..., H] -> x W^T."""
        weight = self.graph.constant(f"{name}.weight", self.arrays[f"{name}.weight"].T)
        return self.graph.add("MatMul", x, weight, name=f"{name}.product")

    def embed(self, name, op, *inputs):
        """Rows of the table `name`, taken by the operator `op` (Gather by ids, or Slice)."""
        table = self.graph.constant(f"{name}.weight", self.arrays[f"{name}.weight"])
        return self.graph.add(op, table, *inputs, name=name)

    def _biased(self, product, name):
        bias = self.graph.constant(f"{name}.bias", self.arrays[f"{name}.bias"])
        return self.graph.add("Add", product, bias, name=name)


def bert_graph(config, arrays, make_layers=FloatLayers):
    """The Graph of a BertConfig's classifier: token ids to `logits` [B, C], or [B, S, C] of each token.

    Parameters: `arrays` {Hugging Face name: float32 array}; `make_layers` a constructor as FloatLayers.
    Raises UserError for relative positions and for a model without a head.
    """
    if config.use_relative_positions:
        raise UserError("use_relative_positions has no ONNX form here; export the model with --format mindir")
    if "classifier.weight" not in arrays:
        raise UserError("the model has no head; fine-tune it first with run_finetune.py")
    graph = Graph()
    writer = _Writer(config, graph, make_layers(graph, arrays), arrays)
    writer.classifier()
    return graph


def bert_model(config, arrays, make_layers=FloatLayers):
    """`bert_graph` as a checked onnx.ModelProto."""
    graph = bert_graph(config, arrays, make_layers)
    return graph.model({name: ("batch", "length") for name in INPUTS}, "bert_classifier")


class _Writer:
    """Writes one model; the names of its values are those of the layers that make them."""

    def __init__(self, config, graph, layers, arrays):
        self.config, self.graph, self.layers, self.arrays = config, graph, layers, arrays

    def classifier(self):
        graph, config = self.graph, self.config
        hidden, bias = self.embeddings(), self.mask_bias()
        for layer in range(config.num_hidden_layers):
            last = layer == config.num_hidden_layers - 1 and not config.by_token
            hidden = self.layer(f"bert.encoder.layer.{layer}", hidden, bias, last)
        if config.by_token:
            (logits,) = self.layers.dense(hidden, "classifier")
            graph.add("Identity", logits, name="logits")
            graph.output("logits", ("batch", "length", config.num_labels))
            return
        # Two-dimensional products would become Gemm, which runtimes do not multiply in integers.
        pooled = graph.add("Tanh", *self.layers.dense(hidden, "bert.pooler.dense"), name="pooled")
        if config.head_activation == "relu":
            pooled = graph.add("Relu", pooled, name="pooled.relu")
        (logits,) = self.layers.dense(pooled, "classifier")
        graph.add("Squeeze", logits, graph.integers(1), name="logits")
        graph.output("logits", ("batch", max(config.num_labels, 1)))

    def embeddings(self):
        """[B, S, H]"""
        graph, start = self.graph, "bert.embeddings."
        length = graph.add("Shape", "input_ids", name="length", start=1, end=2)
        places = self.layers.embed(
            f"{start}position_embeddings", "Slice", graph.integers(0), length, graph.integers(0)
        )
        words = self.layers.embed(f"{start}word_embeddings", "Gather", "input_ids")
        kinds = self.layers.embed(f"{start}token_type_embeddings", "Gather", "token_type_ids")
        summed = graph.add("Add", words, kinds, name=f"{start}words_and_types")
        summed = graph.add("Add", summed, places, name=f"{start}sum")
        return self.norm(summed, f"{start}LayerNorm")

    def mask_bias(self):
        """attention_mask [B, S] -> [B, 1, 1, S]: 0 where a key is real, MASKED where it is padding."""
        graph = self.graph
        mask = graph.add("Cast", "attention_mask", name="mask", to=1)
        mask = graph.add("Unsqueeze", mask, graph.integers(1, 2), name="mask.expanded")
        padded = graph.add("Sub", graph.number(1.0), mask, name="mask.padded")
        return graph.add("Mul", padded, graph.number(ATTENTION_MASK_VALUE), name="mask.bias")

    def layer(self, start, hidden, bias, last):
        """hidden [B, S, H] -> [B, Q, H]"""
        context, hidden = self.attention(f"{start}.attention.self", hidden, bias, last)
        hidden = self.residual(context, hidden, f"{start}.attention.output")
        (inner,) = self.layers.dense(hidden, f"{start}.intermediate.dense")
        return self.residual(self.activation(inner, f"{start}.activation"), hidden, f"{start}.output")

    def attention(self, start, hidden, bias, last):
        """hidden [B, S, H] -> context [B, Q, H], and hidden [B, Q, H] of the tokens that it is for"""
        graph, parts = self.graph, [f"{start}.{part}" for part in ("query", "key", "value")]
        if last:
            asking = graph.add("Slice", hidden, *map(graph.integers, (0, 1, 1)), name=f"{start}.first_token")
            query, key, value = *self.layers.dense(asking, parts[0]), *self.layers.dense(hidden, *parts[1:])
        else:
            asking = hidden
            query, key, value = self.layers.dense(hidden, *parts)
        query, value = self.split(query, (0, 2, 1, 3)), self.split(value, (0, 2, 1, 3))
        key = self.split(key, (0, 2, 3, 1))  # [B, N, D, S]
        scores = graph.add("MatMul", query, key, name=f"{start}.product")
        scale = graph.number(1.0 / math.sqrt(self.config.head_size))
        scores = graph.add("Mul", scores, scale, name=f"{start}.scores")
        masked = graph.add("Add", scores, bias, name=f"{start}.masked")
        probs = graph.add("Softmax", masked, name=f"{start}.probs", axis=-1)
        context = graph.add("MatMul", probs, value, name=f"{start}.context")
        context = graph.add("Transpose", context, name=f"{start}.context.transposed", perm=(0, 2, 1, 3))
        shape = graph.integers(0, 0, self.config.hidden_size)
        return graph.add("Reshape", context, shape, name=f"{start}.context.merged"), asking

    def split(self, x, order):
        """[B, S, H] -> [B, S, N, D], its axes then put in `order`"""
        shape = self.graph.integers(0, 0, self.config.num_attention_heads, self.config.head_size)
        heads = self.graph.add("Reshape", x, shape, name=f"{x}.heads")
        return self.graph.add("Transpose", heads, name=f"{x}.split", perm=order)

    def residual(self, x, hidden, start):
        """LayerNorm(dense(x) + hidden)"""
        (out,) = self.layers.dense(x, f"{start}.dense")
        return self.norm(self.graph.add("Add", out, hidden, name=f"{start}.sum"), f"{start}.LayerNorm")

    def norm(self, x, name):
        weight, bias = (
            self.graph.constant(f"{name}.{part}", self.arrays[f"{name}.{part}"])
            for part in ("weight", "bias")
        )
        return self.graph.add(
            "LayerNormalization", x, weight, bias, name=name, axis=-1, epsilon=self.config.layer_norm_eps
        )

    def activation(self, x, name):
        """ReLU, or the exact GELU x * (1 + erf(x / sqrt 2)) / 2 in the form that runtimes fuse"""
        graph = self.graph
        if self.config.hidden_act == "relu":
            return graph.add("Relu", x, name=name)
        scaled = graph.add("Div", x, graph.number(math.sqrt(2.0)), name=f"{name}.scaled")
        risen = graph.add(
            "Add", graph.add("Erf", scaled, name=f"{name}.erf"), graph.number(1.0), name=f"{name}.risen"
        )
        product = graph.add("Mul", x, risen, name=f"{name}.product")
        return graph.add("Mul", product, graph.number(0.5), name=name)
