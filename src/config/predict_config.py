"""Flags of python -m src.tools.predict."""

import dataclasses

from .fields import NOT_NEGATIVE, POSITIVE, option, required
from .train_config import DeviceConfig


@dataclasses.dataclass(frozen=True)
class PredictConfig(DeviceConfig):
    """Answer texts with a model: a label and its probability, a score, or a tag for each word."""

    model_dir: str = required("model folder: best/ or last/ of a run, a Hugging Face BERT, or an export")
    text: tuple = option((), "texts to answer, one argument each")
    text_b: tuple = option((), "the second texts of pairs, as many as --text has")
    input: str = option("", "file of texts, one a line, a tab inside pairs (default: standard input)")
    input_format: str = option(
        "text",
        "conll, for a model that tags words: a word a line, a blank line between sentences",
        ("text", "conll"),
    )
    format: str = option(
        "tsv",
        "tsv: label, tab, probability (or word, tab, tag); json: one object a line with text and all "
        "probabilities (or entities)",
        ("tsv", "json"),
    )
    max_seq_length: int = option(
        0, "tokens to which a longer text is cut (0: the model's positions)", must=NOT_NEGATIVE
    )
    batch_size: int = option(32, "texts a batch", must=POSITIVE)
    threads: int = option(
        0, "threads of ONNX Runtime for an exported folder (0: one a core)", must=NOT_NEGATIVE
    )
