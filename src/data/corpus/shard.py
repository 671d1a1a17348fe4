"""One shard of a corpus: its stretch of text -> a record file, and a note that it is finished.

A shard depends on the text and the job alone, not on who makes it or when; a note without its file, or a file
of another size than noted, counts for nothing.
"""

import dataclasses
import os
import shutil
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from ...files import read_json, write_json
from ..records.mindrecord import index_of
from ..records.reader import FORMATS, TOKEN_COLUMNS
from .documents import BadLines, document_lines
from .masking import Masking
from .packing import pack, packing_rules
from .sentences import UNKNOWN_TOKEN, clean, split_sentences

# Characters that are tokenized together, rows that are written together: the memory a shard takes.
CHUNK_CHARACTERS, ROW_CHUNK = 1 << 16, 1024
NOTES = "shards"
# All that the making of shards leaves in the folder of the records, should it be killed at any moment.
WRITTEN = (
    "corpus-*.tfrecord",
    "corpus-*.mindrecord",
    "corpus-*.mindrecord.db",
    f"{NOTES}/corpus-*.json",
    f"{NOTES}/corpus-*.part/corpus-*",
    f"{NOTES}/corpus-*.part/.part-*/corpus-*",
)
# What a random generator of a document serves.
PARTS, MASKS = 1, 2


@dataclasses.dataclass(frozen=True)
class CorpusJob:
    """All that decides the records, and where they go.

    files   the CorpusFiles, in order; shards  the Spans of each shard
    """

    files: tuple
    shards: tuple
    tokenizer: object
    output_dir: Path
    dataset_type: str
    max_seq_length: int
    short_seq_prob: float
    masked_lm_prob: float
    passes: int
    seed: int
    on_bad_line: str

    def stem(self, number):
        """Name of shard `number` without its suffix."""
        return f"corpus-{number:05d}-of-{len(self.shards):05d}"

    def note_file(self, number):
        """Where it is noted that a shard is finished."""
        return self.output_dir / NOTES / f"{self.stem(number)}.json"

    def size(self, number):
        """Bytes of text that the making of a shard reads, all passes together."""
        return self.passes * sum(span.end - span.start for span in self.shards[number])


def finished(job, number):
    """The note of a shard that is there and whole, else None."""
    note_file = job.note_file(number)
    note = read_json(note_file) if note_file.is_file() else None
    if note is None or any(_size(job.output_dir / name) != size for name, size in note["sizes"].items()):
        return None
    return note


def _size(path):
    return path.stat().st_size if path.is_file() else None


def make_shard(job, number, report):
    """Write the record file of a shard and its note, which is returned; no file where there is no text.

    `report(bytes)` is called as the text is read. Raises UserError for text that breaks its form.
    """
    # A folder of its own: whatever a run that was killed has left of this shard goes with it.
    part = job.output_dir / NOTES / f"{job.stem(number)}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    counts, name = Counts(), f"{job.stem(number)}.{job.dataset_type}"
    chunks = _chunks(_rows(job, number, counts, report), job.max_seq_length, counts)
    first = next(chunks, None)
    sizes = {}
    if first is not None:
        FORMATS[job.dataset_type].write(part / name, chain([first], chunks))
        # The index of a MindRecord file goes first: a file without it would not be read.
        for path in (index_of(part / name), part / name):
            if path.is_file():
                sizes[path.name] = path.stat().st_size
                # MindSpore leaves it to the system when a file reaches the disk; the note must not be first.
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
                os.replace(path, job.output_dir / path.name)
    shutil.rmtree(part)
    note = {"shard": number, "file": name, "sizes": sizes, **counts.note(job.passes)}
    write_json(job.note_file(number), note)
    return note


class Counts:
    """What a shard held: text as read in the first pass, rows and tokens of all passes."""

    def __init__(self):
        self.rows = self.tokens = self.longest = 0
        self.documents = self.sentences = self.text_tokens = self.unknown = self.marked = 0
        self.bad_lines = None

    @property
    def unk_share(self):
        """Share of the tokens that the vocabulary does not know; the text's own <unk> are left out of it."""
        return unk_share(vars(self))

    def note(self, passes):
        counts = {name: value for name, value in vars(self).items() if name != "bad_lines"}
        for name in ("documents", "sentences", "text_tokens", "unknown", "marked"):
            counts[name] //= passes
        return {**counts, "skipped": self.bad_lines.count, "bad_lines": self.bad_lines.listed}


def unk_share(counts):
    """The same of a note, or of the sums of several."""
    return (counts["unknown"] - counts["marked"]) / max(counts["text_tokens"] - counts["marked"], 1)


def _rows(job, number, counts, report):
    """Iterate over (ids, segments) of all rows of a shard, pass after pass."""
    cls, sep = job.tokenizer.cls_id, job.tokenizer.sep_id
    rules = packing_rules(job.tokenizer, job.max_seq_length, job.short_seq_prob)
    masking = Masking(job.tokenizer, job.masked_lm_prob)
    for passing in range(job.passes):
        bad_lines = BadLines(job.on_bad_line)
        counts.bad_lines = counts.bad_lines or bad_lines
        sentences = encoded_sentences(job, number, counts, bad_lines, report)
        document = draw = None
        for key, a, b in pack(sentences, rules, partial(_draw, job.seed, passing, PARTS)):
            if job.masked_lm_prob and key != document:
                document, draw = key, _draw(job.seed, passing, MASKS, key)
            ids = [cls, *a, sep, *b, sep] if b else [cls, *a, sep]
            yield masking(ids, draw), [0] * (len(a) + 2) + [1] * (len(ids) - len(a) - 2)


def _draw(seed, passing, purpose, key):
    # The document's own: its rows are the same in whatever shard it falls, masked or not.
    return np.random.default_rng([seed, passing, purpose, *key])


def encoded_sentences(job, number, counts, bad_lines, report):
    """Iterate over (document key, ids) of the sentences of a shard, counting them."""
    document = None
    for span in job.shards[number]:
        place = span.start
        pending = _sentences(job.files[span.file], span, bad_lines)
        while chunk := _some(pending):
            texts = [text for _, text, _ in chunk]
            for (key, text, _), ids in zip(chunk, job.tokenizer.encode(texts), strict=True):
                counts.documents += key != document
                document = key
                counts.text_tokens += len(ids)
                counts.unknown += ids.count(job.tokenizer.unk_id)
                counts.marked += text.count(UNKNOWN_TOKEN)
                yield key, ids
            counts.sentences += len(chunk)
            report(chunk[-1][2] - place)
            place = chunk[-1][2]
        report(span.end - place)


def _some(sentences):
    """The next sentences: as many as the tokenizer does well with, of all lengths that text can have."""
    chunk, characters = [], 0
    for sentence in sentences:
        chunk.append(sentence)
        characters += len(sentence[1])
        if characters >= CHUNK_CHARACTERS:
            break
    return chunk


def _sentences(file, span, bad_lines):
    for key, line, place in document_lines(file, span, bad_lines):
        for sentence in split_sentences(clean(line)):
            yield key, sentence, place


def _chunks(rows, length, counts):
    """Rows as padded arrays [<= ROW_CHUNK, length] int64, {column: array}, as record files take them."""
    while chunk := list(islice(rows, ROW_CHUNK)):
        columns = {name: np.zeros((len(chunk), length), np.int64) for name in TOKEN_COLUMNS}
        input_ids, input_mask, segment_ids = columns.values()
        for number, (ids, segments) in enumerate(chunk):
            input_ids[number, : len(ids)] = ids
            input_mask[number, : len(ids)] = 1
            segment_ids[number, : len(ids)] = segments
            counts.tokens += len(ids)
            counts.longest = max(counts.longest, len(ids))
        counts.rows += len(chunk)
        yield columns
