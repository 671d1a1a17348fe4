"""CoNLL files: one word and its BIO tag per line, sentences separated by blank lines.

Columns are separated by tabs if the line has one, otherwise by spaces (Unicode whitespace belongs to the
words); the first column is the word, the last the tag. Lines that begin with -DOCSTART- separate documents.
"""

import dataclasses
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...entities import BEGIN, INSIDE, OUTSIDE, continues, is_tag
from ...errors import UserError
from ...files import is_file
from ...tasks import TaskSpec
from .examples import TextFile

DOCUMENT = b"-DOCSTART-"
Block = list[tuple[int, bytes]]  # (line number, line) of the lines of one sentence


@dataclasses.dataclass(frozen=True)
class Sentence:
    """Words, their tags (None in a file without tags) and the line number of the first word."""

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    line: int


class _BadLine(Exception):
    """A malformed line; `number` is its line number."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def read_sentences(
    path: str | Path, task: TaskSpec, on_bad_row: str = "error", max_rows: int = -1, split: str = "train"
) -> TextFile:
    """Read a CoNLL file into a TextFile whose examples are Sentences.

    Tags must be among the labels of `task`, if it has any; files of a "test..." split may lack tags. Raises
    UserError for a missing file and, with on_bad_row "error", for the first malformed line. With "skip",
    sentences with a malformed line are skipped and an I- tag that continues no entity is read as B- (as in
    IOB1 files); both are recorded.
    """
    path = Path(path)
    if not is_file(path):
        raise UserError(f"{path} does not exist; it should hold the {split} sentences of {task.name}")
    with open(path, "rb") as file:
        tagged = None if split.startswith("test") else True
        parser = _SentenceParser(path, task.labels, on_bad_row == "skip", tagged)
        text = TextFile(path, [], parser.bad_rows, 0, True, parser.repaired)
        for block in _blocks(file):
            if len(text.examples) == max_rows:
                break
            sentence = parser.parse(block)
            if sentence:
                text.examples.append(sentence)
    if not text.examples:
        raise UserError(f"{path} holds no usable sentence")
    text.labeled = text.examples[0].tags is not None
    return text


def read_words(lines: Iterable[bytes], source: object) -> Iterator[tuple[str, ...]]:
    """Yield the words of each sentence of a binary CoNLL file, ignoring the other columns.

    Raises UserError that names `source` and the line for invalid UTF-8.
    """
    for block in _blocks(lines):
        try:
            words = tuple(_columns(number, line)[0] for number, line in block)
        except _BadLine as error:
            raise UserError(f"{source}, line {error.number}: {error}") from None
        yield words


def _blocks(lines: Iterable[bytes]) -> Iterator[Block]:
    """Yield the lines of each sentence."""
    block: Block = []
    for number, line in enumerate(lines, 1):
        line = line.removeprefix(BOM_UTF8) if number == 1 else line
        if line.strip() and not line.startswith(DOCUMENT):
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


class _SentenceParser:
    """Parses blocks of lines into Sentences. `tagged` None: determined by the first line of the file."""

    def __init__(self, source: Path, labels: Iterable[str], skip: bool, tagged: bool | None) -> None:
        self.source, self.labels, self.skip, self.tagged = source, frozenset(labels), skip, tagged
        self.bad_rows: list[dict] = []
        self.repaired: list[dict] = []

    def parse(self, block: Block) -> Sentence | None:
        """Sentence of a block, None if it is skipped."""
        try:
            rows = [(number, _columns(number, line)) for number, line in block]
            if self.tagged is None:
                self.tagged = len(rows[0][1]) > 1
            tags = self._tags(rows) if self.tagged else None
        except _BadLine as error:
            self._require_skip(error.number, str(error), "skips such sentences")
            self.bad_rows.append({"line": error.number, "reason": str(error)})
            return None
        return Sentence(tuple(columns[0] for _, columns in rows), tags, block[0][0])

    def _tags(self, rows: list[tuple[int, list[str]]]) -> tuple[str, ...]:
        tags: list[str] = []
        for number, columns in rows:
            if len(columns) < 2:
                raise _BadLine(number, f'"{columns[0][:40]}" has no tag; give a word and its tag')
            tag = columns[-1]
            if not is_tag(tag):
                raise _BadLine(number, f'"{tag[:40]}" is not a BIO tag; write O, B-type or I-type')
            if tag.startswith(INSIDE) and not continues(tags[-1] if tags else OUTSIDE, tag):
                tag = self._repair(number, tag)
            if self.labels and tag not in self.labels:
                known = ", ".join(sorted(self.labels))
                raise _BadLine(number, f'unknown tag "{tag[:40]}"; known tags are {known}')
            tags.append(tag)
        return tuple(tags)

    def _repair(self, number: int, tag: str) -> str:
        begin = BEGIN + tag[len(INSIDE) :]
        message = f"{tag} follows neither {begin} nor {tag}"
        self._require_skip(number, message, f"reads it as {begin}")
        self.repaired.append({"line": number, "reason": f"{message}, read as {begin}"})
        return begin

    def _require_skip(self, number: int, message: str, effect: str) -> None:
        if not self.skip:
            raise UserError(f"{self.source}, line {number}: {message} (--on_bad_row skip {effect})")


def _columns(number: int, line: bytes) -> list[str]:
    try:
        text = line.rstrip().decode("utf-8")
    except UnicodeDecodeError as error:
        raise _BadLine(number, f"not UTF-8 (byte {error.start + 1})") from None
    parts = text.split("\t") if "\t" in text else re.split(" +", text.lstrip(" "))
    columns = [part.strip(" ") for part in parts]
    if not columns[0]:
        raise _BadLine(number, "the word is empty")
    return columns
