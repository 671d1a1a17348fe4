"""Reading and encoding of task files: rows of text, or sentences of tagged words (CoNLL)."""

from pathlib import Path

from ..tasks import TaskSpec
from .dataset import TokenizedDataset
from .text.conll import read_sentences
from .text.examples import TextFile, read_examples
from .text.spans import read_spans
from .text.tabular import OBJECTS
from .tokenization.features import EncodingCounts, encode_examples
from .tokenization.token_features import encode_sentences
from .tokenization.tokenizer import TextTokenizer


def read_rows(
    path: str | Path, task: TaskSpec, on_bad_row: str = "error", max_rows: int = -1, split: str = "train"
) -> TextFile:
    """Read a file of `task`: rows of text, or for tokens CoNLL, or JSON lines of entities by position."""
    read = read_examples
    if task.output_mode == "token_classification":
        read = read_spans if Path(path).suffix in OBJECTS else read_sentences
    return read(path, task, on_bad_row, max_rows, split)


def encode_rows(
    examples: list,
    tokenizer: TextTokenizer,
    task: TaskSpec,
    max_seq_length: int,
    title: str = "",
) -> tuple[TokenizedDataset, EncodingCounts]:
    """Encode the examples of a TextFile that `read_rows` returned."""
    encode = encode_sentences if task.output_mode == "token_classification" else encode_examples
    return encode(examples, tokenizer, task, max_seq_length, title)
