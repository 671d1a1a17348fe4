"""Input lines for prediction: one text, or two separated by a tab."""

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator

from ...errors import UserError


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
        columns = text.split("\t")
        if len(columns) > 2:
            raise UserError(
                f"{source}, line {number}: {len(columns)} columns; give one text per line, or two "
                "separated by a tab"
            )
        yield (columns[0], columns[1] if len(columns) == 2 else None) if text.strip() else None
