"""A table in Markdown whose columns also line up in a terminal."""


def aligned(lines, words=1):
    """Rows of cells as Markdown, the first its header; the first `words` columns are no numbers."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width if place < words else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    return "\n".join(_row(line, widths, words) for line in (lines[0], rule, *lines[1:]))


def _row(line, widths, words):
    cells = (
        cell.ljust(width) if place < words else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return f"| {' | '.join(cells)} |"
