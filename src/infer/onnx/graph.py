"""An ONNX graph under construction: nodes and initialisers with names a reader can follow."""

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

OPSET = 17  # the first with LayerNormalization; read by every runtime of the last years
IR_VERSION = 8  # that of opset 17
PRODUCER = "bert-compression"


class Graph:
    """Collects nodes in the order of computation; values are known by their names.

    Constants are stored once a name: asking again for the same name gives the same initialiser.
    """

    def __init__(self):
        self.nodes, self.constants, self.outputs = [], {}, []

    def add(self, op, *inputs, name, **attributes):
        """Append one node with a single output and return the name of its value (which is also its own)."""
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name, array):
        """Store an array under `name`; returns the name."""
        self.constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def number(self, value):
        """A float32 scalar."""
        return self.constant(f"number {value:g}", np.float32(value))

    def integers(self, *values):
        """A vector of int64, as shapes and axes are."""
        return self.constant(f"integers {values}", np.array(values, np.int64))

    def output(self, name, shape):
        """Make a value of float32 an output of the graph."""
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def model(self, inputs, name):
        """The finished, checked ModelProto.

        Parameters: `inputs` {name: shape} of int64 inputs, a string for a dimension that may vary.
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
