"""Writes one shard of a corpus: a record file from its byte range of the text, then its metadata.

A shard depends only on the text and the job, not on the process that writes it; metadata without its file, or
with a file of another size, is ignored.
"""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from ...digests import is_intact, with_digest
from ...files import move_synced, try_lock, write_json
from ...json_reader import read_object
from ..records.io import record_digests
from ..records.mindrecord import index_of
from ..records.reader import FORMATS, TOKEN_COLUMNS
from ..tokenization.tokenizer import TextTokenizer
from .documents import BadLines, DocumentKey, document_lines
from .files import CorpusFile
from .lines import Span
from .masking import Masking
from .packing import pack, packing_rules
from .sentences import clean, split_sentences

# Characters tokenized and rows written at a time: they bound the memory of a shard.
CHUNK_CHARACTERS, ROW_CHUNK = 1 << 16, 1024
METADATA_FOLDER, LOCK_FILE = "shards", "lock"
WAIT_SECONDS = 0.2  # between attempts to lock a shard
# Everything that shards leave in the output folder, even when killed.
WRITTEN = (
    "corpus-*.tfrecord",
    "corpus-*.mindrecord",
    "corpus-*.mindrecord.db",
    f"{METADATA_FOLDER}/{LOCK_FILE}",
    f"{METADATA_FOLDER}/corpus-*.json",
    f"{METADATA_FOLDER}/corpus-*.part/corpus-*",
    f"{METADATA_FOLDER}/corpus-*.part/.part-*/corpus-*",
)
# Purposes of a document's random generators.
PACKING, MASKING = 1, 2
# Counts in the metadata of a shard; the manifest has them for each file, and summed for the corpus.
COUNTS = ("rows", "tokens", "documents", "sentences", "text_tokens", "unknown", "marked", "skipped")
# Metadata of a shard, for json_reader.
METADATA = {
    **dict.fromkeys((*COUNTS, "shard", "longest"), int),
    "file": str,
    "sizes": {str: int},
    "sha256?": {str: str},
    "bad_lines": list,
}
ReadCallback = Callable[[int], None]  # of the bytes of text read


@dataclasses.dataclass(frozen=True)
class CorpusJob:
    """Everything that determines the records, and the output folder. `shards` are the Spans of each shard."""

    files: tuple[CorpusFile, ...]
    shards: tuple[list[Span], ...]
    tokenizer: TextTokenizer
    output_dir: Path
    dataset_type: str
    max_seq_length: int
    short_seq_prob: float
    masked_lm_prob: float
    passes: int
    seed: int
    on_bad_line: str

    def stem(self, number: int) -> str:
        """File name of shard `number` without its suffix."""
        return f"corpus-{number:05d}-of-{len(self.shards):05d}"

    def metadata_file(self, number: int) -> Path:
        """File that marks a shard as finished."""
        return self.output_dir / METADATA_FOLDER / f"{self.stem(number)}.json"

    def size(self, number: int) -> int:
        """Bytes of text read for a shard, over all passes."""
        return self.passes * sum(span.end - span.start for span in self.shards[number])


def finished(job: CorpusJob, number: int) -> dict | None:
    """Metadata of a shard whose files are complete, else None."""
    metadata_file = job.metadata_file(number)
    if not metadata_file.is_file():
        return None
    metadata = read_object(metadata_file, METADATA, f"delete {metadata_file}")
    if not is_intact(metadata):
        return None
    paths = {job.output_dir / name: size for name, size in metadata["sizes"].items()}
    complete = all(path.is_file() and path.stat().st_size == size for path, size in paths.items())
    return metadata if complete else None


def write_shard(job: CorpusJob, number: int, on_read: ReadCallback) -> dict:
    """Write the record file of a shard (none without text) and its metadata, which is returned.

    Where another process is writing this shard, its result is waited for. `on_read(bytes)` is called as the
    text is read. Raises UserError for malformed text.
    """
    with _locked(job, number, on_read):
        return finished(job, number) or _write_shard(job, number, on_read)


def is_busy(output_dir: Path) -> bool:
    """Whether another process is writing a shard in the folder."""
    file = output_dir / METADATA_FOLDER / LOCK_FILE
    if not file.is_file():
        return False
    with open(file, "ab") as handle:
        return not try_lock(handle)


@contextlib.contextmanager
def _locked(job: CorpusJob, number: int, on_read: ReadCallback) -> Iterator[None]:
    """Hold the lock of a shard, one byte of the lock file; it ends with the process at the latest."""
    file = job.output_dir / METADATA_FOLDER / LOCK_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "ab") as handle:
        while not try_lock(handle, number, 1):
            on_read(0)  # raises where this process is to stop
            time.sleep(WAIT_SECONDS)
        yield


def _write_shard(job: CorpusJob, number: int, on_read: ReadCallback) -> dict:
    # A folder of its own, so that leftovers of a killed run are removed with it.
    part = job.output_dir / METADATA_FOLDER / f"{job.stem(number)}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    counts, name = ShardCounts(), f"{job.stem(number)}.{job.dataset_type}"
    chunks = _chunks(_rows(job, number, counts, on_read), job.max_seq_length, counts)
    first = next(chunks, None)
    sizes: dict[str, int] = {}
    digests: dict[str, str] = {}
    if first is not None:
        FORMATS[job.dataset_type].write(part / name, chain([first], chunks))
        digests = record_digests(part / name)
        # The index of a MindRecord file goes first: the file cannot be read without it.
        for path in (index_of(part / name), part / name):
            if path.is_file():
                sizes[path.name] = path.stat().st_size
                move_synced(path, job.output_dir / path.name)
    shutil.rmtree(part)
    files = {"file": name, "sizes": sizes, "sha256": digests}
    metadata = with_digest({"shard": number, **files, **counts.to_metadata(job.passes)})
    write_json(job.metadata_file(number), metadata)
    return metadata


class ShardCounts:
    """Statistics of a shard: text of one pass, rows and tokens of all passes."""

    def __init__(self) -> None:
        self.rows = self.tokens = self.longest = 0
        self.documents = self.sentences = self.text_tokens = self.unknown = self.marked = 0
        self.bad_lines: BadLines | None = None

    @property
    def unk_share(self) -> float:
        """Fraction of [UNK] among the tokens, without the <unk> of the text itself."""
        return unk_share(vars(self))

    def to_metadata(self, passes: int) -> dict:
        """Counts for the shard's metadata."""
        bad_lines = self.bad_lines or BadLines()
        counts = {name: value for name, value in vars(self).items() if name != "bad_lines"}
        for name in ("documents", "sentences", "text_tokens", "unknown", "marked"):
            counts[name] //= passes
        return {**counts, "skipped": bad_lines.count, "bad_lines": bad_lines.listed}


def unk_share(counts: dict) -> float:
    """ShardCounts.unk_share from a shard's metadata, or of the sums of several."""
    return (counts["unknown"] - counts["marked"]) / max(counts["text_tokens"] - counts["marked"], 1)


def _rows(
    job: CorpusJob, number: int, counts: ShardCounts, on_read: ReadCallback
) -> Iterator[tuple[list[int], list[int]]]:
    """Iterate over (ids, segment ids) of the rows of a shard, pass by pass."""
    single, pair = job.tokenizer.single, job.tokenizer.pair
    rules = packing_rules(job.tokenizer, job.max_seq_length, job.short_seq_prob)
    masking = Masking(job.tokenizer, job.masked_lm_prob)
    for pass_number in range(job.passes):
        bad_lines = BadLines(job.on_bad_line)
        counts.bad_lines = counts.bad_lines or bad_lines
        sentences = encoded_sentences(job, number, counts, bad_lines, on_read)
        document = rng = None
        for key, a, b in pack(sentences, rules, partial(_rng, job.seed, pass_number, PACKING)):
            if job.masked_lm_prob and key != document:
                document, rng = key, _rng(job.seed, pass_number, MASKING, key)
            ids, segments = pair.join([a, b]) if b else single.join([a])
            yield masking(ids, rng), segments


def _rng(seed: int, pass_number: int, purpose: int, key: DocumentKey) -> np.random.Generator:
    # One per document: its rows do not depend on the shard it is in, nor on masking.
    return np.random.default_rng([seed, pass_number, purpose, *key])


def encoded_sentences(
    job: CorpusJob, number: int, counts: ShardCounts, bad_lines: BadLines, on_read: ReadCallback
) -> Iterator[tuple[DocumentKey, list[int]]]:
    """Iterate over (document key, ids) of the sentences of a shard, updating `counts`."""
    document, unknown = None, job.tokenizer.token(job.tokenizer.unk_id) or ""
    for span in job.shards[number]:
        position = span.start
        sentences = _sentences(job.files[span.file], span, bad_lines, unknown)
        while chunk := _take(sentences):
            texts = [text for _, text, _ in chunk]
            for (key, text, _), ids in zip(chunk, job.tokenizer.encode(texts), strict=True):
                counts.documents += key != document
                document = key
                counts.text_tokens += len(ids)
                counts.unknown += job.tokenizer.count_unknown(ids)
                counts.marked += text.count(unknown) if unknown else 0
                yield key, ids
            counts.sentences += len(chunk)
            on_read(chunk[-1][2] - position)
            position = chunk[-1][2]
        on_read(span.end - position)


def _take(sentences: Iterator[tuple[DocumentKey, str, int]]) -> list[tuple[DocumentKey, str, int]]:
    """Next sentences with CHUNK_CHARACTERS in total, an efficient batch for the tokenizer."""
    chunk, characters = [], 0
    for sentence in sentences:
        chunk.append(sentence)
        characters += len(sentence[1])
        if characters >= CHUNK_CHARACTERS:
            break
    return chunk


def _sentences(
    file: CorpusFile, span: Span, bad_lines: BadLines, unknown: str
) -> Iterator[tuple[DocumentKey, str, int]]:
    for key, line, end in document_lines(file, span, bad_lines):
        for sentence in split_sentences(clean(line, unknown)):
            yield key, sentence, end


def _chunks(
    rows: Iterable[tuple[list[int], list[int]]], length: int, counts: ShardCounts
) -> Iterator[dict[str, np.ndarray]]:
    """Padded rows as chunks {column: array [<= ROW_CHUNK, length] int64} for record files."""
    rows = iter(rows)
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
