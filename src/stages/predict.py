"""Texts in, labels and probabilities out: a model folder as a Python object, and the lines of the command."""

import dataclasses
import itertools
import json
import sys

import numpy as np

from src.config.train_config import DeviceConfig
from src.data.features import encode_texts
from src.data.text_lines import read_pairs
from src.data.tokenization import load_tokenizer
from src.errors import UserError
from src.infer.logits import collect_logits
from src.stages.answers import ANSWERS
from src.stages.open_model import open_model
from src.stages.throughput import Meter
from src.tasks import for_mode

LINES = 8192   # read, answered and printed at a time


@dataclasses.dataclass(frozen=True)
class Answers:
    """`values` [rows, C] float32: probabilities of the labels, or scores (C = 1); `truncated` texts cut."""

    values: np.ndarray
    truncated: int


class Classifier:
    """Answers with a model folder: best/ or last/ of a run, a Hugging Face BERT with a head, or an export.

    An exported ONNX file is run by ONNX Runtime with `threads` threads (0: one a core), all else by MindSpore
    on `device_target`, or as `settings`, a DeviceConfig, say. `max_seq_length` cuts longer texts (0: the
    model's positions). Raises UserError for a folder that is none of these.
    """

    def __init__(self, model_dir, max_seq_length=0, batch_size=32, device_target="auto", threads=0,
                 settings=None):
        settings = settings or DeviceConfig(device_target=device_target)
        self.meter = Meter()
        self.model = open_model(model_dir, settings, threads, meter=self.meter)
        config, self.batch_size = self.model.config, batch_size
        self.form = for_mode(ANSWERS, config.output_mode, "answer")(config.labels)
        positions = config.max_position_embeddings
        if max_seq_length > positions:
            raise UserError(f"max_seq_length {max_seq_length} is more than the {positions} positions of "
                            f"{model_dir}")
        self.max_seq_length = max_seq_length or positions
        self.tokenizer = load_tokenizer(self.model.file.parent)

    def __call__(self, texts):
        """One answer for each text, in order.

        `texts` are strings, or pairs (text_a, text_b). Returns (label, probability) for each; for a
        multi-label model {label: probability}, for a regression model the score alone.
        """
        return [self.form.plain(row) for row in self.answer(texts).values]

    def answer(self, texts):
        """The Answers to a list of texts as in a call."""
        pairs = [(text, None) if isinstance(text, str) else tuple(text) for text in texts]
        if not pairs:
            return Answers(np.zeros((0, self.model.config.num_labels), np.float32), 0)
        with self.meter.working():
            table, counts = encode_texts(pairs, self.tokenizer, self.max_seq_length)
            logits = collect_logits(self.model.predict, self.model.batches(table, self.batch_size))
        self.meter.add(table.rows, table.lengths.sum())
        return Answers(self.form.values(logits), counts.truncated)


def predict(config):
    """Answer the texts that a PredictConfig names, one line on standard output for each, in their order.

    An empty text has an empty answer, so that line n still answers line n. How many were empty, and how many
    were cut, is said on standard error; after more texts than a batch, how fast it went too.
    """
    pairs = texts_of(config)
    classify = Classifier(config.model_dir, config.max_seq_length, config.batch_size, threads=config.threads,
                          settings=config)
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


def texts_of(config):
    """Iterate over the pairs, or None for an empty text, of the command line, a file or standard input."""
    if config.text_b and len(config.text_b) != len(config.text):
        raise UserError(f"--text_b has {len(config.text_b)} texts, --text {len(config.text)}; a pair needs "
                        "one of each")
    if config.text and config.input:
        raise UserError("--text and --input are two sources of texts; give one")
    if config.text:
        seconds = config.text_b or [None] * len(config.text)
        pairs = zip(config.text, seconds, strict=True)
        return (pair if "".join(filter(None, pair)).strip() else None for pair in pairs)
    if config.input and config.input != "-":
        return _file_pairs(config.input)
    if sys.stdin.isatty():
        _note("reading texts from standard input, one a line; Ctrl+D ends")
    return read_pairs(sys.stdin.buffer, "standard input")


def _file_pairs(path):
    try:
        file = open(path, "rb")
    except OSError as error:
        raise UserError(f"--input {path} cannot be read: {error.strerror}") from None
    return _closing(file, path)


def _closing(file, path):
    with file:
        yield from read_pairs(file, path)


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
