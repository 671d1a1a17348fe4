"""JSON lines of texts with entities by position, as CLUENER2020 has them (Xu et al. 2020).

A line is {"text": "...", "label": {"name": {"叶老桂": [[9, 11]]}}}: of each type the entities as written,
with the first and last character of each occurrence. Each character becomes a word with a BIO tag.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...entities import BEGIN, INSIDE, OUTSIDE
from ...errors import UserError
from ...tasks import TaskSpec
from .conll import Sentence
from .examples import TextFile
from .tabular import HALF_CHARACTER, BadRow, json_objects, note_bad_row


def read_spans(
    path: str | Path, task: TaskSpec, on_bad_row: str = "error", max_rows: int = -1, split: str = "train"
) -> TextFile:
    """Read such a file into a TextFile whose examples are Sentences of characters.

    Files of a "test..." split may lack labels. An entity that overlaps an earlier one is left out and
    recorded as repaired. Raises UserError for a missing file and, with on_bad_row "error", for the first
    malformed row.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; it should hold the {split} sentences of {task.name}")
    text = TextFile(path, [], [], 0, True)
    for number, row in json_objects(path):
        if len(text.examples) == max_rows:
            break
        try:
            if isinstance(row, BadRow):
                raise row
            text.examples.append(_sentence(row, task, number, split, text.repaired))
        except BadRow as error:
            note_bad_row(error, path, number, on_bad_row, text.bad_rows)
    if not text.examples:
        raise UserError(f"{path} holds no usable sentence")
    text.labeled = text.examples[0].tags is not None
    return text


def _sentence(
    row: dict[str, object], task: TaskSpec, number: int, split: str, repaired: list[dict]
) -> Sentence:
    words = row.get("text")
    if not isinstance(words, str) or not words.strip():
        raise BadRow("text is missing, empty or not a string")
    if HALF_CHARACTER.search(words):
        raise BadRow("text contains a lone surrogate")
    if split.startswith("test") and "label" not in row:
        return Sentence(tuple(words), None, number)
    tags = [OUTSIDE] * len(words)
    for kind, entity, start, end in _entities(row.get("label")):
        if not (0 <= start <= end < len(words)) or words[start : end + 1] != entity:
            raise BadRow(f'"{entity[:40]}" is not at characters {start} to {end} of the text')
        if task.labels and BEGIN + kind not in task.labels:
            raise BadRow(f'unknown type "{kind[:40]}" of the entity "{entity[:40]}"')
        if any(tag != OUTSIDE for tag in tags[start : end + 1]):
            reason = f'{kind} "{entity[:40]}" overlaps another entity and is left out'
            repaired.append({"line": number, "reason": reason})
            continue
        tags[start : end + 1] = [BEGIN + kind] + [INSIDE + kind] * (end - start)
    return Sentence(tuple(words), tuple(tags), number)


def _entities(label: object) -> Iterator[tuple[str, str, int, int]]:
    """(type, text, first character, last character) of each entity of a row's label."""
    if not isinstance(label, dict):
        raise BadRow("label is not an object of types")
    for kind, found in label.items():
        for entity, spans in found.items() if isinstance(found, dict) else [("", None)]:
            for span in spans if isinstance(spans, list) else [None]:
                if not isinstance(span, list) or [type(end) for end in span] != [int, int]:
                    raise BadRow(f'the entities of type "{kind[:40]}" are not {{text: [[first, last]]}}')
                yield kind, entity, span[0], span[1]
