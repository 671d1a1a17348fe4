"""ONNX files in ONNX Runtime: a function of one batch, and which of its products are of integers."""

import collections
import os
import tempfile
from pathlib import Path

import numpy as np
import onnx

from ...errors import UserError
from ...machine import instructions
from .bert import INPUTS

LOGITS = "logits"
PROVIDERS = ["CPUExecutionProvider"]
ERRORS_ONLY = 3
# Multiply bytes and sum in 32 bits at once; what is older sums pairs in 16 bits, which can overflow.
BYTE_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
# Products as ONNX Runtime has them after its rewriting, by what they multiply.
INTEGER_PRODUCTS = (
    "MatMulIntegerToFloat",
    "MatMulInteger",
    "QLinearMatMul",
    "QGemm",
    "DynamicQuantizeMatMul",
)
FLOAT_PRODUCTS = ("MatMul", "FusedMatMul", "Gemm", "FusedGemm")


class OnnxModel:
    """A model file in ONNX Runtime's CPU provider.

    `threads` for one operator, 0: as many as there are cores. `outputs` is C, None where the file leaves it
    open. Raises UserError for a file that is no model, or one of other inputs and outputs.
    Call: input_ids, token_type_ids, attention_mask [B, S] integers -> logits [B, C] float32.
    """

    def __init__(self, path, threads=0):
        if not Path(path).is_file():
            raise UserError(f"{path} does not exist; export the model again")
        self.session = open_session(Path(path), threads)
        inputs = {value.name: value.type for value in self.session.get_inputs()}
        outputs = {value.name: value.shape for value in self.session.get_outputs()}
        if inputs != dict.fromkeys(INPUTS, "tensor(int64)") or LOGITS not in outputs:
            raise UserError(
                f"{path} takes {', '.join(inputs)} and gives {', '.join(outputs)}, not "
                f"{', '.join(INPUTS)} (int64) and {LOGITS}; export it with src.tools.export"
            )
        width = outputs[LOGITS][-1]
        self.outputs = width if isinstance(width, int) else None

    def __call__(self, *columns):
        return self.session.run([LOGITS], feed(columns))[0]


def feed(columns):
    """input_ids, token_type_ids, attention_mask [B, S] as a session takes them."""
    return {name: np.asarray(column, np.int64) for name, column in zip(INPUTS, columns, strict=True)}


def open_session(model, threads=0, optimized=None):
    """An InferenceSession of a file's Path, or of the bytes of a file.

    `optimized` is a file for the graph as the runtime rewrites it.
    """
    onnxruntime = _load_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, ERRORS_ONLY
    if not BYTE_PRODUCTS & set(instructions()):
        options.add_session_config_entry("session.x64quantprecision", "1")
    if optimized:
        options.optimized_model_filepath = str(optimized)
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=PROVIDERS
        )
    except Exception as error:  # the runtime's own classes have no other base
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{model}: ONNX Runtime cannot read it ({reason}); export the model again") from None


def _load_runtime():
    # Since 1.29 ONNX Runtime sends names and hashes of the models that it opens to Microsoft; it reads this
    # variable when it is imported. Who wants that sets it to 0.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def count_products(path):
    """(products of integers, products of floats) in the graph that ONNX Runtime really runs."""
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        open_session(Path(path), threads=1, optimized=optimized)
        kinds = collections.Counter(node.op_type for node in onnx.load(optimized).graph.node)
    return tuple(sum(kinds[name] for name in names) for names in (INTEGER_PRODUCTS, FLOAT_PRODUCTS))
