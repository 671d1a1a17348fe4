"""Texts in, labels and probabilities out: a model folder as a Python object, and the lines of the command."""

import dataclasses
import itertools
import json
import sys

import numpy as np

from ...data.text.lines import read_pairs
from ...data.text.tabular import HALF_CHARACTER
from ...data.tokenization.features import encode_texts
from ...errors import UserError
from ...infer.postprocess import ANSWERS
from ...tasks import for_mode
from ..model.inference import answers_by_token
from .tag import tag
from .text_model import TextModel, as_list

LINES = 8192  # read, answered and printed at a time


@dataclasses.dataclass(frozen=True)
class Answers:
    """`values` [rows, C] float32: probabilities of the labels, or scores (C = 1); `truncated` texts cut."""

    values: np.ndarray
    truncated: int


class Classifier(TextModel):
    """Answers with a model folder; takes and raises what TextModel does. Words are tagged by tag.Tagger."""

    def __init__(self, model_dir, *arguments, **settings):
        super().__init__(model_dir, *arguments, **settings)
        self.form = for_mode(ANSWERS, self.config.output_mode, "answer to a whole text")(self.config)

    def __call__(self, texts):
        """One answer for each text, in order.

        `texts` are strings, or pairs (text_a, text_b). Returns (label, probability) for each; for a
        multi-label model {label: probability}, for a regression model the score alone.
        """
        return [self.form.plain(row) for row in self.answer(texts).values]

    def answer(self, texts):
        """The Answers to a list of texts as in a call."""
        pairs = [(text, None) if isinstance(text, str) else tuple(text) for text in as_list(texts)]
        if not pairs:
            return Answers(np.zeros((0, self.config.num_labels), np.float32), 0)
        _, counts, logits = self.ask(encode_texts, pairs)
        return Answers(self.form.values(logits), counts.truncated)


def predict(config):
    """Answer the texts that a PredictConfig names, one line on standard output for each, in their order.

    An empty text has an empty answer, so that line n still answers line n. How many were empty, and how many
    were cut, is said on standard error; after more texts than a batch, how fast it went too. A model that
    classifies tokens answers as in `tag`.
    """
    if answers_by_token(config.model_dir):
        return tag(config, sentences_of(config))
    if config.input_format != "text":
        raise UserError(
            f"--input_format {config.input_format} is for a model that tags words; "
            f"{config.model_dir} answers for whole texts"
        )
    pairs = texts_of(config)
    classify = Classifier(
        config.model_dir, config.max_seq_length, config.batch_size, threads=config.threads, settings=config
    )
    word = {"tsv": as_tsv, "json": as_json}[config.format]
    rows = empty = truncated = 0
    while chunk := list(itertools.islice(pairs, LINES)):
        real = [pair for pair in chunk if pair]
        found = classify.answer(real)
        values = iter(found.values)
        for pair in chunk:
            print(word(pair, next(values) if pair else None, classify.form))
        sys.stdout.flush()
        rows, empty, truncated = rows + len(real), empty + len(chunk) - len(real), truncated + found.truncated
    if truncated:
        _note(f"texts cut to {classify.max_seq_length} tokens: {truncated} of {rows}")
    if empty:
        _note(f"empty texts, whose answers are empty: {empty}")
    if rows > config.batch_size:
        for line in classify.meter.lines():
            _note(line)


def sentences_of(config):
    """What `tag` takes: the sentences, whole lines all of them, or the lines of a CoNLL file."""
    if config.text_b:
        raise UserError("--text_b: a model that tags words takes single sentences; leave it out")
    if config.input_format == "text":
        return ("\t".join(filter(None, pair)) if pair else None for pair in texts_of(config))
    if config.text:
        raise UserError("--input_format conll is the form of a file; leave --text out and give --input")
    return _lines_of(config)


def texts_of(config):
    """Iterate over the pairs, or None for an empty text, of the command line, a file or standard input."""
    if config.text_b and len(config.text_b) != len(config.text):
        raise UserError(
            f"--text_b has {len(config.text_b)} texts, --text {len(config.text)}; a pair needs one of each"
        )
    if config.text and config.input:
        raise UserError("--text and --input are two sources of texts; give one")
    for number, text in enumerate((*config.text, *config.text_b), 1):
        if HALF_CHARACTER.search(text):  # what Python makes of bytes that are no characters
            raise UserError(f"text {number} of the command line is not UTF-8; give it with --input")
    if config.text:
        seconds = config.text_b or [None] * len(config.text)
        pairs = zip(config.text, seconds, strict=True)
        return (pair if "".join(filter(None, pair)).strip() else None for pair in pairs)
    return read_pairs(_lines_of(config), config.input or "standard input")


def _lines_of(config):
    """The lines of --input, or of standard input, as bytes."""
    if config.input and config.input != "-":
        try:
            return _closing(open(config.input, "rb"))
        except OSError as error:
            raise UserError(f"--input {config.input} cannot be read: {error.strerror}") from None
    if sys.stdin.isatty():
        _note("reading texts from standard input, one a line; Ctrl+D ends")
    return sys.stdin.buffer


def _closing(file):
    with file:
        yield from file


def as_tsv(pair, values, form):
    """The answer to a pair as tab-separated cells; nothing for an empty text."""
    return "" if values is None else "\t".join(form.cells(values))


def as_json(pair, values, form):
    """One JSON object of texts and answer; the answer is null for an empty text."""
    first, second = pair or ("", None)
    texts = {"text": first} if second is None else {"text": first, "text_b": second}
    return json.dumps({**texts, **form.fields(values)}, ensure_ascii=False)


def _note(text):
    print(text, file=sys.stderr, flush=True)
