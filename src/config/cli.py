"""The command line of every stage and tool, made from its config class.

A value comes from the command line, else from the config module (`settings`), else from the task's recipe,
else from the default in the config class; where each one came from is kept and can be printed.
"""

import argparse
import dataclasses
import math
import shutil

from ..commands import complete
from ..errors import UserError, did_you_mean
from .fields import BOOLEAN

ORIGINS = ("command line", "config module", "recipe", "default")
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", tuple: "a list"}


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A config instance and, for each of its fields, which of `ORIGINS` gave the value."""

    config: object
    origins: dict

    def table(self):
        """The resolved values as lines `name  value  (origin)`."""
        names = [field.name for field in dataclasses.fields(self.config)]
        width = max(map(len, names))
        return "\n".join(
            f"  {name:<{width}}  {getattr(self.config, name)!s:<12} ({self.origins[name]})" for name in names
        )


def parse(config_class, argv=None, settings=None, recipe=None, prog=None):
    """Resolve a config class against the command line.

    Parameters: `settings` the user's own values from a config module; `recipe` a function from the values
    known so far to the recipe's values (it may look at the task name).
    Raises UserError for an unknown flag or key, a bad value or a required flag that is missing.
    """
    parser = _parser(config_class, prog)
    complete(parser, {field.name: _suggested(field) for field in dataclasses.fields(config_class)})
    given = vars(parser.parse_args(argv))
    settings = dict(settings or {})
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    _refuse_unknown(settings, fields, "config module")
    recipe_values = {
        k: v for k, v in (recipe({**settings, **given}) if recipe else {}).items() if k in fields
    }
    values, origins = {}, {}
    for name, field in fields.items():
        for origin, source in zip(ORIGINS, (given, settings, recipe_values), strict=False):
            if name in source:
                values[name], origins[name] = source[name], origin
                break
        else:
            values[name], origins[name] = field.default, "default"
        values[name] = _checked(name, values[name], field, origins[name])
    return Resolved(config_class(**values), origins)


def _refuse_unknown(settings, fields, where):
    for name in settings:
        if name not in fields:
            raise UserError(f'unknown key "{name}" in the {where}{did_you_mean(name, fields)}')


def _checked(name, value, field, origin):
    """The value in its field's type: a config module may say 1 for 1.0, and a list for a tuple."""
    choices, check = field.metadata.get("choices"), field.metadata.get("check")
    if field.metadata.get("required") and not value:  # "" is what an unset variable of a shell gives
        raise UserError(f"--{name} is required: {field.metadata['help']}")
    kind = _kind(field)
    if (type(value), kind) in ((int, float), (list, tuple)):
        value = kind(value)
    if type(value) is not kind:
        raise UserError(f"--{name} {value!r} ({origin}) has to be {KINDS[kind]}")
    if check and not check[1](value):
        raise UserError(f"--{name} {value} ({origin}) has to be {check[0]}")
    if kind is float and not math.isfinite(value):
        raise UserError(f"--{name} {value} ({origin}) has to be a finite number")
    if choices and value not in choices:
        listed = ", ".join(map(str, choices))
        raise UserError(f"--{name} {value} ({origin}) is not one of {listed}{did_you_mean(value, choices)}")
    return value


def _suggested(field):
    """The values that tab completion offers for a flag; None for those of another kind."""
    return field.metadata.get("choices") or (("true", "false") if _kind(field) is bool else None)


def _kind(field):
    return str if field.metadata.get("required") else type(field.default)


class _Parser(argparse.ArgumentParser):
    """argparse whose complaints are UserErrors with the nearest flag."""

    def error(self, message):
        raise UserError(f"{message} (--help lists the flags)")

    def parse_args(self, args=None, namespace=None):
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flag = unknown[0].split("=")[0]
            raise UserError(
                f"unknown flag {flag}{did_you_mean(flag, self._option_string_actions)} "
                "(--help lists the flags)"
            )
        return known


def _parser(config_class, prog):
    description = (config_class.__doc__ or "").strip()
    width = max(80, shutil.get_terminal_size().columns - 2)
    parser = _Parser(
        prog=prog,
        description=description,
        allow_abbrev=False,
        add_help=True,
        argument_default=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=width),
    )
    for field in dataclasses.fields(config_class):
        _add_flag(parser, field)
    return parser


def _add_flag(parser, field):
    meta = field.metadata
    flags = [f"--{field.name}"] + ([f"--{meta['alias']}"] if meta.get("alias") else [])
    kind = _kind(field)
    shown = "required" if meta.get("required") else f"default: {_show(field.default)}"
    choices = f" [{' | '.join(map(str, meta['choices']))}]" if meta.get("choices") else ""
    text = f"{meta['help']}{choices} ({shown})".replace("%", "%%")
    if kind is bool:
        parser.add_argument(
            *flags, dest=field.name, nargs="?", const=True, type=_boolean, help=text, metavar="true|false"
        )
    elif kind is tuple:
        parser.add_argument(*flags, dest=field.name, nargs="+", help=text, metavar="TEXT")
    else:
        parser.add_argument(
            *flags,
            dest=field.name,
            type=_reader(kind, meta.get("choices")),
            help=text,
            metavar=kind.__name__.upper(),
        )


def _show(value):
    if isinstance(value, bool):
        return str(value).lower()
    return {"": '""', (): "none"}.get(value, value)


def _boolean(text):
    if text.lower() not in BOOLEAN:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return BOOLEAN[text.lower()]


def _reader(kind, choices):
    def read(text):
        if choices:
            # Choices are matched without regard to case: the model zoo's scripts write both "CPU" and "cpu".
            return {str(c).lower(): c for c in choices}.get(text.lower(), text)
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {KINDS[kind]}") from None

    return read
