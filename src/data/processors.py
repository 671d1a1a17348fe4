"""How the text files of a task are read and encoded: by rows of texts, or by sentences of tagged words."""

from .text.conll import read_sentences
from .text.examples import read_examples
from .tokenization.features import encode_examples
from .tokenization.token_features import encode_sentences


def read_rows(path, task, on_bad_row="error", max_rows=-1, split="train"):
    """The TextFile of a file of `task`: `read_examples`, or `read_sentences` where each word has a tag."""
    return _by_word(task, read_sentences, read_examples)(path, task, on_bad_row, max_rows, split)


def encode_rows(examples, tokenizer, task, max_seq_length, title=""):
    """The (TokenizedDataset, EncodingCounts) of what `read_rows` gave."""
    return _by_word(task, encode_sentences, encode_examples)(examples, tokenizer, task, max_seq_length, title)


def _by_word(task, sentences, rows):
    return sentences if task.output_mode == "token_classification" else rows
