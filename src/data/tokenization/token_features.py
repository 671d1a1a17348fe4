"""Sentences of words with a tag each -> rows of token ids with a label for each token."""

from itertools import chain

import numpy as np
from tqdm import tqdm

from ...tasks import IGNORE_INDEX
from ..dataset import TokenizedDataset
from .features import CHUNK, EncodingCounts, check_length


def encode_sentences(sentences, tokenizer, task, max_seq_length, title=""):
    """Turn Sentences (data.conll) of `task` into a table; without tags the task may be None.

    A word's label stands at its first piece. Its other pieces, [CLS] and [SEP] are IGNORE_INDEX, and so is
    nothing else: a word that the tokenizer leaves nothing of becomes [UNK]. Without tags every word has the
    label 0, so that one can see where its answer stands. Words that do not fit any more are counted.
    Returns (TokenizedDataset, EncodingCounts). A progress bar called `title` is shown on a terminal.
    """
    check_length(max_seq_length)
    index = {label: place for place, label in enumerate(task.labels if task else ())}
    counts, rows = EncodingCounts(), []
    starts = range(0, len(sentences), CHUNK)
    for start in tqdm(starts, desc=title, unit=f" x {CHUNK} sentences", disable=None, leave=False):
        chunk = sentences[start : start + CHUNK]
        pieces = iter(tokenizer.encode(list(chain.from_iterable(each.words for each in chunk))))
        for sentence in chunk:
            marks = [index[tag] for tag in sentence.tags] if sentence.tags else [0] * len(sentence.words)
            words = [next(pieces) or [tokenizer.unk_id] for _ in sentence.words]
            rows.append(_row(words, marks, max_seq_length - 2, tokenizer, counts))
    lengths = np.fromiter((len(ids) for ids, _ in rows), np.int64, len(rows))
    ids, marks = (
        np.fromiter(chain.from_iterable(column), np.int32, lengths.sum())
        for column in zip(*rows, strict=True)
    )
    return TokenizedDataset.from_flat(ids, np.zeros_like(ids), lengths, marks, max_seq_length), counts


def _row(words, marks, room, tokenizer, counts):
    """(ids, labels) of one sentence, its pieces cut to `room`."""
    ids = list(chain.from_iterable(words))
    labels = [
        label
        for word, mark in zip(words, marks, strict=True)
        for label in (mark, *[IGNORE_INDEX] * (len(word) - 1))
    ]
    counts.truncated += len(ids) > room
    counts.cut_words += sum(label != IGNORE_INDEX for label in labels[room:])
    ids, labels = ids[:room], labels[:room]
    counts.tokens, counts.unknown = counts.tokens + len(ids), counts.unknown + ids.count(tokenizer.unk_id)
    return [tokenizer.cls_id, *ids, tokenizer.sep_id], [IGNORE_INDEX, *labels, IGNORE_INDEX]
