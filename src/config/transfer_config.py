"""The flag of transfer learning: a model of another task is where this one begins."""

import dataclasses

from .fields import flag


@dataclasses.dataclass(frozen=True)
class TransferConfig:
    """What becomes of the classifier of a model that was trained on another task."""

    new_head: bool = flag(
        False,
        "a new classifier even where the given model's has labels of the same names; one with others is "
        "replaced in any case",
    )
