"""From `main` of run_task_distill.py to the optimizer in at most nine stack frames of this project.

`python -m pytest -s tests/stages/training/test_call_depth.py` prints them.
"""

import traceback
from pathlib import Path

import mindspore as ms
import pytest

import run_task_distill
from src.train.train_step import TrainStep
from tests import tiny

MAX_FRAMES = 9
ROOT = Path(run_task_distill.__file__).parent
SIZES = "--num_hidden_layers 1 --hidden_size 24 --num_attention_heads 4 --intermediate_size 40".split()


class OptimizerCalled(Exception):
    """Ends the run at its first optimizer call."""


def project_frames():
    """`file: function` of each frame of this project, from `main` of the script on."""
    stack = [(Path(frame.filename), frame.name) for frame in traceback.extract_stack()]
    sources = [(path.relative_to(ROOT), name) for path, name in stack if path.is_relative_to(ROOT)]
    frames = [f"{path}: {name}" for path, name in sources if path.parts[0] in ("src", "run_task_distill.py")]
    return frames[frames.index("run_task_distill.py: main") :]


def test_frames_from_main_to_the_optimizer(tmp_path, vocabulary, sst2, monkeypatch, graph_mode):
    """The step is one compiled graph; here it is interpreted, so that its own calls are on the stack too."""
    frames = []

    def interpret(step, *columns):
        for method in ("construct", "update"):
            monkeypatch.setattr(type(step.optimizer), method, record, raising=False)
        ms.set_context(mode=ms.PYNATIVE_MODE)
        try:
            return step.construct(*columns)
        finally:
            ms.set_context(mode=ms.GRAPH_MODE)

    def record(*arguments):
        frames.extend(project_frames())
        raise OptimizerCalled

    monkeypatch.setattr(TrainStep, "__call__", interpret, raising=False)
    teacher = tiny.write_model(tmp_path / "teacher", vocabulary, tiny.TINY.replace(num_hidden_layers=1))
    places = {"task_name": "SST-2", "load_teacher_ckpt_path": teacher, "train_data_dir": sst2}
    values = {"do_eval": "false", "kernels": "off"}
    with pytest.raises(OptimizerCalled):
        run_task_distill.main([*tiny.flags(**places, **values, output_dir=tmp_path / "out"), *SIZES])
    calls = [*frames, "src/train/optimizer.py: construct"]
    print(*calls, sep="\n")
    assert len(calls) <= MAX_FRAMES
