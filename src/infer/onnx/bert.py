"""A BERT classifier as an ONNX graph, written directly from its weights.

MindSpore's own ONNX export supports neither Erf nor dynamic lengths. Here both axes of the batch are dynamic,
and GELU is exact where the config says so. In a classifier of whole texts the last layer is computed for
[CLS] only, since no other token reaches the logits. Shape letters: B batch, S length, Q queries (S, or 1 in
that last layer), H hidden, N heads, D head width, C labels.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

from ...commands import command_line
from ...config.bert_config import ATTENTION_MASK_VALUE, BertConfig
from ...errors import UserError
from .session import INPUTS, LOGITS

OPSET = 17  # the first with LayerNormalization
IR_VERSION = 8  # of opset 17
PRODUCER = "bert-compression"
OPERATORS = {"tanh": "Tanh", "relu": "Relu"}  # activations of a single operator

Arrays = Mapping[str, np.ndarray]


class Graph:
    """An ONNX graph under construction: nodes in topological order; values are referred to by name.

    A constant is stored once per name: a second constant of the same name returns the first.
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.outputs: list[ValueInfoProto] = []

    def add(self, op: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Append a node with a single output; returns the name that node and output share."""
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, array: np.ndarray) -> str:
        """Store an array as an initializer; returns its name."""
        self.constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, value: float) -> str:
        """A float32 scalar."""
        return self.constant(f"number {value:g}", np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """An int64 vector, for shapes and axes."""
        return self.constant(f"integers {values}", np.array(values, np.int64))

    def output(self, name: str, shape: Sequence[int | str]) -> None:
        """Declare a float32 value as an output of the graph."""
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def model(self, inputs: Mapping[str, Sequence[int | str]], name: str) -> ModelProto:
        """The checked ModelProto.

        Parameters: `inputs` {name: shape} of int64 inputs, with a string for each dynamic dimension.
        """
        values = [helper.make_tensor_value_info(n, TensorProto.INT64, shape) for n, shape in inputs.items()]
        graph = helper.make_graph(self.nodes, name, values, self.outputs, list(self.constants.values()))
        model = helper.make_model(
            graph,
            producer_name=PRODUCER,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        checker.check_model(model, full_check=True)
        return model


class FloatLayers:
    """Dense and embedding layers of a graph in float32; `arrays` {Hugging Face name: array}."""

    def __init__(self, graph: Graph, arrays: Arrays) -> None:
        self.graph, self.arrays = graph, arrays

    def dense(self, x: str, *names: str) -> list[str]:
        """x [..., H] -> x W^T + b for each of the layers `names`, which share their input."""
        return [self._add_bias(self.matmul(x, name), name) for name in names]

    def matmul(self, x: str, name: str) -> str:
        """x [..., H] -> x W^T."""
        weight = self.graph.constant(f"{name}.weight", self.arrays[f"{name}.weight"].T)
        return self.graph.add("MatMul", x, weight, name=f"{name}.product")

    def embedding(self, name: str, op: str, *inputs: str) -> str:
        """Rows of the table `name`, selected by the operator `op` (Gather by ids, or Slice)."""
        table = self.graph.constant(f"{name}.weight", self.arrays[f"{name}.weight"])
        return self.graph.add(op, table, *inputs, name=name)

    def bias(self, name: str) -> np.ndarray:
        """[O]"""
        return self.arrays[f"{name}.bias"]

    def _add_bias(self, product: str, name: str) -> str:
        bias = self.graph.constant(f"{name}.bias", self.bias(name))
        return self.graph.add("Add", product, bias, name=name)


LayerFactory = Callable[[Graph, Arrays], FloatLayers]


def bert_graph(config: BertConfig, arrays: Arrays, make_layers: LayerFactory = FloatLayers) -> Graph:
    """The Graph of a BertConfig's classifier: token ids to `logits` [B, C], or [B, S, C] per token.

    Parameters: `arrays` {Hugging Face name: float32 array}; `make_layers` a constructor like FloatLayers.
    Raises UserError for relative positions and for a model without a head.
    """
    if config.use_relative_positions:
        raise UserError(
            "use_relative_positions is not supported in ONNX; export the model with --format mindir"
        )
    if "classifier.weight" not in arrays:
        raise UserError(f"the model has no head; fine-tune it first with {command_line('finetune')}")
    graph = Graph()
    _BertWriter(config, graph, make_layers(graph, arrays), arrays).classifier()
    return graph


def bert_model(config: BertConfig, arrays: Arrays, make_layers: LayerFactory = FloatLayers) -> ModelProto:
    """`bert_graph` as a checked onnx.ModelProto."""
    graph = bert_graph(config, arrays, make_layers)
    return graph.model({name: ("batch", "length") for name in INPUTS}, "bert_classifier")


class _BertWriter:
    """Adds the operators of one model to a graph; each value is named after the layer that computes it."""

    def __init__(self, config: BertConfig, graph: Graph, layers: FloatLayers, arrays: Arrays) -> None:
        self.config, self.graph, self.layers, self.arrays = config, graph, layers, arrays

    def classifier(self) -> None:
        graph, config = self.graph, self.config
        hidden, mask_bias = self.embeddings(), self.mask_bias()
        for layer in range(config.num_hidden_layers):
            cls_only = layer == config.num_hidden_layers - 1 and not config.by_token
            hidden = self.layer(f"bert.encoder.layer.{layer}", hidden, mask_bias, cls_only)
        if config.by_token:
            if config.head_activation == "relu":
                hidden = graph.add("Relu", hidden, name="hidden.relu")
            (logits,) = self.layers.dense(hidden, "classifier")
            graph.add("Identity", logits, name=LOGITS)
            graph.output(LOGITS, ("batch", "length", config.num_labels))
            return
        # Two-dimensional products would become Gemm, which runtimes do not compute in integers.
        (pooled,) = self.layers.dense(hidden, "bert.pooler.dense")
        pooled = self.activation(pooled, "pooled", config.family.pooler_activation)
        if config.head_activation == "relu":
            pooled = graph.add("Relu", pooled, name="pooled.relu")
        (logits,) = self.layers.dense(pooled, "classifier")
        graph.add("Squeeze", logits, graph.integers(1), name=LOGITS)
        graph.output(LOGITS, ("batch", max(config.num_labels, 1)))

    def embeddings(self) -> str:
        """[B, S, H]"""
        graph, config, prefix = self.graph, self.config, "bert.embeddings."
        length = graph.add("Shape", "input_ids", name="length", start=1, end=2)
        positions = self.layers.embedding(
            f"{prefix}position_embeddings", "Slice", graph.integers(0), length, graph.integers(0)
        )
        summed = self.layers.embedding(f"{prefix}word_embeddings", "Gather", "input_ids")
        if config.type_vocab_size:
            # A single token type applies to every token, whatever its token_type_id.
            ids = "token_type_ids" if config.type_vocab_size > 1 else graph.integers(0)
            types = self.layers.embedding(f"{prefix}token_type_embeddings", "Gather", ids)
            summed = graph.add("Add", summed, types, name=f"{prefix}words_and_types")
        summed = graph.add("Add", summed, positions, name=f"{prefix}sum")
        hidden = self.norm(summed, f"{prefix}LayerNorm")
        if config.embedding_width != config.hidden_size:
            (hidden,) = self.layers.dense(hidden, "bert.embeddings_project")
        return hidden

    def mask_bias(self) -> str:
        """attention_mask [B, S] -> [B, 1, 1, S]: 0 for a real key, ATTENTION_MASK_VALUE for padding."""
        graph = self.graph
        mask = graph.add("Cast", "attention_mask", name="mask", to=1)
        mask = graph.add("Unsqueeze", mask, graph.integers(1, 2), name="mask.expanded")
        padded = graph.add("Sub", graph.number(1.0), mask, name="mask.padded")
        return graph.add("Mul", padded, graph.number(ATTENTION_MASK_VALUE), name="mask.bias")

    def layer(self, prefix: str, hidden: str, mask_bias: str, cls_only: bool) -> str:
        """hidden [B, S, H] -> [B, Q, H]"""
        context, hidden = self.attention(f"{prefix}.attention.self", hidden, mask_bias, cls_only)
        hidden = self.residual(context, hidden, f"{prefix}.attention.output")
        (inner,) = self.layers.dense(hidden, f"{prefix}.intermediate.dense")
        return self.residual(
            self.activation(inner, f"{prefix}.activation", self.config.hidden_act), hidden, f"{prefix}.output"
        )

    def attention(self, prefix: str, hidden: str, mask_bias: str, cls_only: bool) -> tuple[str, str]:
        """hidden [B, S, H] -> context [B, Q, N*D], and hidden [B, Q, H] of the query tokens"""
        graph, names = self.graph, [f"{prefix}.{part}" for part in ("query", "key", "value")]
        queries = hidden
        if cls_only:
            queries = graph.add(
                "Slice", hidden, *map(graph.integers, (0, 1, 1)), name=f"{prefix}.first_token"
            )
            (query,) = self.layers.dense(queries, names[0])
            key, value = self.layers.dense(hidden, *names[1:])
        else:
            query, key, value = self.layers.dense(hidden, *names)
        query, value = self.split(query, (0, 2, 1, 3)), self.split(value, (0, 2, 1, 3))
        key = self.split(key, (0, 2, 3, 1))  # [B, N, D, S]
        scores = graph.add("MatMul", query, key, name=f"{prefix}.product")
        scale = graph.number(1.0 / math.sqrt(self.config.head_size))
        scores = graph.add("Mul", scores, scale, name=f"{prefix}.scores")
        masked = graph.add("Add", scores, mask_bias, name=f"{prefix}.masked")
        probs = graph.add("Softmax", masked, name=f"{prefix}.probs", axis=-1)
        context = graph.add("MatMul", probs, value, name=f"{prefix}.context")
        context = graph.add("Transpose", context, name=f"{prefix}.context.transposed", perm=(0, 2, 1, 3))
        shape = graph.integers(0, 0, self.config.attention_size)
        return graph.add("Reshape", context, shape, name=f"{prefix}.context.merged"), queries

    def split(self, x: str, order: Sequence[int]) -> str:
        """[B, S, N*D] -> [B, S, N, D], then its axes in `order`"""
        shape = self.graph.integers(0, 0, self.config.num_attention_heads, self.config.head_size)
        heads = self.graph.add("Reshape", x, shape, name=f"{x}.heads")
        return self.graph.add("Transpose", heads, name=f"{x}.split", perm=order)

    def residual(self, x: str, hidden: str, prefix: str) -> str:
        """LayerNorm(dense(x) + hidden)"""
        (out,) = self.layers.dense(x, f"{prefix}.dense")
        return self.norm(self.graph.add("Add", out, hidden, name=f"{prefix}.sum"), f"{prefix}.LayerNorm")

    def norm(self, x: str, name: str) -> str:
        weight, bias = (
            self.graph.constant(f"{name}.{part}", self.arrays[f"{name}.{part}"])
            for part in ("weight", "bias")
        )
        return self.graph.add(
            "LayerNormalization", x, weight, bias, name=name, axis=-1, epsilon=self.config.layer_norm_eps
        )

    def activation(self, x: str, name: str, kind: str) -> str:
        """Tanh, ReLU, GELU by tanh, or exact GELU x (1 + erf(x / sqrt 2)) / 2 in a form that runtimes fuse"""
        graph = self.graph
        if kind in OPERATORS:
            return graph.add(OPERATORS[kind], x, name=name)
        if kind == "gelu_new":
            return self.gelu_tanh(x, name)
        scaled = graph.add("Div", x, graph.number(math.sqrt(2.0)), name=f"{name}.scaled")
        erf = graph.add("Erf", scaled, name=f"{name}.erf")
        shifted = graph.add("Add", erf, graph.number(1.0), name=f"{name}.risen")
        product = graph.add("Mul", x, shifted, name=f"{name}.product")
        return graph.add("Mul", product, graph.number(0.5), name=name)

    def gelu_tanh(self, x: str, name: str) -> str:
        """x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2 in the form that runtimes fuse"""
        graph = self.graph
        cube = graph.add("Pow", x, graph.number(3.0), name=f"{name}.cube")
        cube = graph.add("Mul", cube, graph.number(0.044715), name=f"{name}.scaled_cube")
        total = graph.add("Add", x, cube, name=f"{name}.sum")
        scaled = graph.add("Mul", total, graph.number(math.sqrt(2.0 / math.pi)), name=f"{name}.scaled")
        tanh = graph.add("Tanh", scaled, name=f"{name}.tanh")
        shifted = graph.add("Add", tanh, graph.number(1.0), name=f"{name}.risen")
        product = graph.add("Mul", x, shifted, name=f"{name}.product")
        return graph.add("Mul", product, graph.number(0.5), name=name)
