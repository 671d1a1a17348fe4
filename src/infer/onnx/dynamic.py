"""Dynamic quantization: integer weights, and inputs whose ranges are computed from each batch at run time.

Weights are symmetric int8 with a scale for each output channel. Inputs are ONNX's DynamicQuantizeLinear:

    scale = (max(x, 0) - min(x, 0)) / 255,   zero = round(-min(x, 0) / scale),   q = round(x / scale) + zero

over all values of the tensor, so the logits of a text depend on its batch. The pattern DynamicQuantizeLinear,
MatMulInteger, Cast, Mul is the one that onnxruntime.quantization.quantize_dynamic writes and that runtimes
fuse; that function leaves the position table in float and cannot leave out single tensors of an embedding.
"""

from functools import partial

from onnx import helper

from ...config.quantization import Quantization
from .bert import Arrays, FloatLayers, Graph, LayerFactory
from .int8 import Int8Layers


class DynamicLayers(Int8Layers):
    """FloatLayers with integer weights and embeddings; `arrays` are those of a float model.

    With `simulated` the products are of floats that have the values of the integers, as a reference.
    """

    def __init__(
        self, graph: Graph, arrays: Arrays, quantization: Quantization, simulated: bool = False
    ) -> None:
        super().__init__(graph, arrays, quantization, simulated)
        self.ranged: dict[str, tuple[str, str, str]] = {}

    def matmul(self, x: str, name: str) -> str:
        if not self.quantization.quantizes(name):
            return FloatLayers.matmul(self, x, name)
        graph, (integers, scale, zero) = self.graph, self._ranged(x)
        if self.simulated:
            floats = graph.add("DequantizeLinear", integers, scale, zero, name=f"{name}.input.float")
            return graph.add("MatMul", floats, self._weight(name), name=f"{name}.product")
        weight, weight_scale = self.weight_integers(name)
        constant = graph.constant(f"{name}.weight", weight.T)
        product = graph.add("MatMulInteger", integers, constant, zero, name=f"{name}.integers")
        product = graph.add("Cast", product, name=f"{name}.cast", to=1)
        step = graph.constant(f"{name}.weight.step", weight_scale[:, 0])
        step = graph.add("Mul", scale, step, name=f"{name}.step")
        return graph.add("Mul", product, step, name=f"{name}.product")

    def _ranged(self, x: str) -> tuple[str, str, str]:
        """(integers, scale, zero point) of x, once for all layers that share it."""
        if x not in self.ranged:
            names = (f"{x}.bytes", f"{x}.scale", f"{x}.zero")
            self.graph.nodes.append(helper.make_node("DynamicQuantizeLinear", [x], names, name=names[0]))
            self.ranged[x] = names
        return self.ranged[x]


def dynamic_layers(quantization: Quantization, simulated: bool = False) -> LayerFactory:
    """The layer constructor for `bert_graph`."""
    return partial(DynamicLayers, quantization=quantization, simulated=simulated)
