"""Text classification and regression: the Python class Classifier and the command `predict`."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ...data.text.lines import read_pairs
from ...data.text.tabular import HALF_CHARACTER
from ...data.tokenization.features import encode_texts
from ...errors import UserError
from ...infer.postprocess import OUTPUTS, Output
from ..model.inference import is_token_classifier
from .tag import tag
from .text_model import TextModel, check_list

if TYPE_CHECKING:
    from ...tools.predict import PredictConfig

CHUNK = 8192  # lines read, predicted and printed at a time
PAIR = 2

Pair = tuple[str, str | None]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """`values` [rows, C] float32: probabilities of the labels, or scores (C = 1); `truncated` texts."""

    values: np.ndarray
    truncated: int


class Classifier(TextModel):
    """Classifies texts with a model folder; parameters and errors as of TextModel. See Tagger for tokens."""

    def __init__(self, model_dir: str | Path, *arguments: Any, **settings: Any) -> None:
        super().__init__(model_dir, *arguments, **settings)
        if self.config.by_token:
            raise UserError(f"{model_dir} is a token classification model; use Tagger")
        self.output: Output = OUTPUTS[self.config.output_mode](self.config)

    def __call__(self, texts: Sequence[str | Sequence[str]]) -> list[Any]:
        """One prediction per text, in order.

        `texts` are strings, or pairs (text_a, text_b). Returns (label, probability) for each; for a
        multi-label model {label: probability}, for a regression model the score. Warns of truncated texts.
        """
        predictions = self.predict(texts)
        if predictions.truncated:
            note = f"texts truncated to {self.max_seq_length} tokens: {predictions.truncated} of {len(texts)}"
            warnings.warn(note + self.limit, stacklevel=2)
        return [self.output.to_python(row) for row in predictions.values]

    def predict(self, texts: Sequence[str | Sequence[str | None]]) -> Predictions:
        """The Predictions for a list of texts as in `__call__`."""
        pairs = list(map(_pair, check_list(texts)))
        if not pairs:
            return Predictions(np.zeros((0, self.config.num_labels), np.float32), 0)
        _, counts, logits = self.forward(encode_texts, pairs)
        return Predictions(self.output.values(logits), counts.truncated)

    answer = predict  # former name


def _pair(text: object) -> tuple[Any, ...]:
    if isinstance(text, str):
        return text, None
    pair = tuple(text) if isinstance(text, Iterable) else ()
    if len(pair) != PAIR:
        raise UserError(f"{text!r} is neither a text nor a pair of texts")
    return pair


def predict(config: PredictConfig) -> None:
    """Print one prediction per line for the texts of a PredictConfig, in their order.

    An empty text gives an empty line, so that line n of the output belongs to text n. The numbers of empty
    and truncated texts go to stderr, and the throughput if there are more texts than a batch. A token
    classification model is handled by `tag`.
    """
    if is_token_classifier(config.model_dir):
        return tag(config, sentences_of(config))
    if config.input_format != "text":
        raise UserError(
            f"--input_format {config.input_format} requires a token classification model; "
            f"{config.model_dir} classifies whole texts"
        )
    pairs = texts_of(config)
    classifier = Classifier(
        config.model_dir, config.max_seq_length, config.batch_size, threads=config.threads, settings=config
    )
    format_line = {"tsv": as_tsv, "json": as_json}[config.format]
    rows = empty = truncated = 0
    while chunk := list(itertools.islice(pairs, CHUNK)):
        texts = [pair for pair in chunk if pair]
        predictions = classifier.predict(texts)
        values = iter(predictions.values)
        for pair in chunk:
            print(format_line(pair, next(values) if pair else None, classifier.output))
        sys.stdout.flush()
        rows, empty = rows + len(texts), empty + len(chunk) - len(texts)
        truncated += predictions.truncated
    if truncated:
        _note(
            f"texts truncated to {classifier.max_seq_length} tokens: {truncated} of {rows}{classifier.limit}"
        )
    if empty:
        _note(f"empty texts, printed as empty lines: {empty}")
    if rows > config.batch_size:
        for line in classifier.meter.lines():
            _note(line)


def sentences_of(config: PredictConfig) -> Iterable[Any]:
    """The input of `tag`: one sentence per line, or the lines of a CoNLL file as bytes."""
    if config.text_b:
        raise UserError("--text_b: token classification takes single sentences; omit it")
    if config.input_format == "text":
        return ("\t".join(filter(None, pair)) if pair else None for pair in texts_of(config))
    if config.text:
        raise UserError("--input_format conll applies to files; give --input instead of --text")
    return _open_input(config)


def texts_of(config: PredictConfig) -> Iterator[Pair | None]:
    """The pairs of the command line, a file or standard input; None for an empty text."""
    if config.text_b and len(config.text_b) != len(config.text):
        raise UserError(
            f"--text_b has {len(config.text_b)} texts, --text {len(config.text)}; a pair needs one of each"
        )
    if config.text and config.input:
        raise UserError("--text and --input are mutually exclusive; give one")
    for number, text in enumerate((*config.text, *config.text_b), 1):
        if HALF_CHARACTER.search(text):  # how Python decodes invalid UTF-8 on the command line
            raise UserError(f"text {number} of the command line is not UTF-8; give it with --input")
    if config.text:
        seconds = config.text_b or [None] * len(config.text)
        pairs = zip(config.text, seconds, strict=True)
        return (pair if "".join(filter(None, pair)).strip() else None for pair in pairs)
    return read_pairs(_open_input(config), config.input or "standard input")


def _open_input(config: PredictConfig) -> Iterable[bytes]:
    """The lines of --input, or of standard input, as bytes."""
    if config.input and config.input != "-":
        try:
            return _lines_of(open(config.input, "rb"))
        except OSError as error:
            raise UserError(f"--input {config.input} cannot be read: {error.strerror}") from None
    if sys.stdin.isatty():
        _note("reading texts from standard input, one per line; Ctrl+D ends")
    return sys.stdin.buffer


def _lines_of(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        yield from file


def as_tsv(pair: Pair | None, values: np.ndarray | None, output: Output) -> str:
    """The prediction for a pair as tab-separated cells; an empty line for an empty text."""
    return "" if values is None else "\t".join(output.to_cells(values))


def as_json(pair: Pair | None, values: np.ndarray | None, output: Output) -> str:
    """One JSON object with the texts and the prediction, which is null for an empty text."""
    first, second = pair or ("", None)
    texts = {"text": first} if second is None else {"text": first, "text_b": second}
    return json.dumps({**texts, **output.to_fields(values)}, ensure_ascii=False)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
