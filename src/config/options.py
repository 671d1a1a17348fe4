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


def option(default, text, choices=None, alias=None):
    """A dataclass field that is also a command-line flag of the same name.

    `default` is the value used when nobody says otherwise, `text` the sentence shown by --help, `choices`
    the values allowed, `alias` a second name of the flag.
    """
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices, "alias": alias})


def required(text, kind=str, choices=None, alias=None):
    """A field that has no default: the command line has to give it. `kind` is its type."""
    return dataclasses.field(
        default=None,
        metadata={"help": text, "choices": choices, "alias": alias, "required": True, "kind": kind},
    )


def to_dict(config):
    """The config as plain JSON types."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
