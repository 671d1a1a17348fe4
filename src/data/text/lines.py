"""Lines of text for prediction: a text, or two with a tab between them."""

from codecs import BOM_UTF8

from ...errors import UserError


def read_pairs(lines, source):
    """Yield (text_a, text_b or None) for each line of a binary file, None for a line of blanks.

    Raises UserError that names `source` and the line for bytes that are not UTF-8 and for a third column.
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
                f"{source}, line {number}: {len(columns)} columns; a line is one text, or two "
                "with a tab between them"
            )
        yield (columns[0], columns[1] if len(columns) == 2 else None) if text.strip() else None
