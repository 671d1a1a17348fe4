"""Which layer and how many heads the relations of MiniLMv2 have (Wang et al. 2021)."""

import math

from ..errors import UserError

RELATIONS = 3  # of queries, of keys, of values
MAX_HEADS = 48  # as many as the paper gives BERT-base, 16 elements each
DEEP = 12  # layers; of deeper teachers the paper takes a layer below the last


def relation_layer(text: str, teacher_layers: int) -> int:
    """The teacher layer (from 1) that `--relation_layer` names.

    `auto`: the last layer of up to 12, else that at seven eighths, 21 of 24 (section 3.3 of the paper).
    Raises UserError for a layer that the teacher does not have.
    """
    if text == "auto":
        return teacher_layers if teacher_layers <= DEEP else teacher_layers * 7 // 8
    if not text.isdecimal() or not 1 <= int(text) <= teacher_layers:
        raise UserError(
            f"--relation_layer {text} is neither auto nor one of the teacher's layers 1 to {teacher_layers}"
        )
    return int(text)


def relation_heads(heads: int, student_width: int, teacher_width: int) -> int:
    """How many heads the relations get: `heads`, or for 0 the most of up to 48 that divide both widths.

    Raises UserError where `heads` do not divide both.
    """
    common = math.gcd(student_width, teacher_width)
    if not heads:
        return max(count for count in range(1, MAX_HEADS + 1) if common % count == 0)
    if common % heads:
        raise UserError(
            f"--relation_heads {heads} does not divide both the student's width {student_width} and the "
            f"teacher's {teacher_width}; give a divisor of {common}, or 0 for the most of up to {MAX_HEADS}"
        )
    return heads
