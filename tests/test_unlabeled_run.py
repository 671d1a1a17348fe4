"""Training on rows without a label: distillation uses them, other stages leave them out or refuse."""

import json

import numpy as np
import pytest

from run_finetune import main as finetune
from run_q8bert_train import main as q8bert
from run_task_distill import main as distill
from src.data.records.io import read_records
from src.tools.compare import main as compare
from src.tools.evaluate import main as evaluate
from src.tools.export import main as export
from src.tools.prepare import main as prepare
from tests import tiny
from tests.test_bad_input import here, refused  # noqa: F401  (here is a fixture)

pytestmark = pytest.mark.usefixtures("graph_mode")
STUDENT = {"num_hidden_layers": 1, "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 40}
SHORT = {"length_buckets": "off", "batch_size": 8, "learning_rate": 2e-3, "phase2_learning_rate": 2e-3}
EPOCHS = {"td_phase1_epoch_size": 1, "td_phase2_epoch_size": 2}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, vocabulary):
    """A teacher of the labels 0 and 1, records without any label, records of 24 rows with and 24 without."""
    folder = tmp_path_factory.mktemp("unlabeled")
    rng = np.random.default_rng(5)
    texts = [tiny.sentence(rng, tiny.MARKS[str(n % 2)], 12) for n in range(48)]
    (folder / "logs.txt").write_text("\n".join(texts))
    (folder / "few.txt").write_text("\n".join(texts[:24]))
    (folder / "rows.csv").write_text(tiny.single_rows(24, 1).replace("\t", ","))
    teacher = tiny.write_model(folder / "teacher", vocabulary)
    places = {"vocab_file": teacher, "max_seq_length": 16}
    prepare(
        tiny.flags(**places, unlabelled_file=folder / "logs.txt", output_dir=folder / "none", dev_share=0.3)
    )
    rows = folder / "rows.csv"
    labeled = tiny.flags(train_file=rows, dev_file=rows, text_columns="sentence", task_name="logs")
    mixed = tiny.flags(
        unlabelled_file=folder / "few.txt", output_dir=folder / "mixed", dataset_type="mindrecord"
    )
    prepare([*tiny.flags(**places), *labeled, *mixed])
    return {"teacher": teacher, "none": folder / "none", "mixed": folder / "mixed"}


def distill_flags(inputs, records, out, **more):
    places = {"train_data_dir": inputs[records], "eval_data_dir": inputs[records], "output_dir": out}
    form = {"dataset_type": "mindrecord"} if records == "mixed" else {}
    teacher = {"load_teacher_ckpt_path": inputs["teacher"]}
    return tiny.flags(**teacher, **places, **form, **STUDENT, **SHORT, **{**EPOCHS, **more})


@pytest.fixture(scope="module")
def student(inputs, tmp_path_factory, graph_mode):
    """A student distilled without any label."""
    out = tmp_path_factory.mktemp("student") / "out"
    distill(distill_flags(inputs, "none", out))
    return out


def logits_of(folder, records):
    from functools import partial

    from src.config.evaluate_config import EvaluateConfig
    from src.data import splits
    from src.infer.logits import collect_logits
    from src.stages.model.inference import load_for_inference

    config = EvaluateConfig(model_dir=str(folder), eval_data_dir=str(records))
    loader = splits.make_loader(read_records(records, split="dev"), config, 8, shuffle=False)
    return partial(collect_logits, load_for_inference(str(folder), config).predict)(loader)


def test_a_run_without_any_label_is_measured_by_agreement(inputs, student):
    """The metric is that of NumPy over the logits of both models; best/ is the model with the highest."""
    log = (student / "log.txt").read_text()
    assert "phase 1 (intermediate layers): 34 rows (34 without a label), batch 8" in log
    assert "no evaluation row has a label: the metric is the agreement with the teacher's predictions" in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith('{"eval_agreement"')]
    best, last = (json.loads((student / name / "metrics.json").read_text()) for name in ("best", "last"))
    assert len(lines) == 2 and best["eval_agreement"] == max(each["eval_agreement"] for each in lines)
    ours, theirs = (logits_of(model, inputs["none"]) for model in (student / "last", inputs["teacher"]))
    assert last["eval_agreement"] == pytest.approx(np.mean(ours.argmax(1) == theirs.argmax(1)))
    assert last["eval_samples"] == len(theirs) == 14
    shares = np.bincount(theirs.argmax(1)) / 14
    value, kept = f"{best['eval_agreement']:.4f}", f"{best['eval_agreement']:.1%} kept"
    assert f"verdict: agreement {value} (95 % interval " in log
    assert f"teacher 1.0000, {kept}; the majority class alone {shares.max():.4f}" in log


def test_compare_measures_the_agreement_with_the_first_model(inputs, student, tmp_path, capsys):
    models = f"teacher={inputs['teacher']},student={student / 'best'}"
    out = tmp_path / "out"
    compare(tiny.flags(models=models, eval_data_dir=inputs["none"], output_dir=out, timed_sentences=2))
    rows = json.loads((out / "compare.json").read_text())
    best = json.loads((student / "best" / "metrics.json").read_text())
    assert [row["eval_agreement"] for row in rows] == [1.0, best["eval_agreement"]]
    assert "| model   | agreement |" in capsys.readouterr().out


def test_quantization_with_a_teacher_needs_no_labels(inputs, student, tmp_path, capsys):
    model = {"load_ckpt_path": student / "best", "load_teacher_ckpt_path": inputs["teacher"]}
    places = {
        "train_data_dir": inputs["none"],
        "eval_data_dir": inputs["none"],
        "output_dir": tmp_path / "q8",
    }
    q8bert(tiny.flags(**model, **places, epoch_num=1, batch_size=8, length_buckets="off"))
    metrics = json.loads((tmp_path / "q8" / "last" / "metrics.json").read_text())
    assert 0 <= metrics["eval_agreement"] <= 1
    capsys.readouterr()
    places = {"eval_data_dir": inputs["none"], "output_dir": tmp_path / "int8"}
    export(tiny.flags(model_dir=tmp_path / "q8" / "best", precision="int8", **places))
    assert "note: no metric is measured: " in capsys.readouterr().out


def test_labeled_and_unlabeled_rows_from_mindrecord(inputs, tmp_path):
    """Both phases read all rows, also through the cache; dev is measured by its labels."""
    out = tmp_path / "out"
    distill(distill_flags(inputs, "mixed", out, label_weight=0.5, logging_step=1))
    log = (out / "log.txt").read_text()
    assert log.count("48 rows (24 without a label), batch 8") == 2
    steps = [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]
    parts = [step["parts"] for step in steps if step.get("phase") == 2 and "parts" in step]
    assert len(parts) == 12 and all(np.isfinite(list(each.values())).all() for each in parts)
    assert any(each["labels"] > 0 for each in parts)
    assert json.loads((out / "best" / "metrics.json").read_text())["eval_samples"] == 24
    assert "eval_accuracy" in json.loads((out / "best" / "metrics.json").read_text())


def test_fine_tuning_leaves_rows_without_a_label_out(inputs, tmp_path):
    records = {"train_data_dir": inputs["mixed"], "eval_data_dir": inputs["mixed"]}
    flags = {"load_pretrained_path": inputs["teacher"], "dataset_type": "mindrecord", "output_dir": tmp_path}
    finetune(tiny.flags(**records, **flags, epoch_size=1, batch_size=8, length_buckets="off"))
    log = (tmp_path / "log.txt").read_text()
    assert "24 rows have a label; 24 have none and are left out" in log
    assert "finetune: 24 rows, batch 8" in log


def test_stages_that_need_labels_say_so(inputs, here, capsys):  # noqa: F811
    records = {"train_data_dir": inputs["none"], "eval_data_dir": inputs["none"], "output_dir": "out"}
    none = "none of the 34 rows has a label, which is needed here"
    flags = tiny.flags(**records, load_pretrained_path=inputs["teacher"])
    assert none in refused(finetune, flags, capsys)
    assert none in refused(q8bert, tiny.flags(**records, load_ckpt_path=inputs["teacher"]), capsys)
    flags = tiny.flags(model_dir=inputs["teacher"], eval_data_dir=inputs["none"])
    assert "none of the 14 rows has a label" in refused(evaluate, flags, capsys)
    models = {"load_ckpt_path": inputs["teacher"], "load_teacher_ckpt_path": inputs["teacher"]}
    error = refused(q8bert, tiny.flags(**records, **models, is_lgt_fit="true"), capsys)
    assert "no training row has a label, which --is_lgt_fit needs; leave it out" in error
    for more in ({"label_weight": 0.5}, {"td_phase1_epoch_size": 0, "label_weight": 1}):
        error = refused(distill, distill_flags(inputs, "none", "out", **more), capsys)
        assert "no training row has a label, which --label_weight and" in error
