"""A flipped bit in any file of a folder that this project writes is one sentence, or changes nothing."""

import json
import shutil

import numpy as np
import pytest

from src.data.records.io import read_records
from src.data.tokenization.tokenizer import load_tokenizer
from src.digests import SUMS_FILE
from src.errors import UserError
from src.stages.model.inference import load_for_inference
from src.stages.model.load import read_model
from src.stages.serving.export import export
from src.tools.export import ExportConfig
from src.tools.prepare_corpus import main as prepare_corpus_main
from tests import tiny

FLIPS = 6  # for each file
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, vocabulary):
    """A folder of each kind, by name."""
    place = tmp_path_factory.mktemp("written")
    texts = {"train": tiny.single_rows(12, 1), "dev": tiny.single_rows(3, 2)}
    found = {"weights": tiny.write_model(place / "weights", vocabulary)}
    for kind in ("tfrecord", "mindrecord"):
        found[kind] = tiny.prepare_task(place / kind, vocabulary, "SST-2", texts, f"--dataset_type={kind}")
    (place / "text").write_text(
        "\n".join(f"{tiny.sentence(np.random.default_rng(1), 'bade')} ." for _ in range(40))
    )
    corpus = tiny.flags(
        input=place / "text", vocab_file=vocabulary, output_dir=place / "corpus", num_shards=1
    )
    prepare_corpus_main([*corpus, "--dataset_type=mindrecord", "--max_seq_length=16"])
    return {**found, "corpus": place / "corpus"}


def rows_of(folder, kind, split):
    dataset = read_records(folder, kind, split=split)
    assert dataset.manifest
    labels = [] if dataset.labels is None else dataset.labels.tolist()
    return [
        dataset.tokens.tolist(),
        dataset.segments.tolist(),
        dataset.offsets.tolist(),
        labels,
        dataset.manifest,
    ]


def model_of(folder):
    files = read_model(folder, lambda text: None)
    return [files.config, {name: array.tolist() for name, array in files.arrays.items()}]


READERS = {
    "weights": model_of,
    "tfrecord": lambda folder: rows_of(folder, "tfrecord", "train"),
    "mindrecord": lambda folder: rows_of(folder, "mindrecord", "train"),
    "corpus": lambda folder: rows_of(folder, "mindrecord", None),
}
CASES = [
    *(("weights", name) for name in ("config.json", "model.safetensors", SUMS_FILE)),
    *(
        (kind, name)
        for kind in ("tfrecord", "mindrecord")
        for name in ("manifest.json", "schema.json", SUMS_FILE)
    ),
    ("tfrecord", "train.tfrecord"),
    *(("mindrecord", f"train.mindrecord{suffix}") for suffix in ("", ".db")),
    *(("corpus", f"corpus-00000-of-00001.mindrecord{suffix}") for suffix in ("", ".db")),
    *(("corpus", name) for name in ("manifest.json", SUMS_FILE)),
]


def read_flipped(read, folder, name, place, seed):
    """The result of `read(folder)` with one bit of the file `name` flipped, or the message of a UserError."""
    copy = shutil.copytree(folder, place / "copy")
    data, draw = bytearray((copy / name).read_bytes()), np.random.default_rng(seed)
    # Not in the zeros with which MindRecord fills its pages.
    data[draw.choice(np.flatnonzero(data))] ^= 1 << draw.integers(8)
    (copy / name).write_bytes(data)
    try:
        return read(copy)
    except UserError as error:
        return str(error)
    finally:
        shutil.rmtree(copy)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_flipped_bit(folders, tmp_path, kind, name):
    """At fc5fcf9 most were read as other rows or weights, and MindRecord files ended the process."""
    intact = READERS[kind](folders[kind])
    for seed in range(FLIPS):
        found = read_flipped(READERS[kind], folders[kind], name, tmp_path, seed)
        assert found == intact or (isinstance(found, str) and name in found and "\n" not in found), seed


@pytest.mark.parametrize("kind", ["weights", "mindrecord", "corpus"])
@pytest.mark.parametrize("name", TOKENIZER)
def test_a_flipped_bit_in_a_tokenizer(folders, tmp_path, kind, name):
    def read(folder):
        if name == "vocab.txt":  # read where there is no tokenizer.json
            (folder / "tokenizer.json").unlink()
        return load_tokenizer(folder).settings

    intact = load_tokenizer(folders[kind]).settings
    for seed in range(FLIPS):
        found = read_flipped(read, folders[kind], name, tmp_path, seed)
        assert found == intact or name in found, seed


def test_a_flipped_bit_in_an_export(folders, tmp_path):
    config = ExportConfig(model_dir=str(folders["weights"]), output_dir=str(tmp_path / "onnx"), format="onnx")
    export(config)

    def read(folder):
        return load_for_inference(folder, config).predict(*tiny.token_batch()).tolist()

    intact = read(tmp_path / "onnx")
    for name in ("model.onnx", "config.json"):
        for seed in range(FLIPS):
            found = read_flipped(read, tmp_path / "onnx", name, tmp_path, seed)
            assert found == intact or name in found, seed


def test_folders_without_digests_load(folders, tmp_path):
    """Those of earlier versions, and of others."""
    for kind in READERS:
        copy = shutil.copytree(folders[kind], tmp_path / kind)
        (copy / SUMS_FILE).unlink()
        if (copy / "manifest.json").is_file():
            manifest = json.loads((copy / "manifest.json").read_text())
            assert all(entry.pop("sha256") for entry in manifest["files"].values())
            (copy / "manifest.json").write_text(json.dumps(manifest))
        READERS[kind](copy)
