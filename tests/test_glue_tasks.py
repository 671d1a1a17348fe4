"""GLUE's nine tasks, in GLUE's file formats, through every stage; submission files."""

import json

import numpy as np
import pytest

from run_finetune import main as finetune
from run_q8bert_train import main as q8bert
from run_task_distill import main as distill
from src.data.records.io import read_records
from src.data.tokenization.tokenizer import load_tokenizer
from src.stages.serving.predict import Classifier
from src.tasks import TASKS
from src.tools.evaluate import main as evaluate
from src.tools.export import main as export
from src.tools.prepare import main as prepare
from tests import glue, tiny
from tests.test_bad_input import here, refused  # noqa: F401  (here is a fixture)

TASK_NAMES = list(glue.COLUMNS)
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in TASK_NAMES if name not in ("MNLI", "STS-B")]
SHORT = tiny.flags(length_buckets="off", batch_size=8, learning_rate=2e-3, logging_step=5)
# Without a cache the teacher is part of the step's graph: one graph fewer to compile.
NO_CACHE = ["--teacher_cache=off"]
SIZES = tiny.flags(
    num_hidden_layers=1,
    hidden_size=24,
    num_attention_heads=4,
    intermediate_size=40,
    td_phase1_epoch_size=1,
    td_phase2_epoch_size=2,
)
FILES = {
    "MNLI": {"MNLI-m.tsv": "test_matched", "MNLI-mm.tsv": "test_mismatched", "AX.tsv": "test_diagnostic"}
}
BODY = tiny.TINY.replace(labels=(), num_hidden_layers=1)


def records_of(folder, vocabulary, name, *flags):
    """Write and prepare one task; returns (its rows, the folder of the records)."""
    written = glue.write_task(folder / "text", TASKS[name])
    prepare(
        tiny.flags(
            task_name=name,
            data_dir=folder / "text",
            vocab_file=vocabulary,
            output_dir=folder / "records",
            max_seq_length=24,
        )
        + list(flags)
    )
    return written, folder / "records"


@pytest.mark.parametrize("name", TASK_NAMES)
def test_prepare_reads_glue_files(tmp_path, vocabulary, name):
    task = TASKS[name]
    written, records = records_of(tmp_path, vocabulary, name)
    manifest = json.loads((records / "manifest.json").read_text())
    assert list(manifest["files"]) == list(task.files)
    tokenizer = load_tokenizer(vocabulary)
    for split, rows in written.items():
        entry, table = manifest["files"][split], read_records(records, split=split)
        assert entry["rows"] == table.rows == len(rows) and not entry["skipped"]
        assert entry["unlabelled"] == (glue.UNLABELED if name == "MNLI" and split.startswith("dev") else 0)
        for row, (texts, _) in enumerate(rows):
            pieces = [tokenizer.cls_id]
            for text in texts:
                pieces += [*tokenizer.encode([text])[0], tokenizer.sep_id]
            assert table.tokens[table.offsets[row] : table.offsets[row + 1]].tolist() == pieces, (split, row)
        if split.startswith("test"):
            assert table.labels is None and not entry["labelled"]
        else:
            expected = [task.labels.index(label) if task.labels else np.float32(label) for _, label in rows]
            assert table.labels.tolist() == expected


@pytest.mark.usefixtures("graph_mode")
@pytest.mark.parametrize("name", ["MNLI", "STS-B", *SLOW])
def test_task_through_every_stage(tmp_path, vocabulary, name, capsys):
    written, records = records_of(tmp_path, vocabulary, name)
    pretrained = tiny.write_model(tmp_path / "start", vocabulary, BODY, tiny.random_arrays(BODY, spread=0.1))
    records_flags = tiny.flags(task_name=name, train_data_dir=records, eval_data_dir=records) + SHORT
    folders = {stage: tmp_path / stage for stage in ("teacher", "student", "q8bert")}
    finetune(
        [
            *records_flags,
            *tiny.flags(load_pretrained_path=pretrained, output_dir=folders["teacher"], epoch_size=2),
        ]
    )
    distill(
        [
            *records_flags,
            *SIZES,
            *NO_CACHE,
            *tiny.flags(load_teacher_ckpt_path=folders["teacher"] / "best", output_dir=folders["student"]),
        ]
    )
    q8bert(
        [
            *records_flags,
            *NO_CACHE,
            *tiny.flags(
                load_ckpt_path=folders["student"] / "best",
                epoch_num=1,
                load_teacher_ckpt_path=folders["teacher"] / "best",
                output_dir=folders["q8bert"],
            ),
        ]
    )
    check_best_is_the_highest(TASKS[name], folders["teacher"])
    export(
        tiny.flags(
            model_dir=folders["q8bert"] / "best",
            precision="int8",
            output_dir=tmp_path / "int8",
            eval_data_dir=records,
        )
    )
    capsys.readouterr()
    evaluate(
        tiny.flags(
            model_dir=tmp_path / "int8",
            task_name=name,
            eval_data_dir=records,
            output_dir=tmp_path / "results",
            write_predictions=tmp_path / "submission",
        )
    )
    metrics = json.loads(capsys.readouterr().out)
    assert metrics == json.loads((tmp_path / "results" / "eval_results.json").read_text())
    check_all_metrics(TASKS[name], metrics, written)
    check_submission(TASKS[name], tmp_path / "int8", tmp_path / "submission", written)


def check_best_is_the_highest(task, folder):
    """best/ has the highest best_metric of the run; MNLI uses the matched dev set."""
    key = f"eval_{task.best_metric}"
    lines = (folder / "log.txt").read_text().splitlines()
    values = [json.loads(line)[key] for line in lines if line.startswith("{")]
    best = json.loads((folder / "best" / "metrics.json").read_text())
    assert len(values) == 2 and best[key] == max(values)


def check_all_metrics(task, metrics, written):
    names = {f"eval_{name}" for name in (*task.metrics, "samples")}
    if task.name == "MNLI":
        names |= {f"{name}_mm" for name in names}
        assert metrics["eval_samples_mm"] == len(written["dev_mismatched"])
    assert set(metrics) == names
    assert metrics["eval_samples"] == len(written["dev_matched" if task.name == "MNLI" else "dev"])


def check_submission(task, model, submission, written):
    """Each row of the test files occurs once, in order, with the model's prediction for its text."""
    files = FILES.get(task.name, {f"{task.name}.tsv": "test"})
    assert {path.name for path in submission.iterdir()} == set(files)
    classify = Classifier(model, max_seq_length=24)
    for file, split in files.items():
        header, *lines = [line.split("\t") for line in (submission / file).read_text().splitlines()]
        assert header == ["index", "prediction"]
        assert [index for index, _ in lines] == [str(row) for row in range(len(written[split]))]
        predictions = classify([texts[0] if len(texts) == 1 else tuple(texts) for texts, _ in written[split]])
        if task.labels:
            assert [label for _, label in lines] == [label for label, _ in predictions]
        else:
            scores = np.clip(predictions, 0, 5)
            np.testing.assert_allclose([float(score) for _, score in lines], scores, atol=1e-4)


# Submission files


def export_random_model(folder, vocabulary, labels, output_mode):
    """Export a random model with large outputs to ONNX, which is evaluated without compilation."""
    config = tiny.TINY.replace(labels=labels, output_mode=output_mode, num_hidden_layers=1)
    arrays = tiny.random_arrays(config, seed=3)
    arrays["classifier.weight"] *= 40
    tiny.write_model(folder / "model", vocabulary, config, arrays)
    export(tiny.flags(model_dir=folder / "model", output_dir=folder / "onnx", kernels="off"))
    return folder / "onnx"


@pytest.fixture(scope="module")
def scorer(tmp_path_factory, vocabulary):
    """Regression model with scores far outside 0 to 5."""
    return export_random_model(tmp_path_factory.mktemp("scorer"), vocabulary, (), "regression")


def test_mnli_has_two_dev_sets_and_three_submission_files(tmp_path, vocabulary, capsys):
    task = TASKS["MNLI"]
    written, records = records_of(tmp_path, vocabulary, "MNLI")
    # The order of the model's labels differs from the task's.
    model = export_random_model(
        tmp_path, vocabulary, ("neutral", "contradiction", "entailment"), "classification"
    )
    capsys.readouterr()
    evaluate(
        tiny.flags(
            model_dir=model,
            task_name="MNLI",
            eval_data_dir=records,
            output_dir=tmp_path,
            write_predictions=tmp_path / "submission",
        )
    )
    metrics = json.loads(capsys.readouterr().out)
    check_all_metrics(task, metrics, written)
    check_submission(task, model, tmp_path / "submission", written)
    classify = Classifier(model, max_seq_length=24)
    for split, ending in (("dev_matched", ""), ("dev_mismatched", "_mm")):
        predictions = classify([tuple(texts) for texts, _ in written[split]])
        pairs = zip(written[split], predictions, strict=True)
        correct = [label == predicted for (_, label), (predicted, _) in pairs]
        assert metrics[f"eval_accuracy{ending}"] == pytest.approx(np.mean(correct))


def test_labels_assigned_to_unnamed_outputs_are_printed(tmp_path, vocabulary, capsys):
    _, records = records_of(tmp_path, vocabulary, "MNLI")
    model = export_random_model(tmp_path, vocabulary, ("LABEL_0", "LABEL_1", "LABEL_2"), "classification")
    capsys.readouterr()
    evaluate(tiny.flags(model_dir=model, task_name="MNLI", eval_data_dir=records, output_dir=tmp_path))
    printed = capsys.readouterr()
    assert "LABEL_0 = contradiction, LABEL_1 = entailment, LABEL_2 = neutral" in printed.err
    assert "eval_accuracy_mm" in json.loads(printed.out)


def submission_lines(scorer, records, folder):
    evaluate(
        tiny.flags(
            model_dir=scorer,
            task_name="STS-B",
            eval_data_dir=records,
            output_dir=folder,
            write_predictions=folder / "submission",
        )
    )
    return (folder / "submission" / "STS-B.tsv").read_text().splitlines()


def test_submitted_scores_are_clipped_to_0_to_5(tmp_path, vocabulary, scorer):
    written, records = records_of(tmp_path, vocabulary, "STS-B")
    scores = [float(line.split("\t")[1]) for line in submission_lines(scorer, records, tmp_path)[1:]]
    raw = Classifier(scorer)([tuple(texts) for texts, _ in written["test"]])
    assert min(raw) < 0 or max(raw) > 5
    np.testing.assert_allclose(scores, np.clip(raw, 0, 5), atol=1e-4)


def test_submission_has_placeholders_for_skipped_rows(tmp_path, vocabulary, scorer, capsys):
    records_of(tmp_path / "whole", vocabulary, "STS-B")
    whole = submission_lines(scorer, tmp_path / "whole" / "records", tmp_path / "whole")
    glue.write_task(tmp_path / "text", TASKS["STS-B"])
    file = tmp_path / "text" / "test.tsv"
    lines = file.read_text().splitlines()
    for line in (2, 4):
        lines.insert(line, "broken")
    file.write_text("\n".join(lines) + "\n")
    prepare(
        tiny.flags(
            task_name="STS-B",
            data_dir=tmp_path / "text",
            vocab_file=vocabulary,
            output_dir=tmp_path / "records",
            max_seq_length=24,
            on_bad_row="skip",
        )
    )
    capsys.readouterr()
    actual = submission_lines(scorer, tmp_path / "records", tmp_path)
    assert "7 rows of test.tsv; 2 rows skipped by prepare are set to 0.000000" in capsys.readouterr().err
    scores = [line.split("\t")[1] for line in whole[1:]]
    expected = [scores[0], "0.000000", scores[1], "0.000000", *scores[2:]]
    assert actual == ["index\tprediction", *(f"{row}\t{score}" for row, score in enumerate(expected))]


def test_records_without_all_rows_are_rejected(tmp_path, vocabulary, scorer, here, capsys):  # noqa: F811
    records_of(tmp_path / "cut", vocabulary, "STS-B", "--max_rows", "5")
    (tmp_path / "cut" / "text" / "test.tsv").unlink()
    prepare(
        tiny.flags(
            task_name="STS-B",
            data_dir=tmp_path / "cut" / "text",
            vocab_file=vocabulary,
            output_dir=tmp_path / "none",
            max_seq_length=24,
        )
    )
    cases = {
        tmp_path / "cut" / "records": "contains the first 5 rows of test.tsv (--max_rows of prepare)",
        tmp_path / "none": "contains no test records: put test.tsv next to the dev file",
        tmp_path / "none" / "dev.tfrecord": "requires a folder written by prepare",
    }
    for records, message in cases.items():
        flags = tiny.flags(model_dir=scorer, task_name="STS-B", eval_data_dir=records)
        assert message in refused(evaluate, [*flags, "--write_predictions=submission"], capsys)


def test_submission_errors_are_raised_before_the_evaluation(tmp_path, scorer, here, capsys):  # noqa: F811
    (tmp_path / "file").write_text("kept")
    cases = {
        "STS-B": f"--write_predictions {tmp_path / 'file'} is a file; give a folder",
        "sample-ner": "a token_classification task has no submission file here",
    }
    for name, message in cases.items():
        flags = tiny.flags(model_dir=scorer, task_name=name, eval_data_dir=tmp_path)
        path = tmp_path / ("file" if name == "STS-B" else "submission")
        assert message in refused(evaluate, [*flags, f"--write_predictions={path}"], capsys)
