"""MindSpore's own model format: a graph with its weights, which runs without this project's code."""

import shutil
import tempfile
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from ..digests import check_digest
from ..errors import UserError
from ..files import reading
from .predictor import LogitsCell, numpy_function

INPUTS = 3  # input_ids, token_type_ids, attention_mask


def write_mindir(
    file: Path, cell: LogitsCell, file_format: str = "MINDIR", shape: tuple[int, int] | None = None
) -> None:
    """Write a LogitsCell to `file` with dynamic batch size and length, or those of `shape`.

    `file_format` "AIR" is MindSpore's format for Ascend, which needs a shape.
    """
    cell.set_train(False)
    # MindSpore refuses paths with a space or a letter beyond ASCII.
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / f"model.{file_format.lower()}"
        if shape:
            columns = [ms.Tensor(np.zeros(shape, np.int32))] * INPUTS
        else:
            columns = [ms.Tensor(shape=[None, None], dtype=ms.int32)] * INPUTS
        ms.export(cell, *columns, file_name=str(written), file_format=file_format)
        shutil.move(written, file)


class MindirModel:
    """A .mindir file as a function. Raises UserError for a file that MindSpore cannot load.

    Call: input_ids, token_type_ids, attention_mask [B, S] int32 -> logits [B, C] float32.
    """

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise UserError(f"{file} does not exist; export the model again")
        check_digest(file)
        with reading(file, "a MINDIR file", "export the model again"):
            self._predict = numpy_function(nn.GraphCell(ms.load(str(file))))

    def __call__(self, *columns: np.ndarray) -> np.ndarray:
        return self._predict(*columns)
