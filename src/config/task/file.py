"""Task files: YAML or JSON of one level, every value as text, as on a command line."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ...errors import UserError, did_you_mean, reason_of
from ...files import check_regular, reading, split_paths
from ..fields import TYPE_NAMES, check_value, field_type

Field = dataclasses.Field[Any]

PATHS = ("train_file", "dev_file", "test_file", "unlabelled_file")
MAX_BYTES = 1 << 20
FORMATS = {".json": "JSON", ".yaml": "YAML", ".yml": "YAML"}


class _Loader(yaml.SafeLoader):
    """Refuses aliases, by which a small file can describe a structure without end."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(problem="aliases are not supported", problem_mark=mark)
        return super().compose_node(parent, index)


class TaskFile(NamedTuple):
    """Content of a task file: `values` {key: value of its field's type}, and the line of each key."""

    path: str
    values: dict[str, Any]
    lines: dict[str, int]

    def place(self, key: str, is_flag: bool) -> str:
        """Where a key was given, or should have been, for an error message."""
        if is_flag or not self.path:
            return "command line"
        return f"{self.path}, line {self.lines[key]}" if key in self.lines else self.path


def read_task_file(path: str | Path, fields: Mapping[str, Field]) -> TaskFile:
    """Read a task file whose keys are the dataclass fields `fields` {name: field}.

    Paths in it are relative to its own folder. Raises UserError with file and line for invalid YAML (or
    JSON), an unknown or repeated key, and an invalid value.
    """
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    kind = FORMATS.get(Path(path).suffix)
    if kind is None:
        raise UserError(f"task_file {path} must end with .yaml or .json")
    for key, node in _entries(path, kind):
        name, line = str(key.value), key.start_mark.line + 1
        place = f"{path}, line {line}"
        if name in values:
            raise UserError(f"{place}: duplicate key {name}, first given in line {lines[name]}")
        if name not in fields:
            raise UserError(f'{place}: unknown key "{name}"{did_you_mean(name, fields)}')
        value = _value(fields[name], _texts(node, kind), f"{place}: {name}")
        values[name] = _beside(path, value) if name in PATHS else value
        lines[name] = line
    return TaskFile(str(path), values, lines)


def _beside(path: str | Path, value: Any) -> Any:
    """A path, or several, relative to the folder of the task file."""
    if isinstance(value, tuple):
        folder = Path(path).parent
        lists = ([each] if os.path.exists(folder / each) else split_paths(each) for each in value)
        return tuple(_beside(path, part) for parts in lists for part in parts)
    return str(Path(path).parent / value) if value else value


def _entries(path: str | Path, kind: str) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Pairs (key, value) of the nodes of a task file; JSON is read as YAML."""
    yield from read_documents(path, "task_file", kind, single=True)[0].value


def read_documents(path: str | Path, name: str, kind: str, single: bool = False) -> list[yaml.MappingNode]:
    """The documents of a YAML file as nodes, of which no tag is constructed; each has to be a mapping.

    `name` is the flag that gave the path; `single` refuses a second document. Raises UserError with file and
    line.
    """
    check_regular(path)
    if Path(path).stat().st_size > MAX_BYTES:
        raise UserError(f"{name} {path} is longer than {MAX_BYTES:,} bytes, too long for such a file")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{name} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{name} {path} is not UTF-8 (byte {error.start + 1})") from None
    if kind == "JSON":
        text = text.replace("\t", " ")  # JSON may be indented with tabs and has none within strings
    try:
        with reading(path, kind, "correct it"):
            roots = [yaml.compose(text, _Loader)] if single else [*yaml.compose_all(text, _Loader)]
    except UserError as error:
        raise _invalid(path, kind, text, error.__cause__) or error from None
    mappings = [root for root in roots if isinstance(root, yaml.MappingNode)]
    if not roots or len(mappings) < len(roots):
        what = name.replace("_path", "_file").replace("_", " ")
        raise UserError(f"{path} is not a {what}; it must be a mapping `key: value`")
    return mappings


def _invalid(path: str | Path, kind: str, text: str, cause: BaseException | None) -> UserError | None:
    """The UserError for an exception of the YAML parser, with the line; None for another exception."""
    if not isinstance(cause, (yaml.YAMLError, RecursionError)):
        return None
    # A ReaderError, for an invalid character, has a position only, and a message of several lines.
    mark, position = getattr(cause, "problem_mark", None), getattr(cause, "position", 0)
    line = mark.line if mark else text.count("\n", 0, position)
    problem = getattr(cause, "problem", None) or reason_of(cause)
    return UserError(f"{path}, line {line + 1}: not valid {kind} ({problem})")


def _texts(node: yaml.Node, kind: str) -> str | list[str] | None:
    """The text of a scalar, the texts of a list, or None for anything else; an empty text for null."""
    if isinstance(node, yaml.SequenceNode):
        texts = [text for item in node.value if (text := _text(item, kind)) is not None]
        return texts if len(texts) == len(node.value) else None
    return "" if node.tag.endswith(":null") else _text(node, kind)


def _text(node: yaml.Node, kind: str) -> str | None:
    """The text of a scalar as written: the labels yes, no and 1.0 of YAML stay what they are.

    None for a list, a mapping, and for true, false and null in JSON.
    """
    if not isinstance(node, yaml.ScalarNode) or (kind == "JSON" and node.tag.endswith((":bool", ":null"))):
        return None
    # JSON escapes characters beyond 16 bits as surrogate pairs.
    return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _value(field: Field, raw: str | list[str] | None, place: str) -> Any:
    kind = field_type(field)
    if raw is None or (isinstance(raw, list) and kind is not tuple):
        listed = ", or a list of strings" if kind is tuple else ""
        raise UserError(f"{place} must be a string or a number{listed}; quote true, false and null")
    if isinstance(raw, list):
        return tuple(raw)
    if kind is tuple:
        return (raw,) if raw else ()
    try:
        value = kind(raw)
    except ValueError:
        raise UserError(f'{place} "{raw}" is not {TYPE_NAMES[kind]}') from None
    check_value(field, value, place)
    return value
