"""ONNX files in ONNX Runtime: inference on one batch, and which matrix products run in integers."""

import collections
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ... import digests
from ...commands import command_line
from ...errors import UserError
from ...machine import instructions
from ...signals import interruptible
from .metadata import DIGEST, check_digest

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUTS = ("input_ids", "token_type_ids", "attention_mask")
LOGITS = "logits"
PROVIDERS = ["CPUExecutionProvider"]
ERRORS_ONLY = 3  # log severity
# Instructions that accumulate 8-bit products in 32 bits; older ones sum pairs in 16 bits, which can overflow.
INT8_INSTRUCTIONS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
# Matrix products after ONNX Runtime's graph optimization.
INTEGER_MATMULS = (
    "MatMulIntegerToFloat",
    "MatMulInteger",
    "QLinearMatMul",
    "QGemm",
    "DynamicQuantizeMatMul",
)
FLOAT_MATMULS = ("MatMul", "FusedMatMul", "Gemm", "FusedGemm")


class OnnxModel:
    """A model file in ONNX Runtime's CPU provider.

    `threads` per operator, 0: one per core. `outputs` is C, None if the file leaves it open. Raises UserError
    for a file that is not a model, has other inputs and outputs, or other weights than its metadata says.
    Call: input_ids, token_type_ids, attention_mask [B, S] integers -> logits [B, C] float32.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        if not Path(path).is_file():
            raise UserError(f"{path} does not exist; export the model again")
        checked = digests.check_digest(path)
        self.session = open_session(Path(path), threads)
        inputs = {value.name: value.type for value in self.session.get_inputs()}
        outputs = {value.name: value.shape for value in self.session.get_outputs()}
        if inputs != dict.fromkeys(INPUTS, "tensor(int64)") or LOGITS not in outputs:
            raise UserError(
                f"{path} has inputs {', '.join(inputs)} and outputs {', '.join(outputs)} instead of "
                f"{', '.join(INPUTS)} (int64) and {LOGITS}; export it with {command_line('export')}"
            )
        if not checked:  # the file was copied without its folder
            check_digest(Path(path), self.session.get_modelmeta().custom_metadata_map.get(DIGEST))
        width = outputs[LOGITS][-1]
        self.outputs = width if isinstance(width, int) else None

    def __call__(self, *columns: np.ndarray) -> np.ndarray:
        return self.session.run([LOGITS], input_feed(columns))[0]


def input_feed(columns: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """input_ids, token_type_ids, attention_mask [B, S] as the input feed of a session."""
    return {name: np.asarray(column, np.int64) for name, column in zip(INPUTS, columns, strict=True)}


def onnx_predictor(model: bytes, threads: int = 0) -> Callable[..., np.ndarray]:
    """The bytes of a file as a function like OnnxModel; `threads` per operator, 0: one per core."""
    session = open_session(model, threads)
    return lambda *columns: session.run([LOGITS], input_feed(columns))[0]


def open_session(model: Path | bytes, threads: int = 0, optimized: Path | None = None) -> "InferenceSession":
    """An InferenceSession of a file, or of the bytes of a file, with `threads` (0: one per available core).

    `optimized` is where the runtime writes the graph after its optimization.
    """
    onnxruntime = _import_onnxruntime()
    options = onnxruntime.SessionOptions()
    available = len(os.sched_getaffinity(0))
    if available < (os.cpu_count() or 1):  # which the runtime's own default does not respect
        threads = threads or available
    options.intra_op_num_threads, options.log_severity_level = threads, ERRORS_ONLY
    if not INT8_INSTRUCTIONS & set(instructions()):
        options.add_session_config_entry("session.x64quantprecision", "1")
    if optimized:
        options.optimized_model_filepath = str(optimized)
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=PROVIDERS
        )
    except Exception as error:  # the runtime's exceptions have no other base class
        reason = str(error).strip().splitlines()[0]
        name = "the graph" if isinstance(model, bytes) else model
        raise UserError(f"{name}: ONNX Runtime cannot read it ({reason}); export the model again") from None


def _import_onnxruntime() -> ModuleType:
    # Since 1.29 ONNX Runtime sends names and hashes of opened models to Microsoft; it reads this variable on
    # import. Set it to 0 to opt in.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def count_matmuls(path: str | Path) -> tuple[int, int]:
    """(integer, float) matrix products in the optimized graph that ONNX Runtime executes."""
    import onnx

    with interruptible(), tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        open_session(Path(path), threads=1, optimized=optimized)
        counts = collections.Counter(node.op_type for node in onnx.load(optimized).graph.node)
    return sum(counts[op] for op in INTEGER_MATMULS), sum(counts[op] for op in FLOAT_MATMULS)
