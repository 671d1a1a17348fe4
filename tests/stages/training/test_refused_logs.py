"""Training does not end with its log: where the disk refuses it, the models are written all the same."""

import errno
import os

import pytest

from run_finetune import main as finetune
from src.errors import run_main
from src.weights.reader import read_weights
from tests import tiny

REFUSED = ("log.txt", "events.out.tfevents.", ".losses.png.")


@pytest.mark.usefixtures("graph_mode")
def test_a_run_without_logs(tmp_path, vocabulary, sst2, monkeypatch, caplog):
    model = tiny.write_model(tmp_path / "model", vocabulary, tiny.TINY.replace(num_hidden_layers=1))
    flags = {"load_pretrained_path": model, "train_data_dir": sst2, "eval_data_dir": sst2, "train_steps": 1}
    flags.update(task_name="SST-2", length_buckets="off", kernels="off", output_dir=tmp_path / "out")
    open_file = os.open

    def refuse(path, *arguments, **options):
        if os.path.basename(path).startswith(REFUSED):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return open_file(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    run_main(lambda: finetune(tiny.flags(**flags)))
    log, events, plot = caplog.messages
    assert "/log.txt cannot be written (input/output error); the run goes on" in log
    assert "/events.out.tfevents." in events and "the losses are not plotted: " in plot
    for name in ("best", "last"):
        assert read_weights(tmp_path / "out" / name).arrays
