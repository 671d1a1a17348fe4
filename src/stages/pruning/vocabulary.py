"""The vocabulary of a model reduced to the tokens of given texts or records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...data import splits
from ...data.text.lines import read_pairs
from ...data.tokenization.pruning import basic_ids, check_prunable, keep_ids, merged_ids, text_ids
from ...data.tokenization.text_tokenizer import TextTokenizer
from ...data.tokenization.tokenizer import model_tokenizer
from ...errors import UserError
from ...files import split_paths
from ...weights.pruning import keep_tokens
from ..model.load import ModelFiles

if TYPE_CHECKING:
    from ...tools.prune import PruneConfig

CHUNK = 8192  # lines read at a time
RECORD_SUFFIXES = (".tfrecord", ".mindrecord")

Chunk = tuple[str, int, list[str]]  # source, number of its first text, texts


def prune_vocabulary(
    files: ModelFiles, config: PruneConfig, log: Callable[[str], None]
) -> tuple[ModelFiles, TextTokenizer]:
    """The model with the tokens of --vocabulary_from alone, and its tokenizer.

    Special tokens and single characters are kept too, so that other words stay readable. Raises UserError for
    texts that are empty, or that the smaller vocabulary would tokenize otherwise.
    """
    tokenizer = model_tokenizer(files)
    check_prunable(tokenizer, files.tokenizer_dir)
    paths = [Path(path) for path in split_paths(config.vocabulary_from)]
    records = [path for path in paths if path.is_dir() or path.suffix in RECORD_SUFFIXES]
    texts = [path for path in paths if path not in records]
    met: set[int] = set()
    for path in records:
        met |= _record_ids(path, files, config)
    for _, _, lines in _chunks(texts):
        met |= text_ids(tokenizer, lines)
    if not met:
        raise UserError(f"--vocabulary_from {config.vocabulary_from} holds no text")
    ids = np.array(sorted(merged_ids(tokenizer, met | basic_ids(tokenizer))))
    pruned = keep_ids(tokenizer, ids, files.tokenizer_dir)
    checked = sum(_check(tokenizer, pruned, ids, chunk) for chunk in _chunks(texts))
    same = f"; {checked:,} texts are tokenized as before" if checked else ""
    log(f"vocabulary: {len(ids):,} of {files.config.vocab_size:,} tokens, {len(met):,} of them met{same}")
    if config.heldout_file:
        log(_heldout(tokenizer, pruned, Path(config.heldout_file)))
    arrays, bert = keep_tokens(files.arrays, files.config, ids)
    return dataclasses.replace(files, arrays=arrays, config=bert), pruned


def _record_ids(path: Path, files: ModelFiles, config: PruneConfig) -> set[int]:
    dataset = splits.read_split(config, str(path), "train")
    splits.check_models(dataset, [(files.config, files.tokenizer_dir)], None, str(path))
    return set(np.unique(dataset.tokens).tolist())


def _check(tokenizer: TextTokenizer, pruned: TextTokenizer, ids: np.ndarray, chunk: Chunk) -> int:
    """Raise UserError unless a chunk's texts get the same tokens from both; returns their count."""
    source, first, texts = chunk
    both = zip(tokenizer.encode(texts), pruned.encode(texts), strict=True)
    for place, (before, after) in enumerate(both):
        if before != ids[after].tolist():
            raise UserError(
                f"{source}: text {first + place} would get other tokens from the smaller vocabulary, which "
                "is not written; leave --vocabulary_from out"
            )
    return len(texts)


def _heldout(tokenizer: TextTokenizer, pruned: TextTokenizer, path: Path) -> str:
    """A line about the tokens of held-out texts with both vocabularies."""
    counts = np.zeros((2, 2), np.int64)  # tokens and unknown ones, before and after
    for _, _, texts in _chunks([path]):
        for place, each in enumerate((tokenizer, pruned)):
            for row in each.encode(texts):
                counts[place] += len(row), each.count_unknown(row)
    if not counts[0, 0]:
        raise UserError(f"--heldout_file {path} holds no text")
    before, after = (unknown / tokens for tokens, unknown in counts)
    return (
        f"held-out {path}: {after:.3%} of the tokens are unknown ({before:.3%} before), "
        f"{counts[1, 0] / counts[0, 0] - 1:.1%} more tokens"
    )


def _chunks(paths: list[Path]) -> Iterator[Chunk]:
    """The texts of files, CHUNK lines at a time; a line may hold two, separated by a tab."""
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} does not exist; give text files or record folders")
        texts: list[str] = []
        first = 1
        with path.open("rb") as lines:
            for pair in read_pairs(lines, path):
                texts += [text for text in pair or () if text]
                if len(texts) >= CHUNK:
                    yield str(path), first, texts
                    first, texts = first + len(texts), []
        if texts:
            yield str(path), first, texts
