"""Markdown tables whose columns also line up in a terminal."""

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Rows of cells as Markdown, the first as header; columns after the first `text_columns` are numeric."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = [
        "-" * width if index < text_columns else "-" * (width - 1) + ":" for index, width in enumerate(widths)
    ]
    return "\n".join(_row(line, widths, text_columns) for line in (lines[0], rule, *lines[1:]))


def _row(line: Sequence[str], widths: Sequence[int], text_columns: int) -> str:
    cells = (
        cell.ljust(width) if index < text_columns else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return f"| {' | '.join(cells)} |"
