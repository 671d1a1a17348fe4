"""Lines of one text, or of two separated by a tab."""

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator

from ...errors import UserError
from .tabular import BadRow


def read_pairs(lines: Iterable[bytes], source: object) -> Iterator[tuple[str, str | None] | None]:
    """Yield (text_a, text_b or None) for each line of a binary file, None for a blank line.

    Raises UserError that names `source` and the line for invalid UTF-8 and for a third column.
    """
    for number, line in enumerate(lines, 1):
        try:
            text = line.removeprefix(BOM_UTF8 if number == 1 else b"").decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{source}, line {number}: byte {error.start + 1} is not UTF-8; save it as UTF-8"
            ) from None
        try:
            yield split_line(text) if text.strip() else None
        except BadRow as error:
            raise UserError(f"{source}, line {number}: {error}") from None


def split_line(line: str) -> tuple[str, str | None]:
    """(text_a, text_b or None) of a line. Raises BadRow for a third column."""
    first, *others = line.split("\t")
    if len(others) > 1:
        raise BadRow(f"{len(others) + 1} columns; give one text per line, or two separated by a tab")
    return first, others[0] if others else None
