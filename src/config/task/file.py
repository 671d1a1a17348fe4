"""Task files: YAML or JSON of one level, every value as text, as on a command line."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import yaml

from ...errors import UserError, did_you_mean

PATHS = ("train_file", "dev_file", "test_file")


class TaskFile(NamedTuple):
    """What a task file says: `values` {key: value of its field's type}, and the line of each key."""

    path: str
    values: dict
    lines: dict

    def place(self, key, is_flag):
        """Where a key was given, or where it is missed, in words."""
        if is_flag or not self.path:
            return "command line"
        return f"{self.path}, line {self.lines[key]}" if key in self.lines else self.path


def read_task_file(path, fields):
    """Read a task file whose keys are the dataclass fields `fields` {name: field}.

    Paths in it start from its own folder. Raises UserError with file and line for what is no YAML (or JSON),
    an unknown or repeated key, and a value that is not of its field's kind.
    """
    read = {".json": _json_entries, ".yaml": _yaml_entries, ".yml": _yaml_entries}.get(Path(path).suffix)
    if read is None:
        raise UserError(f"task_file {path} should end with .yaml or .json")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"task_file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"task_file {path} is not UTF-8 (byte {error.start + 1})") from None
    values, lines = {}, {}
    for key, raw, line in read(text, path):
        place = f"{path}, line {line}"
        if key in values:
            raise UserError(f"{place}: the key {key} is there twice, first in line {lines[key]}")
        if key not in fields:
            raise UserError(f'{place}: unknown key "{key}"{did_you_mean(key, fields)}')
        value = _value(fields[key], raw, f"{place}: {key}")
        values[key] = str(Path(path).parent / value) if key in PATHS and value else value
        lines[key] = line
    return TaskFile(str(path), values, lines)


def _yaml_entries(text, path):
    """Triples (key, text or list of texts, line) of the nodes themselves: no tag is ever acted upon.

    So the labels yes, no and 1.0 stay the words that they are.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        # The reader, which refuses characters, knows a position alone, and says it in several lines.
        mark, position = getattr(error, "problem_mark", None), getattr(error, "position", 0)
        line = mark.line if mark else text.count("\n", 0, position)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}, line {line + 1}: not valid YAML ({problem})") from None
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path} is no task file: lines `key: value` belong there")
    return [(str(key.value), _yaml_value(value), key.start_mark.line + 1) for key, value in root.value]


def _yaml_value(node):
    if isinstance(node, yaml.SequenceNode):
        return [item.value if isinstance(item, yaml.ScalarNode) else None for item in node.value]
    if isinstance(node, yaml.ScalarNode):
        return "" if node.tag.endswith(":null") else node.value
    return None


def _json_entries(text, path):
    """As `_yaml_entries`."""
    try:
        root = json.loads(text, object_pairs_hook=_Pairs, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not valid JSON ({error.msg})") from None
    if not isinstance(root, _Pairs):
        raise UserError(f'{path} is no task file: an object {{"key": value}} belongs there')
    lines = text.splitlines()
    return [(key, "" if value is None else value, _line_of(key, lines)) for key, value in root]


class _Pairs(list):
    """A JSON object as it is written, a repeated key too."""


def _line_of(key, lines):
    written = re.compile(rf"{re.escape(json.dumps(key))}\s*:")
    return next((number for number, line in enumerate(lines, 1) if written.search(line)), 1)


def _value(field, raw, place):
    kind, choices, check = type(field.default), field.metadata["choices"], field.metadata["check"]
    parts = raw if isinstance(raw, list) and not isinstance(raw, _Pairs) else [raw]
    if not all(isinstance(part, str) for part in parts) or (isinstance(raw, list) and kind is not tuple):
        listed = ", or a list of texts" if kind is tuple else ""
        raise UserError(f"{place} has to be text or a number{listed}; put quotes around true, false and null")
    if kind is tuple:
        return tuple(parts) if raw else ()
    try:
        value = kind(raw)
    except ValueError:
        raise UserError(f'{place} "{raw}" is not {"a whole number" if kind is int else "a number"}') from None
    if check and not check[1](value):
        raise UserError(f"{place} {value} has to be {check[0]}")
    if choices and value not in choices:
        raise UserError(f"{place} {value} is not one of {', '.join(choices)}{did_you_mean(value, choices)}")
    return value
