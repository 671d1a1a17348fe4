"""FIFOs, devices and sockets in place of files: one sentence instead of waiting for a writer."""

import os
import signal

import pytest

from src.errors import UserError
from src.tools.augment import main as augment
from src.tools.convert import main as convert
from src.tools.evaluate import main as evaluate
from src.tools.prepare import main as prepare
from src.tools.prepare_corpus import main as prepare_corpus
from src.tools.rank_table import main as rank_table
from src.tools.training.task_distill import main as distill
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
# Command, flags without and with the special file, whose path is put for {}.
CASES = {
    "weights": (convert, ["--output_dir=out", "--input={}"]),
    "weights in a folder": (convert, ["--output_dir=out", "--input=folder"]),
    "config of weights": (convert, ["--output_dir=out", "--input=model", "--config_file={}"]),
    "records": (evaluate, ["--model_dir=model", "--task_name=SST-2", "--eval_data_dir={}"]),
    "rank table": (rank_table, ["--rank_table={}"]),
    "task file": (prepare, ["--vocab_file=vocab", "--output_dir=out", "--task_file={}"]),
    "text": (prepare, ["--vocab_file=vocab", "--output_dir=out", "--text_columns=a", "--train_file={}"]),
    "words and tags": (
        prepare,
        ["--vocab_file=vocab", "--output_dir=out", "--output_mode=token_classification", "--train_file={}"],
    ),
    "text of a GLUE task": (
        prepare,
        ["--vocab_file=vocab", "--output_dir=out", "--task_name=SST-2", "--data_dir=folder"],
    ),
    "corpus": (prepare_corpus, ["--vocab_file=vocab", "--output_dir=out", "--input={}"]),
    "word vectors": (augment, ["--task_name=SST-2", "--data_dir=text", "--glove_file={}"]),
    "config of the model zoo": (distill, ["--config_path={}"]),
}


SUFFIXED = {"task file": "fifo.yaml", "config of the model zoo": "fifo.yaml", "text": "fifo.tsv"}


@pytest.fixture
def here(tmp_path, monkeypatch, vocabulary):
    """A working folder with a FIFO under every name that the commands read."""
    monkeypatch.chdir(tmp_path)
    tiny.write_model(tmp_path / "model", vocabulary)
    os.symlink(vocabulary, "vocab")
    for folder in ("folder", "text"):
        os.mkdir(folder)
    for name in ("folder/model.safetensors", "folder/train.tsv", "fifo.yaml", "fifo.tsv", "fifo"):
        os.mkfifo(name)
    for name in ("train", "dev"):
        (tmp_path / "text" / f"{name}.tsv").write_text(tiny.single_rows(8, 1))
    return tmp_path


def give_up(number, frame):
    pytest.fail("the command waits for a writer")


@pytest.mark.parametrize("case", CASES)
def test_a_fifo_is_one_sentence(case, here):
    main, flags = CASES[case]
    name = SUFFIXED.get(case, "fifo")
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(30)
    try:
        with pytest.raises(UserError, match=" is a FIFO; give a regular file"):
            main([flag.format(name) for flag in flags])
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert not (here / "out").exists()
