"""run_task_distill.py on tiny models: both phases, every start of the student, evaluation alone, resuming."""

import json
import os
import re
import signal

import numpy as np
import pytest

from run_finetune import main as finetune
from run_task_distill import main
from src.config.bert_config import BertConfig
from src.errors import Interrupted
from src.stages.training import task_distill
from src.tools.evaluate import main as evaluate
from src.weights.reader import read_weights
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
# Compiling takes longer than anything else here, so what is trained is as shallow as can be.
TEACHER = tiny.TINY
SIZES = "--num_hidden_layers 1 --hidden_size 24 --num_attention_heads 4 --intermediate_size 40".split()
SHORT = "--length_buckets off --batch_size 8 --learning_rate 2e-3 --logging_step 2".split()
NO_DROPOUT = "--hidden_dropout_prob 0 --attention_probs_dropout_prob 0".split()
WHOLE = "--td_phase1_epoch_size 4 --td_phase2_epoch_size 3".split() + SIZES + NO_DROPOUT
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?"


def arguments(records, out, teacher, *more, task="SST-2", **values):
    places = {"task_name": task, "load_teacher_ckpt_path": teacher, "train_data_dir": records}
    return [
        *tiny.flags(**places, eval_data_dir=records, output_dir=out, phase2_learning_rate=2e-3),
        *SHORT,
        *map(str, more),
        *tiny.flags(**values),
    ]


def evaluated(model, records, out, capsys, task="SST-2"):
    """What src.tools.evaluate prints: one JSON line and nothing else."""
    capsys.readouterr()
    evaluate(tiny.flags(model_dir=model, task_name=task, eval_data_dir=records, output_dir=out))
    return json.loads(capsys.readouterr().out)


def log_of(out):
    return (out / "log.txt").read_text()


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def weights_of(folder):
    return read_weights(folder).arrays


def assert_same_weights(one, other, **tolerance):
    assert set(one) == set(other)
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name], err_msg=name, **(tolerance or {"rtol": 0}))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, vocabulary, sst2, graph_mode):
    """A model fine-tuned through run_finetune.py; its config has dropout."""
    folder = tmp_path_factory.mktemp("teacher")
    arrays = {n: a for n, a in tiny.random_arrays(TEACHER, spread=0.1).items() if n.startswith("bert.")}
    config = TEACHER.replace(labels=(), attention_probs_dropout_prob=0.1, hidden_dropout_prob=0.1)
    start = tiny.write_model(folder / "start", vocabulary, config, arrays)
    places = {
        "train_data_dir": sst2,
        "eval_data_dir": sst2,
        "output_dir": folder / "out",
        "task_name": "SST-2",
    }
    finetune(
        [
            *(f"--{name}={value}" for name, value in places.items()),
            *SHORT,
            "--epoch_size",
            "5",
            "--load_pretrained_path",
            str(start),
        ]
    )
    return folder / "out" / "best"


@pytest.fixture(scope="module")
def done(tmp_path_factory, teacher, sst2):
    """One whole run with a fresh student; while it trains, the teacher is watched."""
    from src.train.trainer import Trainer

    out, watched = tmp_path_factory.mktemp("distilled") / "out", []
    run = Trainer.run

    def watching(trainer, phase, callbacks, start_step):
        step, teacher = phase.step.cell, phase.cached_teacher.teacher.cell
        teacher_cells = [cell for _, cell in teacher.cells_and_names()]
        before = {p.name: p.asnumpy().copy() for p in teacher.get_parameters()}
        run(trainer, phase, callbacks, start_step)
        watched.append(
            {
                "teacher trains": any(cell.training for cell in teacher_cells),
                "student trains": step.network.student.training,
                "teacher in optimizer": any("teacher" in p.name for p in step.optimizer.parameters),
                "teacher changed": any(
                    (p.asnumpy() != before[p.name]).any() for p in teacher.get_parameters()
                ),
            }
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "run", watching)
        main(arguments(sst2, out, teacher, *WHOLE))
    return out, watched


def test_the_folder_of_a_run(done):
    out, _ = done
    assert set(os.listdir(out)) == {"phase1", *tiny.LEFT}
    tiny.assert_overwritable(out)
    for name in ("phase1", "best", "last"):
        assert {"model.safetensors", "config.json", "vocab.txt", "tokenizer.json"} <= set(
            os.listdir(out / name)
        )
    config = BertConfig.from_json(out / "best" / "config.json")
    assert (config.num_hidden_layers, config.hidden_size, config.labels) == (1, 24, ("0", "1"))
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["phase2_step_15.safetensors"]
    assert metrics_of(out / "best")["eval_samples"] == 13
    assert not any("projection" in name for name in weights_of(out / "best"))


def test_the_lines_that_the_model_zoo_s_users_look_for(done):
    log = log_of(done[0])
    head = rf"^epoch: (\d+), step: (\d+), outputs are \({NUMBER}, False, 65536\), "
    first = re.findall(head + rf"embedding {NUMBER}, hidden {NUMBER}, attention {NUMBER}, skipped", log, re.M)
    assert [int(step) for _, step in first] == list(range(2, 21, 2))
    second = re.findall(head + rf"logits {NUMBER}, skipped steps 0", log, re.M)
    assert [int(step) for _, step in second] == [2, 4, 6, 8, 10, 12, 14, 15]
    assert len(re.findall(r"^epoch time: [\d.]+ ms, per step time: [\d.]+ ms", log, re.M)) == 7
    assert len(re.findall(r"^The best acc is [01]\.\d+$", log, re.M)) == 3  # phase 2 only
    assert "load_gd_ckpt_path is empty), initialized randomly" in log
    best = metrics_of(done[0] / "best")["eval_accuracy"]
    assert re.search(rf"^verdict: accuracy {best:.4f} \(95 % interval 0.*\), teacher [01]\.\d+, ", log, re.M)
    assert re.search(r"^teacher cache: \S+ MB deleted", log, re.M)
    assert not list((done[0].parent / "teacher_cache").iterdir())
    assert "layer map 1<-2" in log


def test_the_student_comes_nearer_to_its_teacher(done):
    losses = [json.loads(line) for line in (done[0] / "losses.jsonl").read_text().splitlines()]
    first = [entry["loss"] for entry in losses if entry["phase"] == 1]
    second = [entry["loss"] for entry in losses if entry["phase"] == 2]
    assert first[-1] < 0.9 * first[0] and min(second) < second[0]
    entry = losses[0]
    assert entry["loss"] == pytest.approx(sum(entry["parts"].values()), rel=1e-4)


def test_the_teacher_is_never_trained_and_never_drops_out(done):
    assert (
        done[1]
        == [
            {
                "teacher trains": False,
                "student trains": True,
                "teacher in optimizer": False,
                "teacher changed": False,
            }
        ]
        * 2
    )


def test_evaluation_alone(done, sst2, capsys, tmp_path):
    best = done[0] / "best"
    main(
        tiny.flags(
            do_train="false",
            do_eval="true",
            task_name="SST-2",
            eval_data_dir=sst2,
            load_td1_ckpt_path=best,
            output_dir=tmp_path / "out",
        )
    )
    lines = capsys.readouterr().out.strip().splitlines()
    found = json.loads(next(line for line in lines if line.startswith("{")))
    expected = metrics_of(best)
    assert found == {name: expected[name] for name in ("eval_accuracy", "eval_samples")}
    assert lines[-1] == f"The best acc is {expected['eval_accuracy']:.6f}"
    assert evaluated(best, sst2, tmp_path, capsys) == found


@pytest.mark.reference
def test_transformers_opens_the_student(done, sst2):
    transformers = pytest.importorskip("transformers")
    model = transformers.BertForSequenceClassification.from_pretrained(done[0] / "best")
    assert sum(p.numel() for p in model.parameters()) == sum(
        a.size for a in weights_of(done[0] / "best").values()
    )


def test_a_student_after_phase_1_skips_it(tmp_path, done, teacher, sst2):
    out, phase1 = tmp_path / "out", done[0] / "phase1"
    values = {"td_phase2_epoch_size": 1, "label_weight": 0.5, "temperature": 2, "do_eval": "false"}
    main(arguments(sst2, out, teacher, load_td1_ckpt_path=phase1, **values))
    log = log_of(out)
    assert "phase 1" not in log and not (out / "phase1").exists() and f"student from {phase1}" in log
    assert re.search(rf"epoch: 1, step: 4, outputs are .*logits {NUMBER}, labels {NUMBER}, skipped", log)
    assert (out / "last" / "model.safetensors").is_file() and not (out / "best").exists()


def test_ctrl_c_in_both_phases_ends_where_an_unbroken_run_ends(tmp_path, done, teacher, sst2, monkeypatch):
    """Interrupted in phase 1 and, resumed, in phase 2."""
    from src.train.logger import RunLogger

    log_step, out, places = RunLogger.log_step, tmp_path / "out", [(1, 8), (2, 6)]

    def log_and_interrupt(logger, **values):
        log_step(logger, **values)
        if places and (values["phase"], values["step"]) == places[0]:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(RunLogger, "log_step", log_and_interrupt)
    flags = arguments(sst2, out, teacher, *WHOLE)
    while places:
        with pytest.raises(
            Interrupted, match=rf"at step {places[0][1]} of phase {places[0][0]} .*, state saved"
        ):
            main(flags)
        places.pop(0)
        flags = arguments(sst2, out, teacher, *WHOLE, "--resume")
    main(flags)
    log = log_of(out)
    assert "phase1_step_8.safetensors (step 8)" in log and "phase2_step_6.safetensors (step 6)" in log
    for name in ("phase1", "best", "last"):
        assert_same_weights(weights_of(done[0] / name), weights_of(out / name), atol=1e-6)
    steps = r"^epoch: \d+, step: (\d+),"
    assert re.findall(steps, log, re.M) == re.findall(steps, log_of(done[0]), re.M)
    assert metrics_of(out / "best") == metrics_of(done[0] / "best")
    assert re.findall(r"^verdict: .*", log, re.M) == re.findall(r"^verdict: .*", log_of(done[0]), re.M)


@pytest.mark.parametrize("target, part", [("teacher", "logits"), ("label", "labels")])
def test_regression(tmp_path, vocabulary, monkeypatch, target, part):
    texts = {"train": tiny.score_rows(24, 1), "dev": tiny.score_rows(9, 2)}
    records = tiny.prepare_task(tmp_path, vocabulary, "STS-B", texts)
    config = TEACHER.replace(labels=(), output_mode="regression")
    teacher, out = tiny.write_model(tmp_path / "teacher", vocabulary, config), tmp_path / "out"
    values = {"train_steps": 2, "td_phase1_epoch_size": 0, "regression_target": target}
    temperatures = tiny.temperatures_of(task_distill, monkeypatch)
    main(arguments(records, out, teacher, *SIZES, task="STS-B", temperature=4, **values))
    log = log_of(out)
    assert re.search(rf"outputs are \({NUMBER}, False, 65536\), {part} {NUMBER}, skipped", log)
    assert "The best pearson is" in log and metrics_of(out / "last")["eval_samples"] == 9
    assert weights_of(out / "last")["classifier.weight"].shape == (1, 24) and temperatures == [1.0]


def test_mnli_has_two_evaluation_sets(tmp_path, vocabulary, capsys):
    texts = {
        "train": tiny.mnli_rows(16, 1),
        "dev_matched": tiny.mnli_rows(7, 2),
        "dev_mismatched": tiny.mnli_rows(5, 3),
    }
    records = tiny.prepare_task(tmp_path, vocabulary, "MNLI", texts)
    config = TEACHER.replace(labels=("contradiction", "entailment", "neutral"))
    teacher, out = tiny.write_model(tmp_path / "teacher", vocabulary, config), tmp_path / "out"
    main(arguments(records, out, teacher, *SIZES, task="mnli", train_steps=1, td_phase1_epoch_size=0))
    metrics = metrics_of(out / "last")
    assert (metrics["eval_samples"], metrics["eval_samples_mm"]) == (7, 5)
    assert {"eval_accuracy", "eval_accuracy_mm"} <= set(metrics)
    # A file alone is evaluated alone.
    alone = evaluated(out / "last", records / "dev_mismatched.tfrecord", tmp_path, capsys, "MNLI")
    assert alone == {"eval_accuracy": metrics["eval_accuracy_mm"], "eval_samples": 5}


def test_the_student_s_own_sizes(tmp_path, teacher, sst2, capsys):
    values = {
        "use_relative_positions": "true",
        "head_activation": "relu",
        "hidden_act": "relu",
        "num_attention_heads": 2,
        "attention_weight": 0,
    }
    out = tmp_path / "out"
    main(
        arguments(
            sst2,
            out,
            teacher,
            *SIZES,
            td_phase1_epoch_size=1,
            td_phase2_epoch_size=0,
            do_eval="false",
            **values,
        )
    )
    config = BertConfig.from_json(out / "last" / "config.json")
    assert config.use_relative_positions and config.head_activation == "relu" and config.hidden_act == "relu"
    line = next(line for line in log_of(out).splitlines() if line.startswith("epoch: 1, step: 2,"))
    assert "embedding" in line and "hidden" in line and "attention" not in line
    assert not any("position_embeddings" in name for name in weights_of(out / "last"))
    assert evaluated(out / "last", sst2, tmp_path, capsys)["eval_samples"] == 13
