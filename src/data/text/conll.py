"""CoNLL files: a word and its BIO tag on a line, a blank line between sentences.

Columns are parted by tabs where a line has one, else by ASCII's blanks (those of Unicode belong to the
words); the first is the word, the last the tag.
Lines that begin with -DOCSTART- part documents and hold no word.
"""

import dataclasses
import re
from codecs import BOM_UTF8
from collections.abc import Iterable
from pathlib import Path

from ...entities import BEGIN, INSIDE, OUTSIDE, continues, is_tag
from ...errors import UserError
from .examples import TextFile

DOCUMENT = b"-DOCSTART-"


@dataclasses.dataclass(frozen=True)
class Sentence:
    """Words, their tags (None where the file has none) and the line of the first word."""

    words: tuple
    tags: tuple | None
    line: int


class _BadLine(Exception):
    """A line that breaks the format; `number` is its place in the file."""

    def __init__(self, number, message):
        super().__init__(message)
        self.number = number


def read_sentences(path, task, on_bad_row="error", max_rows=-1, split="train"):
    """Read a CoNLL file: a TextFile whose examples are Sentences.

    A tag has to be among the labels of `task`, where it has any. A file of a "test..." split may have words
    alone. Raises UserError for a missing file and, with on_bad_row "error", for the first bad line. With
    "skip" a sentence with a bad line is left out, and an I- tag that continues nothing is read as the B- that
    it should be, as in files of the older IOB1; both are noted.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; it should hold the {split} sentences of {task.name}")
    with open(path, "rb") as file:
        tagged = None if split.startswith("test") else True
        reader = _Reader(path, task.labels, on_bad_row == "skip", tagged)
        found = TextFile(path, [], reader.bad_rows, 0, True, reader.repaired)
        for block in _blocks(file):
            if len(found.examples) == max_rows:
                break
            sentence = reader.sentence(block)
            if sentence:
                found.examples.append(sentence)
    if not found.examples:
        raise UserError(f"{path} holds no usable sentence")
    found.labelled = found.examples[0].tags is not None
    return found


def read_words(lines: Iterable[bytes], source):
    """Yield the words of each sentence of a binary CoNLL file; whatever else its columns hold is passed over.

    Raises UserError that names `source` and the line for bytes that are not UTF-8.
    """
    for block in _blocks(lines):
        try:
            words = tuple(_columns(number, line)[0] for number, line in block)
        except _BadLine as complaint:
            raise UserError(f"{source}, line {complaint.number}: {complaint}") from None
        yield words


def _blocks(lines):
    """Lists of (line number, bytes), the lines of one sentence each."""
    block = []
    for number, line in enumerate(lines, 1):
        line = line.removeprefix(BOM_UTF8) if number == 1 else line
        if line.strip() and not line.startswith(DOCUMENT):
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


class _Reader:
    """Turns blocks of lines into Sentences. `tagged` None: as the first line of the file says."""

    def __init__(self, source, labels, skip, tagged):
        self.source, self.labels, self.skip, self.tagged = source, frozenset(labels), skip, tagged
        self.bad_rows, self.repaired = [], []

    def sentence(self, block):
        """The Sentence of a block; None where it is left out."""
        try:
            rows = [(number, _columns(number, line)) for number, line in block]
            if self.tagged is None:
                self.tagged = len(rows[0][1]) > 1
            tags = self._tags(rows) if self.tagged else None
        except _BadLine as complaint:
            self._refuse(complaint.number, str(complaint), "leaves such sentences out")
            self.bad_rows.append({"line": complaint.number, "reason": str(complaint)})
            return None
        return Sentence(tuple(columns[0] for _, columns in rows), tags, block[0][0])

    def _tags(self, rows):
        tags = []
        for number, columns in rows:
            if len(columns) < 2:
                raise _BadLine(number, f'"{columns[0][:40]}" stands alone, a word and its tag belong there')
            tag = columns[-1]
            if not is_tag(tag):
                raise _BadLine(number, f'"{tag[:40]}" is no BIO tag; write O, B-type or I-type')
            if tag.startswith(INSIDE) and not continues(tags[-1] if tags else OUTSIDE, tag):
                tag = self._repaired(number, tag)
            if self.labels and tag not in self.labels:
                known = ", ".join(sorted(self.labels))
                raise _BadLine(number, f'the tag "{tag[:40]}" is unknown; known are {known}')
            tags.append(tag)
        return tuple(tags)

    def _repaired(self, number, tag):
        begin = BEGIN + tag[len(INSIDE) :]
        message = f"{tag} follows neither {begin} nor {tag}"
        self._refuse(number, message, f"reads it as {begin}")
        self.repaired.append({"line": number, "reason": f"{message}, read as {begin}"})
        return begin

    def _refuse(self, number, message, otherwise):
        if not self.skip:
            raise UserError(f"{self.source}, line {number}: {message} (--on_bad_row skip {otherwise})")


def _columns(number, line):
    try:
        text = line.rstrip().decode("utf-8")
    except UnicodeDecodeError as error:
        raise _BadLine(number, f"not UTF-8 (byte {error.start + 1})") from None
    parts = text.split("\t") if "\t" in text else re.split(" +", text.lstrip(" "))
    columns = [part.strip(" ") for part in parts]
    if not columns[0]:
        raise _BadLine(number, "the word is empty")
    return columns
