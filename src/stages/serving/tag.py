"""Token classification: the Python class Tagger and the command `predict` for such a model."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.text.conll import Sentence, read_words
from ...data.text.words import Words, joined_words, split_words
from ...data.tokenization.token_features import encode_sentences
from ...entities import OUTSIDE, predicted_entities
from ...errors import UserError
from ...tasks import IGNORE_INDEX
from .text_model import TextModel, check_list

if TYPE_CHECKING:
    from ...tools.predict import PredictConfig

CHUNK = 8192  # sentences read, tagged and printed at a time


@dataclasses.dataclass(frozen=True)
class Tags:
    """`rows` the tags of each sentence, one per word; `truncated` words beyond max_seq_length got O."""

    rows: list[list[str]]
    truncated: int


class Tagger(TextModel):
    """Tags the words of sentences; parameters and errors as of TextModel. See Classifier for whole texts."""

    def __init__(self, model_dir: str | Path, *arguments: Any, **settings: Any) -> None:
        super().__init__(model_dir, *arguments, **settings)
        if not self.config.by_token:
            raise UserError(f"{model_dir} classifies whole texts, not tokens; use Classifier")

    def __call__(self, sentences: Sequence[str | Sequence[str]]) -> list[list[tuple[str, str]]]:
        """[(word, tag), ...] for each sentence, a string or a list of words. Warns of truncated words."""
        words = [
            self.words(each).words if isinstance(each, str) else tuple(each) for each in check_list(sentences)
        ]
        tagged = self.tags(words)
        if tagged.truncated:
            warnings.warn(
                f"words beyond {self.max_seq_length} tokens, tagged O: {tagged.truncated}", stacklevel=2
            )
        return [list(zip(*pair, strict=True)) for pair in zip(words, tagged.rows, strict=True)]

    def words(self, text: str) -> Words:
        """The Words of a text, split at whitespace and around Chinese characters and punctuation."""
        return split_words(text)

    def tags(self, rows: Sequence[Sequence[str]]) -> Tags:
        """The Tags of sentences given as words."""
        nonempty = [words for words in rows if words]
        if not nonempty:
            return Tags([[] for _ in rows], 0)
        sentences = [Sentence(tuple(words), None, 0) for words in nonempty]
        dataset, counts, logits = self.forward(encode_sentences, sentences, None)
        assert dataset.labels is not None  # encode_sentences marks the first token of each word
        predicted = map(self._to_tags, dataset.by_row(logits), dataset.by_row(dataset.labels))
        tags = [next(predicted) if words else [] for words in rows]
        padding = ([OUTSIDE] * (len(words) - len(known)) for words, known in zip(rows, tags, strict=True))
        return Tags([known + rest for known, rest in zip(tags, padding, strict=True)], counts.cut_words)

    def _to_tags(self, logits: np.ndarray, label_ids: np.ndarray) -> list[str]:
        return [self.config.labels[index] for index in logits[label_ids != IGNORE_INDEX].argmax(axis=-1)]


def tag(config: PredictConfig, lines: Iterable[Any]) -> None:
    """Tag the sentences of a PredictConfig and print them in their order.

    `lines` are the texts, or the lines of a file as bytes with --input_format conll. The number of truncated
    words goes to stderr.
    """
    tagger = Tagger(
        config.model_dir, config.max_seq_length, config.batch_size, threads=config.threads, settings=config
    )
    sentences: Iterator[Words]
    if config.input_format == "conll":
        sentences = map(joined_words, read_words(lines, config.input or "standard input"))
    else:
        sentences = (tagger.words(text or "") for text in lines)
    format_sentence, rows, truncated = {"tsv": as_tsv, "json": as_json}[config.format], 0, 0
    while chunk := list(itertools.islice(sentences, CHUNK)):
        tagged = tagger.tags([sentence.words for sentence in chunk])
        for sentence, tags in zip(chunk, tagged.rows, strict=True):
            print(format_sentence(sentence, tags))
        sys.stdout.flush()
        rows, truncated = rows + len(chunk), truncated + tagged.truncated
    notes = [f"words beyond {tagger.max_seq_length} tokens, tagged O: {truncated}"] if truncated else []
    for line in [*notes, *(tagger.meter.lines() if rows > config.batch_size else ())]:
        print(line, file=sys.stderr, flush=True)


def as_tsv(sentence: Words, tags: Sequence[str]) -> str:
    """word, tab, tag for each word, and the blank line that ends a sentence."""
    return "".join(f"{word}\t{tag}\n" for word, tag in zip(sentence.words, tags, strict=True))


def as_json(sentence: Words, tags: Sequence[str]) -> str:
    """One JSON object: the text and its entities with `start` and `end` as character offsets."""
    found = []
    for kind, first, end in predicted_entities(tags):
        start, stop = sentence.spans[first][0], sentence.spans[end - 1][1]
        found.append({"type": kind, "text": sentence.text[start:stop], "start": start, "end": stop})
    return json.dumps({"text": sentence.text, "entities": found}, ensure_ascii=False)
