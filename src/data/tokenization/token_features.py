"""Encoding of tagged sentences as token ids with a label per token."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from tqdm import tqdm

from ...tasks import IGNORE_INDEX, TaskSpec
from ..dataset import TokenizedDataset
from ..text.conll import Sentence
from .features import CHUNK, EncodingCounts, check_length
from .tokenizer import TextTokenizer


def encode_sentences(
    sentences: Sequence[Sentence],
    tokenizer: TextTokenizer,
    task: TaskSpec | None,
    max_seq_length: int,
    title: str = "",
) -> tuple[TokenizedDataset, EncodingCounts]:
    """Encode Sentences of `task`, which may be None for sentences without tags.

    The label of a word is that of its first token; its other tokens, [CLS] and [SEP] get IGNORE_INDEX. Every
    word keeps at least one token: one that tokenizes to nothing becomes [UNK]. A sentence of a task without
    tags has no label but IGNORE_INDEX; without a task the label of every word is 0, which marks the position
    of its prediction. Words lost to truncation are counted. Shows a progress bar called `title` on a
    terminal.
    """
    check_length(max_seq_length)
    index = {label: i for i, label in enumerate(task.labels if task else ())}
    counts = EncodingCounts()
    unknown = tokenizer.cls_id if tokenizer.unk_id is None else tokenizer.unk_id
    no_tag = IGNORE_INDEX if task else 0
    rows: list[tuple[list[int], list[int], list[int]]] = []
    starts = range(0, len(sentences), CHUNK)
    for start in tqdm(starts, desc=title, unit=f" x {CHUNK} sentences", disable=None, leave=False):
        chunk = sentences[start : start + CHUNK]
        pieces = tokenizer.encode_words([sentence.words for sentence in chunk])
        for sentence, words in zip(chunk, pieces, strict=True):
            tags = [index[tag] for tag in sentence.tags or ()] or [no_tag] * len(sentence.words)
            words = [word or [unknown] for word in words]
            rows.append(_row(words, tags, max_seq_length, tokenizer, counts))
    lengths = np.fromiter((len(ids) for ids, *_ in rows), np.int64, len(rows))
    ids, segments, labels = (
        np.fromiter(chain.from_iterable(column), np.int32, lengths.sum())
        for column in zip(*rows, strict=True)
    )
    return TokenizedDataset.from_flat(ids, segments, lengths, labels, max_seq_length), counts


def _row(
    words: list[list[int]],
    tags: list[int],
    max_seq_length: int,
    tokenizer: TextTokenizer,
    counts: EncodingCounts,
) -> tuple[list[int], list[int], list[int]]:
    """(ids, segment ids, labels) of one sentence, truncated to `max_seq_length` tokens."""
    limit = max_seq_length - tokenizer.single.count
    ids = list(chain.from_iterable(words))
    labels = [
        label
        for word, tag in zip(words, tags, strict=True)
        for label in (tag, *[IGNORE_INDEX] * (len(word) - 1))
    ]
    counts.truncated += len(ids) > limit
    counts.cut_words += sum(label != IGNORE_INDEX for label in labels[limit:])
    ids, labels = ids[:limit], labels[:limit]
    counts.tokens, counts.unknown = counts.tokens + len(ids), counts.unknown + tokenizer.count_unknown(ids)
    before, after = ([IGNORE_INDEX] * len(gap) for gap in tokenizer.single.gaps)
    return *tokenizer.single.join([ids]), [*before, *labels, *after]
