"""The command line of every stage and tool, generated from its config class.

A value comes from the command line, else from a config file of the model zoo, else from the config module
(`settings`), else from the task's recipe, else from the default in the config class; the origin of each value
is recorded.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from ..commands import complete
from ..errors import TRACEBACK, UserError, did_you_mean
from ..files import relative_paths
from .bert_config import BertConfig
from .fields import AUTO, BOOLEAN, GROUPS, TYPE_NAMES, check_value, field_type, takes_auto
from .migration.foreign_flags import foreign_flag
from .migration.zoo_config import ZooConfig, read_zoo_config, student_values
from .student_config import STUDENT_STARTS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Config = TypeVar("Config", bound=DataclassInstance)
else:
    Config = TypeVar("Config")

Field = dataclasses.Field[Any]

ORIGINS = ("command line", "config file", "config module", "recipe", "default")
PATHS = {"_dir": "DIR", "_path": "DIR", "_file": "FILE"}  # suffix of a field's name -> metavar
NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclasses.dataclass(frozen=True)
class Resolved(Generic[Config]):
    """A config instance and, for each of its fields, which of `ORIGINS` gave the value.

    `networks` {"teacher", "student": BertConfig} describe the .ckpt files that have no config of their own.
    """

    config: Config
    origins: dict[str, str]
    networks: Mapping[str, BertConfig] = dataclasses.field(default_factory=dict)

    def table(self, verbose: bool = False) -> str:
        """Lines `name  value  (origin)` of the values that differ from the defaults; `verbose`: of all."""
        values = {
            field.name: relative_paths(str(getattr(self.config, field.name)))
            for field in dataclasses.fields(self.config)
            if verbose or getattr(self.config, field.name) != field.default
        }
        width = max(map(len, values), default=0)
        return "\n".join(
            f"  {name:<{width}}  {value:<12} ({self.origins[name]})" for name, value in values.items()
        )


def parse(
    config_class: type[Config],
    argv: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    recipe: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
    prog: str = "",
) -> Resolved[Config]:
    """Resolve a config class against the command line.

    Parameters: `settings` the user's own values from a config module; `recipe` maps the values known so far
    (the task name among them) to the recipe's values; `prog` the command as typed, for --help.
    Raises UserError for an unknown flag or key, an invalid value or a missing required flag.
    """
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    parser = _parser(config_class, prog)
    complete(parser, {name: suggested for name in fields if (suggested := _suggestions(fields[name]))})
    given = _parsed(parser, argv)
    for name in settings or {}:
        if name not in fields:
            raise UserError(f'unknown key "{name}" in the config module{did_you_mean(name, fields)}')
    # Before the recipe, which looks up what the given values name.
    given = {name: _checked(fields[name], value, "command line") for name, value in given.items()}
    settings = {
        name: _checked(fields[name], value, "config module") for name, value in (settings or {}).items()
    }
    zoo = _zoo_config(config_class, fields, {**settings, **given})
    recipe_values = recipe({**settings, **zoo.values, **given}) if recipe else {}
    values, origins = {}, {}
    for name, field in fields.items():
        default = {name: field.default}
        sources = zip(ORIGINS, (given, zoo.values, settings, recipe_values, default), strict=True)
        origin, source = next((origin, source) for origin, source in sources if name in source)
        values[name], origins[name] = _checked(field, source[name], origin), origin
    return Resolved(config_class(**values), origins, zoo.networks)


def _zoo_config(config_class: type, fields: Mapping[str, Field], known: Mapping[str, Any]) -> ZooConfig:
    """The model zoo's config file that `known` {field: value} names; empty without one."""
    if not (path := known.get("config_path")):
        return ZooConfig({}, {})
    zoo = read_zoo_config(path, getattr(config_class, "ZOO_KIND", ""), fields, known.get("task_type", ""))
    values = {**zoo.values, **known}
    starts = ("load_gd_ckpt_path", "load_td1_ckpt_path")
    given = any(map(values.get, starts)) or values.get("student_init", "auto") not in STUDENT_STARTS
    if "student" in zoo.networks and "student_preset" in fields and not given:
        return ZooConfig({**zoo.values, **student_values(zoo.networks["student"], fields)}, zoo.networks)
    return zoo


def _checked(field: Field, value: Any, origin: str) -> Any:
    """The validated value in its field's type; a config module may give 1 for 1.0 and a list for a tuple."""
    if field.metadata.get("required") and not value:  # an unset shell variable gives ""
        raise UserError(f"--{field.name} is required: {field.metadata['help']}")
    kind = field_type(field)
    value = _number(field, value)
    if (type(value), kind) in ((int, float), (list, tuple)):
        value = kind(value)
    check_value(field, value, f"--{field.name}", f" ({origin})")
    return value


def _suggestions(field: Field) -> Sequence[str]:
    """The values that tab completion offers for a flag; none for numbers and paths."""
    return field.metadata.get("choices") or (("true", "false") if field_type(field) is bool else ())


class _Parser(argparse.ArgumentParser):
    """argparse that raises UserErrors, with the nearest flag."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (--help lists the flags)")


def _parsed(parser: _Parser, argv: Sequence[str] | None) -> dict[str, Any]:
    known, unknown = parser.parse_known_args(argv)
    if unknown:
        flag = unknown[0].split("=")[0]
        if answer := foreign_flag(flag, parser._option_string_actions):
            parser.error(answer)
        parser.error(f"unknown flag {flag}{did_you_mean(flag, parser._option_string_actions)}")
    values = vars(known)
    values.pop(TRACEBACK.strip("-"), None)
    return values


def _parser(config_class: type[DataclassInstance], prog: str) -> _Parser:
    width = max(80, shutil.get_terminal_size().columns - 2)
    fields = sorted(dataclasses.fields(config_class), key=lambda field: _order(config_class, field))
    parser = _Parser(
        usage=_usage(prog, fields, width),
        description=(config_class.__doc__ or "").strip(),
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=width),
    )
    headings: dict[str, argparse._ActionsContainer] = {GROUPS[0]: parser}
    for field in fields:
        group = _group(config_class, field)
        if group not in headings:
            headings[group] = parser.add_argument_group(group)
        _add_flag(headings[group], field)
    # Acted on by run_main, before and after the command.
    parser.add_argument(TRACEBACK, action="store_true", help="show the traceback of an error")
    return parser


def _group(config_class: type, field: Field) -> str:
    """The heading of a field in --help: its own, else GROUP of the class that declared it first."""
    declared = [base for base in config_class.__mro__ if field.name in vars(base).get("__annotations__", {})]
    return field.metadata.get("group") or vars(declared[-1]).get("GROUP", GROUPS[0])


def _order(config_class: type, field: Field) -> tuple[int, bool]:
    """Sort key: by heading, and within it the flags of the usage line first."""
    return GROUPS.index(_group(config_class, field)), not field.metadata.get("main")


def _usage(prog: str, fields: Iterable[Field], width: int) -> str:
    flags = [f"--{field.name}{NO_BREAK}{_metavar(field)}" for field in fields if field.metadata.get("main")]
    text = textwrap.fill(
        " ".join([f"usage: {prog}".replace(" ", NO_BREAK), *flags, "[options]"]),
        width,
        subsequent_indent=" " * 11,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return text.replace(NO_BREAK, " ").removeprefix("usage: ").replace("%", "%%")


def _add_flag(parser: argparse._ActionsContainer, field: Field) -> None:
    meta, kind = field.metadata, field_type(field)
    flags = [f"--{name}" for name in (field.name, meta.get("alias")) if name]
    choices = f" [{' | '.join(filter(None, meta['choices']))}]" if meta.get("choices") else ""
    default = " (required)" if meta.get("required") else _default(field)
    more: dict[str, Any] = {"type": _reader(field)}
    if kind is bool:
        more = {"type": _boolean, "nargs": "?", "const": True}
    elif kind is tuple:
        more = {"nargs": "+"}
    elif "true" in (meta.get("choices") or ()):
        more |= {"nargs": "?", "const": "true"}  # OneFlow's scripts write --do_lower_case alone
    parser.add_argument(
        *flags,
        dest=field.name,
        metavar=_metavar(field),
        help=f"{meta['help']}{choices}{default}".replace("%", "%%"),
        **more,
    )


def _metavar(field: Field) -> str:
    kind = field_type(field)
    if kind is str:
        return next((metavar for suffix, metavar in PATHS.items() if field.name.endswith(suffix)), "STR")
    if kind is bool:
        return "true|false"
    return "TEXT" if kind is tuple else kind.__name__.upper()


def _default(field: Field) -> str:
    """The default of a flag as --help shows it; empty for an empty text."""
    value = "auto" if takes_auto(field) and field.default == AUTO else field.default
    if value in ("", ()):  # an empty text speaks for itself, or the help text says what it means
        return ""
    return f" (default: {str(value).lower() if isinstance(value, bool) else value})"


def _boolean(text: str) -> bool:
    if text.lower() not in BOOLEAN:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return BOOLEAN[text.lower()]


def _number(field: Field, value: Any) -> Any:
    """`value`, or AUTO for the word auto where the field takes it."""
    return AUTO if takes_auto(field) and str(value).lower() == "auto" else value


def _reader(field: Field) -> Callable[[str], Any]:
    kind, choices = field_type(field), field.metadata.get("choices")

    def read(text: str) -> Any:
        if choices:
            # Choices ignore case: the model zoo's scripts write both "CPU" and "cpu".
            return {str(choice).lower(): choice for choice in choices}.get(text.lower(), text)
        try:
            return kind(_number(field, text))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {TYPE_NAMES[kind]}") from None

    return read
