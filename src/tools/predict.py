"""python -m src.tools.predict: texts -> labels and probabilities, by a model folder or an exported file."""

import dataclasses

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import DeviceConfig
from ..config.fields import NOT_NEGATIVE, POSITIVE, flag, required_flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class PredictConfig(DeviceConfig):
    """Answer texts with a model: a label and its probability, a score, or a tag for each word."""

    model_dir: str = required_flag("model folder: best/ or last/ of a run, a Hugging Face BERT, or an export")
    text: tuple = flag((), "texts to answer, one argument each")
    text_b: tuple = flag((), "the second texts of pairs, as many as --text has")
    input: str = flag("", "file of texts, one a line, a tab inside pairs (default: standard input)")
    input_format: str = flag(
        "text",
        "conll, for a model that tags words: a word a line, a blank line between sentences",
        ("text", "conll"),
    )
    format: str = flag(
        "tsv",
        "tsv: label, tab, probability (or word, tab, tag); json: one object a line with text and all "
        "probabilities (or entities)",
        ("tsv", "json"),
    )
    max_seq_length: int = flag(
        0, "tokens to which a longer text is cut (0: the model's positions)", check=NOT_NEGATIVE
    )
    batch_size: int = flag(32, "texts a batch", check=POSITIVE)
    threads: int = flag(
        0, "threads of ONNX Runtime for an exported folder (0: one a core)", check=NOT_NEGATIVE
    )


def main(argv=None):
    """Answer the texts that the command line names."""
    config = parse(PredictConfig, argv, prog=command_line("predict")).config
    from ..stages.serving.predict import predict

    predict(config)


if __name__ == "__main__":
    run_main(main)
