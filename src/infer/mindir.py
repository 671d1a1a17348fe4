"""MindSpore's own model file: a graph with its weights, which needs no Python of this project to run."""

import mindspore as ms
from mindspore import nn

from ..errors import UserError
from .predictor import on_arrays

INPUTS = 3  # input_ids, token_type_ids, attention_mask


def write_mindir(file, cell):
    """Write a LogitsCell as `file` (.mindir), for batches of any size and length."""
    cell.set_train(False)
    columns = [ms.Tensor(shape=[None, None], dtype=ms.int32)] * INPUTS
    ms.export(cell, *columns, file_name=str(file), file_format="MINDIR")


class MindirModel:
    """A .mindir file as a function. Raises UserError for a file that is none.

    Call: input_ids, token_type_ids, attention_mask [B, S] int32 -> logits [B, C] float32.
    """

    def __init__(self, file):
        if not file.is_file():
            raise UserError(f"{file} does not exist; export the model again")
        try:
            self.predict = on_arrays(nn.GraphCell(ms.load(str(file))))
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{file} is no MINDIR file ({reason}); export the model again") from None

    def __call__(self, *columns):
        return self.predict(*columns)
