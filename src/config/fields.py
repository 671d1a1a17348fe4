"""How a config field is declared: its default and its sentence of help stand in one place."""

import dataclasses

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

# What a number has to be: the words of the complaint, and the test (which NaN never passes).
POSITIVE = ("above 0", lambda value: value > 0)
NOT_NEGATIVE = ("0 or more", lambda value: value >= 0)
SHARE = ("between 0 and 1", lambda value: 0 <= value <= 1)
DROPOUT = ("from 0 to below 1, or -1", lambda value: 0 <= value < 1 or value == -1)
ALL_OR_SOME = ("above 0, or -1", lambda value: value > 0 or value == -1)
ALL_OR_UP_TO = ("0 or more, or -1", lambda value: value >= -1)
GROWING = ("above 1", lambda value: value > 1)
# The framework hands it to NumPy, which takes 32 bits.
SEED = ("from 0 to 4294967295", lambda value: 0 <= value < 2**32)
# Where the dynamic loss scale is kept; in float32 nothing overflows, and it would grow without end.
LOSS_SCALE = ("from 1 to 16777216", lambda value: 1 <= value <= 2**24)


def flag(default, text, choices=None, alias=None, check=None):
    """A dataclass field that is also a command-line flag of the same name.

    `default` is the value used when nobody says otherwise, `text` the sentence shown by --help, `choices`
    the values allowed, `alias` a second name of the flag, `check` what a number has to be (POSITIVE ...).
    """
    metadata = {"help": text, "choices": choices, "alias": alias, "check": check}
    return dataclasses.field(default=default, metadata=metadata)


def required_flag(text):
    """A field of text that has no default: the command line has to give it."""
    return dataclasses.field(default=None, metadata={"help": text, "required": True})


def to_dict(config):
    """The config as plain JSON types."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
