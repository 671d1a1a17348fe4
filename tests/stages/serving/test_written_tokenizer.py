"""Tokenizer files of written folders: no padding, truncation at the model's positions, a tokenizer.json."""

import json
import shutil

import pytest
from tokenizers import Tokenizer

from src.data.tokenization.tokenizer import load_tokenizer
from src.digests import SUMS_FILE
from src.tools.convert import main as convert
from src.tools.export import main as export
from tests import tiny

TEXTS = ["bade deki", "bade " * 40]


@pytest.fixture
def model(tmp_path, vocabulary):
    """A model whose tokenizer.json pads to 128 tokens, as sentence-transformers' do."""
    folder = tiny.write_model(tmp_path / "model", vocabulary)
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.enable_padding(length=128)
    backend.enable_truncation(128)
    backend.save(str(folder / "tokenizer.json"))
    (folder / SUMS_FILE).unlink()
    return folder


@pytest.mark.parametrize("files", ["tokenizer.json", "vocab.txt"])
@pytest.mark.parametrize("write", [convert, export], ids=["convert", "export"])
def test_written_folders(tmp_path, model, write, files):
    if files == "vocab.txt":
        (model / "tokenizer.json").unlink()
        (model / "tokenizer_config.json").unlink()
    expected = load_tokenizer(model).encode_pairs([(text, None) for text in TEXTS], 32)[0]
    source = "--input" if write is convert else "--model_dir"
    write([source, str(model), *tiny.flags(output_dir=tmp_path / "out")])
    backend = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert [encoding.ids for encoding in backend.encode_batch(TEXTS)] == expected
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert config["model_max_length"] == 32


def test_files_of_another_tokenizer_are_copied(tmp_path, model):
    (model / "tokenizer.json").unlink()
    (model / "tokenizer_config.json").write_text('{"tokenizer_class": "BertJapaneseTokenizer"}')
    shutil.copy(model / "vocab.txt", tmp_path)
    convert(["--input", str(model), *tiny.flags(output_dir=tmp_path / "out")])
    assert not (tmp_path / "out" / "tokenizer.json").exists()
    assert (tmp_path / "out" / "vocab.txt").read_bytes() == (model / "vocab.txt").read_bytes()
