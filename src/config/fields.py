"""Config fields: the default, help text, valid values and --help heading of a flag in one place."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UserError, did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
Check = tuple[str, Callable[[Any], bool]]

BOOLEAN = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}
TYPE_NAMES = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a string",
    tuple: "a list",
}
# Headings of --help in their order; "options" holds what a tool alone has.
GROUPS = (
    "options",
    "model",
    "data",
    "optimization",
    "distillation",
    "quantization",
    "checkpoints",
    "hardware",
)

# Valid ranges: the wording of the error message and the predicate, which NaN never satisfies.
POSITIVE: Check = ("above 0", lambda value: value > 0)
NOT_NEGATIVE: Check = ("0 or more", lambda value: value >= 0)
SHARE: Check = ("between 0 and 1", lambda value: 0 <= value <= 1)
SHARE_OR_OWN: Check = ("between 0 and 1, or -1", lambda value: 0 <= value <= 1 or value == -1)
DROPOUT: Check = ("from 0 to below 1, or -1", lambda value: 0 <= value < 1 or value == -1)
ALL_OR_SOME: Check = ("above 0, or -1", lambda value: value > 0 or value == -1)
AUTO = -1  # the number that the word auto stands for
SOME_OR_AUTO: Check = ("above 0, or auto", lambda value: value > 0 or value == AUTO)
ALL_OR_UP_TO: Check = ("0 or more, or -1", lambda value: value >= -1)
GROWING: Check = ("above 1", lambda value: value > 1)
# MindSpore passes the seed to NumPy, which takes 32 bits.
SEED: Check = ("from 0 to 4294967295", lambda value: 0 <= value < 2**32)
# Bounds of the dynamic loss scale: without a ceiling it would grow forever in float32.
LOSS_SCALE: Check = ("from 1 to 16777216", lambda value: 1 <= value <= 2**24)
LOSS_SCALE_OR_OWN: Check = ("from 1 to 16777216, or 0", lambda value: value == 0 or 1 <= value <= 2**24)


def flag(
    default: T,
    text: str,
    choices: Sequence[Any] | None = None,
    alias: str | None = None,
    check: Check | None = None,
    group: str | None = None,
    main: bool = False,
) -> T:
    """A dataclass field that is also a command-line flag of the same name.

    `text` is its --help text, `choices` the allowed values, `alias` a second name of the flag, `check` the
    valid range (POSITIVE ...), `group` its heading in --help (default: GROUP of its class); `main` flags
    appear in the usage line.
    """
    metadata = {
        "help": text,
        "choices": choices,
        "alias": alias,
        "check": check,
        "group": group,
        "main": main,
    }
    return dataclasses.field(default=default, metadata=metadata)


def required_flag(text: str, group: str | None = None, alias: str | None = None) -> Any:
    """A string field without a default, which has to be given on the command line."""
    return dataclasses.field(
        default=None,
        metadata={"help": text, "required": True, "group": group, "main": True, "alias": alias},
    )


def field_type(field: dataclasses.Field[Any]) -> type:
    """The type of a field's values; annotations may be strings."""
    return str if field.metadata.get("required") else type(field.default)


def takes_auto(field: dataclasses.Field[Any]) -> bool:
    """Whether a numeric field takes the word auto, which is read as AUTO."""
    return field.metadata.get("check") is SOME_OR_AUTO


def check_value(field: dataclasses.Field[Any], value: object, name: str, origin: str = "") -> None:
    """Raise UserError if `value` has the wrong type, is out of range or is not one of the choices.

    The message is `<name> <value><origin> must be ...`.
    """
    kind, choices, check = field_type(field), field.metadata.get("choices"), field.metadata.get("check")
    if type(value) is not kind:
        raise UserError(f"{name} {value!r}{origin} must be {TYPE_NAMES[kind]}")
    if check and not check[1](value):
        raise UserError(f"{name} {value}{origin} must be {check[0]}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name} {value}{origin} must be a finite number")
    if choices and value not in choices:
        listed = ", ".join(filter(None, map(str, choices)))  # "" stands for no choice
        raise UserError(f"{name} {value}{origin} is not one of {listed}{did_you_mean(value, choices)}")


def not_default(config: DataclassInstance, names: Iterable[str]) -> list[str]:
    """Those of the fields `names` that differ from their default."""
    defaults = defaults_of(config)
    return [name for name in names if getattr(config, name) != defaults[name]]


def defaults_of(config: DataclassInstance) -> dict[str, Any]:
    """{flag: default} of a config."""
    return {field.name: field.default for field in dataclasses.fields(config)}


def check_same_flags(
    before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any], free: Collection[str]
) -> None:
    """Raise UserError where flags {name: value} outside `free` differ from those of an interrupted run.

    A flag that did not exist then had its default.
    """
    for name, value in now.items():
        then = before.get(name, defaults.get(name))
        if name not in free and _plain(then) != _plain(value):
            raise UserError(
                f"--resume: {name} was {then!r} in the interrupted run and is {value!r} now; resume with the "
                f"flags of that run: {_as_argument(name, then)}"
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value  # JSON has no tuples


def _as_argument(name: str, value: Any) -> str:
    values = value if isinstance(value, (list, tuple)) else [value]
    if not values:
        return f"without --{name}"
    texts = (str(each).lower() if isinstance(each, bool) else str(each) for each in values)
    return shlex.join([f"--{name}", *texts])


def to_dict(config: DataclassInstance) -> dict[str, Any]:
    """The config as plain JSON types."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
