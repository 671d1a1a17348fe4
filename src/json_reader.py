"""Reads JSON files of unknown origin: bounded size, depth and digits, no repeated keys, a stated structure.

A structure describes the expected value:

    int, str, bool, list, dict, None    a value of this type
    float                               a finite number
    Real                                any number; NaN and infinities too, as metrics may be
    object                              anything
    (int, None)                         one of several
    [structure]                         a list of such values
    {str: structure}                    an object with any keys
    {"rows": int, "labels?": [str]}     an object with these keys; a key with a question mark may be absent

Integers fit 64 bits in all of them.
"""

import json
import math
from collections.abc import Iterator
from numbers import Real
from pathlib import Path
from typing import Any, NoReturn

from .digests import check_digest
from .errors import UserError
from .files import check_regular

MAX_BYTES = 1 << 24
MAX_DEPTH = 64
MAX_DIGITS = 400  # of an integer; Python itself raises ValueError from 4,301 on
MAX_INTEGER = 1 << 63
QUOTED = 60  # characters of a value in an error message
NAMES: dict[object, str] = {
    int: "an integer",
    float: "a finite number",
    Real: "a number",
    bool: "true or false",
    str: "a string",
    list: "a list",
    dict: "an object",
    None: "null",
}


class InvalidJson(ValueError):
    """Text that is not JSON or exceeds a limit; the message is the reason, `line` its line if known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def parse_json(text: str) -> Any:
    """Parse JSON. Raises InvalidJson if it is invalid, nested too deeply, or repeats a key of an object."""
    try:
        value = json.loads(text, parse_int=_integer, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise InvalidJson(error.msg, error.lineno) from None
    except RecursionError:
        raise InvalidJson(f"nested more than {MAX_DEPTH} deep") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value):
        raise InvalidJson(f"nested more than {MAX_DEPTH} deep")
    return value


def read_json(path: str | Path, max_bytes: int = MAX_BYTES) -> Any:
    """Parse a JSON file. Raises UserError naming the file, and the line if known, if it is not valid.

    Its digest in SHA256SUMS beside it is checked, where there is one.
    """
    path = Path(path)
    check_regular(path)
    check_digest(path)
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise UserError(f"{path} is longer than {max_bytes:,} bytes, too long for such a file")
        return parse_json(data.decode("utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} cannot be read: byte {error.start + 1} is not UTF-8") from None
    except InvalidJson as error:
        line = f", line {error.line}" if error.line else ""
        raise UserError(f"{path}{line}: not valid JSON ({error})") from None


def read_object(
    path: str | Path, structure: dict[Any, Any], advice: str = "", max_bytes: int = MAX_BYTES
) -> dict[str, Any]:
    """Parse a JSON file that holds an object of a structure (see above).

    Raises UserError naming the file and the key where the file has another structure; `advice` completes the
    sentence.
    """
    value = read_json(path, max_bytes)
    check_structure(value, structure, str(path), advice)
    return value


def read_json_lines(path: str | Path, structure: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    """Parse the lines of a .jsonl file, each an object of a structure. A last line cut by a kill is skipped.

    Raises UserError naming the file, the line and the key for any other line.
    """
    check_regular(path)
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            try:
                value = parse_json(line)
            except InvalidJson as error:
                if not line.endswith("\n"):
                    return
                raise UserError(f"{path}, line {number}: not valid JSON ({error})") from None
            check_structure(value, structure, f"{path}, line {number}")
            yield value


def check_structure(value: object, structure: Any, place: str, advice: str = "") -> None:
    """Raise UserError naming `place` and the key unless `value` has the structure."""
    try:
        _check(value, structure, "")
    except InvalidJson as error:
        raise UserError(f"{place}: {error}{'; ' * bool(advice)}{advice}") from None


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise InvalidJson(f"an integer of {len(text):,} digits")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidJson(f'duplicate key "{repeated}"')
    return values


def _is_deep(value: object) -> bool:
    """Whether containers are nested more than MAX_DEPTH deep, found level by level without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = [each for each in level if isinstance(each, (dict, list))]
        level = [each for parent in containers for each in _children(parent)]
        if not level:
            return False
    return True


def _children(container: dict | list) -> list[Any]:
    values = container.values() if isinstance(container, dict) else container
    return [each for each in values if isinstance(each, (dict, list))]


def _check(value: Any, structure: Any, key: str) -> None:
    """Raise InvalidJson for a value that does not have the structure; `key` is its path in the file."""
    if isinstance(structure, tuple):
        if not any(_fits(value, each) for each in structure):
            _refuse(value, structure, key)
    elif isinstance(structure, list):
        if not isinstance(value, list):
            _refuse(value, (list,), key)
        for number, each in enumerate(value):
            _check(each, structure[0], f"{key}[{number}]")
    elif isinstance(structure, dict):
        if not isinstance(value, dict):
            _refuse(value, (dict,), key)
        _check_keys(value, structure, f"{key}." if key else "")
    elif not _is_a(value, structure):
        _refuse(value, (structure,), key)


def _check_keys(value: dict[str, Any], structure: dict[Any, Any], prefix: str) -> None:
    if str in structure:
        for name, each in value.items():
            _check(each, structure[str], prefix + name)
        return
    for name, each in structure.items():
        key = name.removesuffix("?")
        if key in value:
            _check(value[key], each, prefix + key)
        elif key == name:
            raise InvalidJson(f"the key {prefix}{key} is missing")


def _fits(value: Any, structure: Any) -> bool:
    try:
        _check(value, structure, "")
    except InvalidJson:
        return False
    return True


def _is_a(value: Any, kind: Any) -> bool:
    if kind is None or kind is object:
        return kind is object or value is None
    if type(value) is int:
        return kind in (int, float, Real) and abs(value) < MAX_INTEGER
    if kind is float:
        return type(value) is float and math.isfinite(value)
    return type(value) is (float if kind is Real else kind)


def _refuse(value: Any, structures: tuple[Any, ...], key: str) -> NoReturn:
    names = [NAMES[_kind(each)] for each in structures]
    shown = NAMES[type(value)] if isinstance(value, (list, dict)) else _quoted(value)
    raise InvalidJson(f"{key or 'the content'} must be {' or '.join(names)}, not {shown}")


def _kind(structure: Any) -> object:
    return type(structure) if isinstance(structure, (list, dict)) else structure


def _quoted(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}..."
