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
from src.errors import Interrupted, UserError
from src.infer.weight_files import read_weights
from src.tools.convert import main as convert
from src.tools.evaluate import main as evaluate
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
TEACHER = tiny.TINY.replace(num_hidden_layers=4)
SIZES = [
    "--num_hidden_layers",
    "2",
    "--hidden_size",
    "24",
    "--num_attention_heads",
    "4",
    "--intermediate_size",
    "40",
]
SAME_WIDTH = [
    "--num_hidden_layers",
    "2",
    "--hidden_size",
    "32",
    "--num_attention_heads",
    "4",
    "--intermediate_size",
    "48",
]
STUDENT = tiny.TINY.replace(hidden_size=24, intermediate_size=40)
SHORT = [
    "--length_buckets",
    "off",
    "--batch_size",
    "8",
    "--learning_rate",
    "2e-3",
    "--logging_step",
    "2",
    "--phase2_learning_rate",
    "2e-3",
]
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?"


def arguments(records, out, teacher, *flags, task="SST-2"):
    return [
        "--task_name",
        task,
        "--load_teacher_ckpt_path",
        str(teacher),
        "--train_data_dir",
        str(records),
        "--eval_data_dir",
        str(records),
        "--output_dir",
        str(out),
        *SHORT,
        *map(str, flags),
    ]


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
    """A four-layer model fine-tuned through run_finetune.py."""
    folder = tmp_path_factory.mktemp("teacher")
    arrays = {
        name: a for name, a in tiny.random_arrays(TEACHER, spread=0.1).items() if name.startswith("bert.")
    }
    start = tiny.write_model(folder / "start", vocabulary, TEACHER.replace(labels=()), arrays)
    finetune(
        [
            "--task_name",
            "SST-2",
            "--load_pretrained_path",
            str(start),
            "--train_data_dir",
            str(sst2),
            "--eval_data_dir",
            str(sst2),
            "--output_dir",
            str(folder / "out"),
            "--epoch_size",
            "5",
            "--attention_probs_dropout_prob",
            "0.1",
            *SHORT[:8],
        ]
    )
    return folder / "out" / "best"


@pytest.fixture(scope="module")
def general(tmp_path_factory, vocabulary):
    """A general student: body without head, and the projection to the teacher's width."""
    arrays = {name: a for name, a in tiny.random_arrays(STUDENT, seed=3).items() if name.startswith("bert.")}
    draw = np.random.default_rng(4)
    arrays["hidden_projection.weight"] = draw.standard_normal((32, 24)).astype(np.float32)
    arrays["hidden_projection.bias"] = draw.standard_normal(32).astype(np.float32)
    config = STUDENT.replace(labels=())
    return tiny.write_model(tmp_path_factory.mktemp("general") / "model", vocabulary, config, arrays)


@pytest.fixture(scope="module")
def done(tmp_path_factory, teacher, sst2):
    """One whole run with a fresh student and dropout; while it trains, the teacher is watched."""
    from src.train.loop import Loop

    out, watched = tmp_path_factory.mktemp("distilled") / "out", []
    run = Loop.run

    def watching(loop, phase, done=0):
        network = phase.step.network
        teacher_cells = [cell for _, cell in network.teacher.cells_and_names()]
        before = {p.name: p.asnumpy().copy() for p in network.teacher.get_parameters()}
        run(loop, phase, done)
        watched.append(
            {
                "teacher trains": any(cell.training for cell in teacher_cells),
                "student trains": network.student.training,
                "teacher in optimizer": any("teacher" in p.name for p in phase.step.optimizer.parameters),
                "teacher changed": any(
                    (p.asnumpy() != before[p.name]).any() for p in network.teacher.get_parameters()
                ),
            }
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "run", watching)
        main(arguments(sst2, out, teacher, *SIZES, "--td_phase1_epoch_size", 4, "--td_phase2_epoch_size", 3))
    return out, watched


def test_the_folder_of_a_run(done):
    out, _ = done
    assert {"phase1", "best", "last", "checkpoints", "log.txt", "losses.jsonl", "run_config.json"} == set(
        os.listdir(out)
    )
    for name in ("phase1", "best", "last"):
        assert {"model.safetensors", "config.json", "vocab.txt", "tokenizer.json"} <= set(
            os.listdir(out / name)
        )
    config = BertConfig.from_json(out / "best" / "config.json")
    assert (config.num_hidden_layers, config.hidden_size, config.labels) == (2, 24, ("0", "1"))
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
    assert len(re.findall(r"^epoch time: [\d.]+ ms, per step time: [\d.]+ ms$", log, re.M)) == 7
    assert len(re.findall(r"^The best acc is [01]\.\d+$", log, re.M)) == 3  # phase 2 only
    assert "load_gd_ckpt_path is empty), its weights are fresh" in log
    assert "layer map 1<-2, 2<-4" in log


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
    main(
        [
            "--do_train",
            "false",
            "--do_eval",
            "true",
            "--task_name",
            "SST-2",
            "--eval_data_dir",
            str(sst2),
            "--load_td1_ckpt_path",
            str(done[0] / "best"),
            "--output_dir",
            str(tmp_path / "out"),
        ]
    )
    lines = capsys.readouterr().out.strip().splitlines()
    found = json.loads(next(line for line in lines if line.startswith("{")))
    best = metrics_of(done[0] / "best")
    assert found == {name: best[name] for name in ("eval_accuracy", "eval_samples")}
    assert lines[-1] == f"The best acc is {best['eval_accuracy']:.6f}"
    evaluate(
        [
            "--model_dir",
            str(done[0] / "best"),
            "--task_name",
            "SST-2",
            "--eval_data_dir",
            str(sst2),
            "--output_dir",
            str(tmp_path),
        ]
    )
    assert json.loads(capsys.readouterr().out) == found


@pytest.mark.reference
def test_transformers_opens_the_student(done, sst2):
    transformers = pytest.importorskip("transformers")
    model = transformers.BertForSequenceClassification.from_pretrained(done[0] / "best")
    assert sum(p.numel() for p in model.parameters()) == sum(
        a.size for a in weights_of(done[0] / "best").values()
    )


def test_a_student_after_phase_1_skips_it(tmp_path, done, teacher, sst2):
    out = tmp_path / "out"
    main(
        arguments(
            sst2,
            out,
            teacher,
            "--load_td1_ckpt_path",
            done[0] / "phase1",
            "--td_phase2_epoch_size",
            1,
            "--label_weight",
            0.5,
            "--temperature",
            2,
        )
    )
    log = log_of(out)
    assert "phase 1" not in log.replace(str(done[0]), "") and not (out / "phase1").exists()
    assert re.search(rf"epoch: 1, step: 4, outputs are .*logits {NUMBER}, labels {NUMBER}, skipped", log)
    assert (out / "best" / "model.safetensors").is_file()


def start_of(tmp_path, records, teacher, *flags):
    """The student's weights before any training."""
    out = tmp_path / "start"
    main(arguments(records, out, teacher, "--train_steps", 0, *flags))
    return weights_of(out / "last"), log_of(out)


def test_a_student_from_the_teacher_s_layers(tmp_path, teacher, sst2):
    student, log = start_of(tmp_path, sst2, teacher, *SAME_WIDTH, "--student_init", "teacher_layers")
    theirs = weights_of(teacher)
    expected = {}
    for name, array in theirs.items():
        layer = re.match(r"bert\.encoder\.layer\.(\d)\.", name)
        if not layer:
            expected[name] = array
        elif layer[1] in "13":  # teacher layers 2 and 4, counted from 1
            expected[name.replace(f"layer.{layer[1]}.", f"layer.{int(layer[1]) // 2}.")] = array
    assert_same_weights(student, expected)
    assert "student from the teacher's embeddings, pooler and layers 2, 4" in log


def test_an_explicit_layer_map(tmp_path, teacher, sst2):
    flags = [*SAME_WIDTH, "--student_init", "teacher_layers", "--layer_map", "1,2"]
    student, log = start_of(tmp_path, sst2, teacher, *flags)
    name = "bert.encoder.layer.1.attention.self.query.weight"
    np.testing.assert_array_equal(student[name], weights_of(teacher)[name])
    assert "layer map 1<-1, 2<-2" in log


def test_a_general_student(tmp_path, teacher, general, sst2):
    student, log = start_of(tmp_path, sst2, teacher, "--load_gd_ckpt_path", general)
    theirs = weights_of(general)
    assert_same_weights(
        {n: a for n, a in student.items() if n.startswith("bert.")},
        {n: a for n, a in theirs.items() if n.startswith("bert.")},
    )
    assert "the hidden projection of the general student is carried along" in log
    assert "the head is new" in log and f"student from {general}" in log


def test_ckpt_files_take_their_config_from_td_config(tmp_path, teacher, general, sst2, monkeypatch):
    files = {}
    for name, folder in (("teacher", teacher), ("general", general)):
        convert(["--input", str(folder), "--output_dir", str(tmp_path / name), "--to", "ckpt"])
        (tmp_path / name / "config.json").unlink()
        files[name] = next((tmp_path / name).glob("*.ckpt"))
    monkeypatch.setattr("src.stages.task_distill.TEACHER_NET", TEACHER)
    monkeypatch.setattr("src.stages.task_distill.STUDENT_NET", STUDENT.replace(labels=()))
    student, _ = start_of(tmp_path, sst2, files["teacher"], "--load_gd_ckpt_path", files["general"])
    name = "bert.encoder.layer.1.output.dense.weight"
    np.testing.assert_array_equal(student[name], weights_of(general)[name])


def test_a_teacher_whose_labels_stand_in_another_order(tmp_path, vocabulary, sst2):
    """The same function under swapped outputs teaches the same student."""
    arrays = tiny.random_arrays(TEACHER, seed=8)
    swapped = {n: a[::-1].copy() if n.startswith("classifier.") else a for n, a in arrays.items()}
    plain = tiny.write_model(tmp_path / "plain", vocabulary, TEACHER, arrays)
    turned = tiny.write_model(tmp_path / "turned", vocabulary, TEACHER.replace(labels=("1", "0")), swapped)
    for name, folder in (("a", plain), ("b", turned)):
        main(
            arguments(
                sst2,
                tmp_path / name,
                folder,
                *SIZES,
                "--td_phase1_epoch_size",
                0,
                "--train_steps",
                3,
                "--do_eval",
                "false",
            )
        )
    assert_same_weights(*(weights_of(tmp_path / name / "last") for name in "ab"), atol=1e-6)


def test_labels_by_position_are_said_aloud(tmp_path, vocabulary, sst2):
    teacher = tiny.write_model(
        tmp_path / "teacher", vocabulary, TEACHER.replace(labels=("LABEL_0", "LABEL_1"))
    )
    _, log = start_of(tmp_path, sst2, teacher, *SIZES)
    assert "labels by position: LABEL_0 = 0, LABEL_1 = 1" in log


PLAIN = [
    *SIZES,
    "--td_phase1_epoch_size",
    "1",
    "--td_phase2_epoch_size",
    "1",
    "--hidden_dropout_prob",
    "0",
    "--attention_probs_dropout_prob",
    "0",
    "--logging_step",
    "1",
    "--do_eval",
    "false",
]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, teacher, sst2):
    """The student's weights at the end of a run without dropout."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    main(arguments(sst2, out, teacher, *PLAIN))
    return weights_of(out / "last")


@pytest.mark.parametrize("phase", [1, 2])
def test_ctrl_c_and_resuming_end_where_an_unbroken_run_ends(
    tmp_path, teacher, sst2, unbroken, monkeypatch, phase
):
    from src.train.journal import Journal

    record, out = Journal.record, tmp_path / "out"

    def record_and_interrupt(journal, **values):
        record(journal, **values)
        if (values["phase"], values["step"]) == (phase, 3):
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "record", record_and_interrupt)
        with pytest.raises(Interrupted, match=rf"at step 3 of phase {phase} .*, state saved"):
            main(arguments(sst2, out, teacher, *PLAIN))
    main(arguments(sst2, out, teacher, *PLAIN, "--resume"))
    assert f"phase{phase}_step_3.safetensors (step 3)" in log_of(out)
    assert_same_weights(unbroken, weights_of(out / "last"), atol=1e-6)
    steps = re.findall(r"^epoch: \d+, step: (\d+),", log_of(out), re.M)
    assert steps == [str(step) for step in (1, 2, 3, 4, 5)] * 2


@pytest.mark.parametrize("target", ["teacher", "label"])
def test_regression(tmp_path, vocabulary, target):
    texts = {"train": tiny.score_rows(24, 1), "dev": tiny.score_rows(9, 2)}
    records = tiny.prepare_task(tmp_path, vocabulary, "STS-B", texts)
    config = TEACHER.replace(labels=(), output_mode="regression")
    teacher = tiny.write_model(tmp_path / "teacher", vocabulary, config)
    out = tmp_path / "out"
    main(
        arguments(
            records, out, teacher, *SIZES, "--train_steps", 2, "--regression_target", target, task="STS-B"
        )
    )
    log = log_of(out)
    part = {"teacher": "logits", "label": "labels"}[target]
    assert re.search(rf"outputs are \({NUMBER}, False, 65536\), {part} {NUMBER}, skipped", log)
    assert "The best pearson is" in log and metrics_of(out / "last")["eval_samples"] == 9
    assert weights_of(out / "last")["classifier.weight"].shape == (1, 24)


def test_mnli_has_two_evaluation_sets(tmp_path, vocabulary, capsys):
    texts = {
        "train": tiny.mnli_rows(16, 1),
        "dev_matched": tiny.mnli_rows(7, 2),
        "dev_mismatched": tiny.mnli_rows(5, 3),
    }
    records = tiny.prepare_task(tmp_path, vocabulary, "MNLI", texts)
    teacher = tiny.write_model(
        tmp_path / "teacher", vocabulary, TEACHER.replace(labels=("contradiction", "entailment", "neutral"))
    )
    out = tmp_path / "out"
    main(arguments(records, out, teacher, *SIZES, "--train_steps", 1, task="mnli"))
    metrics = metrics_of(out / "last")
    assert (metrics["eval_samples"], metrics["eval_samples_mm"]) == (7, 5)
    assert {"eval_accuracy", "eval_accuracy_mm"} <= set(metrics)
    # A file alone is evaluated alone.
    capsys.readouterr()
    evaluate(
        [
            "--model_dir",
            str(out / "last"),
            "--task_name",
            "MNLI",
            "--output_dir",
            str(tmp_path),
            "--eval_data_dir",
            str(records / "dev_mismatched.tfrecord"),
        ]
    )
    alone = json.loads(capsys.readouterr().out)
    assert alone == {"eval_accuracy": metrics["eval_accuracy_mm"], "eval_samples": 5}


def test_the_student_s_own_sizes(tmp_path, teacher, sst2):
    flags = [
        *SIZES,
        "--use_relative_positions",
        "--head_activation",
        "relu",
        "--hidden_act",
        "relu",
        "--attention_weight",
        0,
        "--num_attention_heads",
        2,
        "--train_steps",
        1,
    ]
    main(arguments(sst2, tmp_path / "out", teacher, *flags))
    config = BertConfig.from_json(tmp_path / "out" / "last" / "config.json")
    assert config.use_relative_positions and config.head_activation == "relu" and config.hidden_act == "relu"
    assert (
        "embedding" in log_of(tmp_path / "out")
        and "attention " not in log_of(tmp_path / "out").split("outputs")[1]
    )
    assert not any("position_embeddings" in name for name in weights_of(tmp_path / "out" / "last"))
    evaluate(
        [
            "--model_dir",
            str(tmp_path / "out" / "last"),
            "--task_name",
            "SST-2",
            "--eval_data_dir",
            str(sst2),
            "--output_dir",
            str(tmp_path),
        ]
    )


def test_two_starts_at_once(tmp_path, teacher, general, sst2):
    with pytest.raises(UserError, match="are two different starts; give one"):
        main(
            arguments(
                sst2,
                tmp_path / "out",
                teacher,
                "--load_gd_ckpt_path",
                general,
                "--student_init",
                "teacher_layers",
            )
        )
    assert not (tmp_path / "out").exists()
