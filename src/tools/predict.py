"""python -m src.tools.predict: predict labels and probabilities of texts with a model or an exported file."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import ModelConfig
from ..config.fields import NOT_NEGATIVE, POSITIVE, flag, required_flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class PredictConfig(ModelConfig):
    """Predict a label and its probability, a score, or a tag for each word of the given texts."""

    model_dir: str = required_flag("model folder: best/ or last/ of a run, a Hugging Face BERT, or an export")
    text: tuple[str, ...] = flag((), "input texts, one argument each", main=True)
    text_b: tuple[str, ...] = flag((), "second texts of pairs, one for each --text")
    input: str = flag("", "input file, one text per line, pairs separated by a tab (default: standard input)")
    input_format: str = flag(
        "text",
        "conll, for token classification: one word per line, a blank line between sentences",
        ("text", "conll"),
    )
    format: str = flag(
        "tsv",
        "output format. tsv: label, tab, probability (or word, tab, tag); json: one object per line with "
        "text and all probabilities (or entities)",
        ("tsv", "json"),
    )
    max_seq_length: int = flag(
        0, "maximum sequence length; longer texts are truncated (0: the model's maximum)", check=NOT_NEGATIVE
    )
    batch_size: int = flag(32, "batch size", check=POSITIVE)
    threads: int = flag(0, "ONNX Runtime threads for an exported model (0: one per core)", check=NOT_NEGATIVE)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the predictions."""
    config = parse(PredictConfig, argv, prog=command_line("predict")).config
    from ..stages.serving.predict import predict

    predict(config)


if __name__ == "__main__":
    run_main(main)
