"""Runs killed while they evaluate end, when resumed, where an unbroken run ends, with all its evaluations."""

import json

import pytest

from run_finetune import main as finetune
from run_q8bert_train import main as q8bert
from run_task_distill import main as task_distill
from src.stages.evaluation.evaluator import Evaluator
from src.stages.training.run import Run
from src.train.logger import RunLogger
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
SHALLOW = tiny.TINY.replace(num_hidden_layers=1)
# The 40 rows make six steps an epoch: a checkpoint is due after the last of them, which is evaluated too.
COMMON = {"batch_size": 7, "learning_rate": 2e-3, "length_buckets": "off", "logging_step": 1}
SIZES = {"num_hidden_layers": 1, "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 40}
FINETUNE = {"epoch_size": 2, "save_ckpt_step": 3}
# The killed run has no checkpoint of phase 2 yet.
TASK_DISTILL = {"td_phase1_epoch_size": 1, "td_phase2_epoch_size": 2, "save_ckpt_step": 6, **SIZES}
Q8BERT = {"epoch_num": 2, "save_ckpt_step": 3, "eval_ckpt_step": 4, "calibration_steps": 1}
MEASURING, WRITING_BEST = (Evaluator, "metrics"), (Run, "keep_best")
# The entrance, the flag of its first model, the others, and after what each run is killed: of an evaluation
# the measuring or the writing of best/, and which evaluation of that run it is.
CASES = {
    "finetune": (
        finetune,
        "load_pretrained_path",
        FINETUNE,
        [(MEASURING, 1), (WRITING_BEST, 1), (MEASURING, 2)],
    ),
    "phase 2": (task_distill, "load_teacher_ckpt_path", TASK_DISTILL, [(WRITING_BEST, 1)]),
    "q8bert": (q8bert, "load_ckpt_path", Q8BERT, [(MEASURING, 2)]),
}


class Killed(BaseException):
    """What ends a run as kill -9 does: nothing catches it, nothing more is written."""


def kill_after(patch, place, number):
    owner, method = place
    call, count = getattr(owner, method), iter(range(1, 100))

    def call_and_kill(*arguments):
        result = call(*arguments)
        if next(count) == number:
            raise Killed
        return result

    patch.setattr(owner, method, call_and_kill)


def flatter(patch):
    """Another than the unbroken run's evaluation: what came after the checkpoint need not come again."""
    metrics = Evaluator.metrics
    patch.setattr(Evaluator, "metrics", lambda evaluator: {**metrics(evaluator), "eval_accuracy": 2.0})


def losses_of(out):
    entries = map(json.loads, (out / "losses.jsonl").read_text().splitlines())
    return [{**entry, "examples_per_second": None} for entry in entries]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_no_evaluation_is_lost(tmp_path, vocabulary, sst2, monkeypatch, case):
    main, model_flag, values, kills = case
    arrays = tiny.random_arrays(SHALLOW, seed=3, spread=0.1)
    model = tiny.write_model(tmp_path / "model", vocabulary, SHALLOW, arrays)
    flags = tiny.flags(
        task_name="SST-2", train_data_dir=sst2, eval_data_dir=sst2, **{model_flag: model}, **COMMON, **values
    )
    whole, broken, more, seen = tmp_path / "whole", tmp_path / "broken", [], []
    monkeypatch.setattr(RunLogger, "log_metrics", lambda _, metrics: seen.append(metrics))
    main([*flags, f"--output_dir={whole}"])
    evaluations = {each["step"]: each for each in seen}
    assert list(evaluations) == ([4, 6, 8, 12] if main is q8bert else [6, 12])
    seen.clear()
    for place, number in kills:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            if place is WRITING_BEST:
                flatter(patch)
            kill_after(patch, place, number)
            main([*flags, f"--output_dir={broken}", *more])
        more = ["--resume"]
    main([*flags, f"--output_dir={broken}", *more])
    assert {each["step"]: each for each in seen} == evaluations  # the last of each step counts
    for name in ("best", "last"):
        for file in ("model.safetensors", "metrics.json"):
            same = (broken / name / file).read_bytes() == (whole / name / file).read_bytes()
            assert same, f"{name}/{file}"
    assert losses_of(broken) == losses_of(whole)
