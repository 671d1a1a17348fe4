"""JSON lines of texts with entities by position, as CLUENER2020 has them (Xu et al. 2020).

A line is {"text": "...", "label": {"name": {"叶老桂": [[9, 11]]}}}: of each type the entities as written,
with the first and last character of each occurrence. The text is split into words as a Tagger splits it, each
with a BIO tag.
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
from .words import split_words


def read_spans(
    path: str | Path, task: TaskSpec, on_bad_row: str = "error", max_rows: int = -1, split: str = "train"
) -> TextFile:
    """Read such a file into a TextFile whose examples are Sentences.

    Files of a "test..." split may lack labels. An entity that ends within a word gets the whole word, one
    that has a word of an earlier entity is left out; both are recorded as repaired. Raises UserError for a
    missing file and, with on_bad_row "error", for the first malformed row.
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
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise BadRow("text is missing, empty or not a string")
    if HALF_CHARACTER.search(text):
        raise BadRow("text contains a lone surrogate")
    _, words, spans = split_words(text)
    if split.startswith("test") and "label" not in row:
        return Sentence(words, None, number)
    tags = [OUTSIDE] * len(words)
    for kind, entity, start, end in _entities(row.get("label")):
        if not (0 <= start <= end < len(text)) or text[start : end + 1] != entity:
            raise BadRow(f'"{entity[:40]}" is not at characters {start} to {end} of the text')
        if task.labels and BEGIN + kind not in task.labels:
            raise BadRow(f'unknown type "{kind[:40]}" of the entity "{entity[:40]}"')
        own = [index for index, (first, stop) in enumerate(spans) if first <= end and start < stop]
        if not own:
            raise BadRow(f"the entity at characters {start} to {end} is blank")
        if any(tags[index] != OUTSIDE for index in own):
            reason = f'{kind} "{entity[:40]}" overlaps another entity and is left out'
            repaired.append({"line": number, "reason": reason})
            continue
        first, stop = spans[own[0]][0], spans[own[-1]][1]
        if first < start or stop > end + 1:
            reason = f'{kind} "{entity[:40]}" is part of a word and becomes "{text[first:stop][:40]}"'
            repaired.append({"line": number, "reason": reason})
        tags[own[0] : own[-1] + 1] = [BEGIN + kind] + [INSIDE + kind] * (len(own) - 1)
    return Sentence(words, tuple(tags), number)


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
