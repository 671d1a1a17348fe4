"""The command compress from a csv file to recommended/, checked against onnxruntime and scikit-learn."""

import json

import numpy as np
import onnxruntime
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, f1_score

from src.data.records.io import read_records
from src.digests import sha256
from src.errors import Interrupted, UserError
from src.files import folder_lock
from src.stages.compress import run as compress_run
from src.stages.compress import trials
from src.stages.compress.planning import plan
from src.stages.compress.planning.measure import Measurement
from src.tools.compress import main
from tests import tiny
from tests.test_bad_input import here, refused  # noqa: F401  (here is a fixture)

pytestmark = pytest.mark.usefixtures("graph_mode")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, vocabulary):
    """A model and a general student of random weights, and rows with and without labels."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "rows.csv").write_text(tiny.single_rows(100, 1).replace("\t", ","))
    three = [f"{tiny.WORDS[n % 9]},{n % 3}" for n in range(40)]
    (folder / "three.csv").write_text("\n".join(["sentence,label", *three]))
    rng = np.random.default_rng(5)
    texts = [tiny.sentence(rng, tiny.MARKS[str(n % 2)], 12) for n in range(60)]
    (folder / "logs.txt").write_text("\n".join(texts))
    tiny.write_model(folder / "model", vocabulary)
    small = tiny.TINY.replace(
        num_hidden_layers=1, hidden_size=16, num_attention_heads=2, intermediate_size=96, labels=()
    )
    tiny.write_model(folder / "general", vocabulary, small)
    tiny.write_model(folder / "deep", vocabulary, small.replace(num_hidden_layers=3))
    tiny.write_model(folder / "short", vocabulary, small.replace(max_position_embeddings=8))
    cut = tiny.write_model(folder / "cut", vocabulary, small)  # one of the two layers of its config
    (cut / "SHA256SUMS").unlink()
    config = (cut / "config.json").read_text().replace('"num_hidden_layers": 1', '"num_hidden_layers": 2')
    (cut / "config.json").write_text(config)
    others = tiny.write_vocabulary(folder / "others", tiny.VOCABULARY[:5] + tiny.VOCABULARY[:4:-1])
    tiny.write_model(folder / "foreign", others, small)
    return folder


def arguments(inputs, out, **more):
    flags = {"model_dir": inputs / "model", "output_dir": out, "max_seq_length": 16, "time_budget": "10m"}
    rows = (
        {} if "unlabelled_file" in more else {"train_file": inputs / "rows.csv", "text_columns": "sentence"}
    )
    return tiny.flags(**{**flags, **rows, **more})


@pytest.fixture
def quick(monkeypatch):
    """A machine that is known, and one epoch of each phase."""
    known = Measurement(1e9, 2.0, 1.0, 3.0, 0.5, 10.0)
    monkeypatch.setattr(compress_run, "measure", lambda *inputs: known)
    monkeypatch.setattr(plan, "MAX_EPOCHS", 1)


def logits_of(folder, dataset):
    """The logits that onnxruntime gets from a model file, row by row."""
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    found = []
    for ids, segments in zip(dataset.by_row(dataset.tokens), dataset.by_row(dataset.segments), strict=True):
        columns = (ids, segments, np.ones_like(ids))
        feed = zip(("input_ids", "token_type_ids", "attention_mask"), columns, strict=True)
        (logits,) = session.run(None, {name: values[None].astype(np.int64) for name, values in feed})
        found.append(logits[0])
    return found


def predictions(folder, dataset):
    """The classes with the largest logits, row by row."""
    return [int(logits.argmax()) for logits in logits_of(folder, dataset)]


def test_from_rows_to_a_recommended_model(inputs, tmp_path, quick, capsys):
    out = tmp_path / "out"
    wanted = {"strict": "false", "max_drop": 100, "load_gd_ckpt_path": inputs / "general"}
    main(arguments(inputs, out, **wanted))
    report = json.loads((out / "report.json").read_text())
    results = {each["name"]: each for each in report["candidates"]}
    assert list(results) == ["model-fp32", "model-int8", "half-int8", "general-int8"]
    dataset = read_records(out / "records_halves" / "report.tfrecord")
    given = predictions(out / "candidates" / "model-fp32", dataset)
    for name, each in results.items():
        answers = predictions(out / "candidates" / name, dataset)
        assert each["metric"] == pytest.approx(accuracy_score(dataset.labels, answers))
        assert each["agreement"] == pytest.approx(np.mean(np.equal(answers, given)))
        assert each["size_mb"] == (out / "candidates" / name / "model.onnx").stat().st_size / 1e6
        assert each["failed"] is None and each["within"]["quality"]
    assert report["status"] == "ok" and results["half-int8"]["layers"] == 1
    assert results["general-int8"]["hidden"] == 16
    for student in ("half-int8", "general-int8"):
        assert set(results[student]["losses"]) == {
            "phase 1 (intermediate layers)",
            "phase 2 (prediction layer)",
        }
    chosen = out / "candidates" / report["chosen"] / "model.onnx"
    assert sha256(out / "recommended" / "model.onnx") == sha256(chosen)
    assert not (out / "models" / "half" / "checkpoints").exists()
    tiny.assert_overwritable(out)
    printed = capsys.readouterr().out
    assert "half-int8: accuracy " in printed and "is recommended: " in printed
    assert (out / "summary.md").read_text() in printed
    steps = [each["step"] for each in report["commands"]]
    assert steps == [
        *("prepare", "export-model-fp32", "export-model-int8", "distill-half", "export-half-int8"),
        *("distill-general", "export-general-int8"),
    ]
    assert str(inputs / "general" / "model.safetensors") in report["hashes"]
    assert report["candidates"][2]["minutes_taken"] > 0 and report["candidates"][2]["minutes_planned"] > 0

    main(arguments(inputs, out, **wanted, resume="true"))  # nothing is left to do
    again = json.loads((out / "report.json").read_text())
    assert without_times(again) == without_times(report)


def without_times(report):
    """A report without what differs from one run to the next: times, and the choice that depends on them."""
    kept = dict(report)
    for name in ("seconds", "seconds_planned", "machine", "chosen", "verdict", "changed"):
        kept.pop(name)
    kept["commands"] = [(each["step"], each["command"]) for each in report["commands"]]
    kept["model"] = {**report["model"], "latency_ms": 0}
    times = ("latency_ms", "latency_ratio", "minutes_taken", "minutes_planned", "recommended", "within")
    kept["candidates"] = [
        {name: value for name, value in each.items() if name not in times} for each in report["candidates"]
    ]
    return kept


def multi_label_rows(rng):
    """CSV of 120 rows: some words, each followed by its label where it is one of the three labels."""
    lines = []
    for _ in range(120):
        marks = [word for word in TAGS if rng.random() < 0.5]
        lines.append(" ".join([*rng.choice(tiny.WORDS[40:], 4), *marks]) + "," + "|".join(marks))
    return "\n".join(["sentence,label", *lines])


TAGS = tuple(tiny.WORDS[:3])
KINDS = {
    "multi_label": (multi_label_rows, TAGS, {"text_columns": "sentence"}),
    "regression": (
        lambda rng: tiny.score_rows(120, 0).replace("\t", ","),
        ("LABEL_0",),
        {"text_columns": "sentence1,sentence2", "label_column": "score"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_labels(inputs, vocabulary, tmp_path, quick, kind):
    """The metric of the given model is scikit-learn's or scipy's over onnxruntime's logits."""
    write, labels, columns = KINDS[kind]
    rows, out = tmp_path / "rows.csv", tmp_path / "out"
    rows.write_text(write(np.random.default_rng(0)))
    config = tiny.TINY.replace(labels=labels, output_mode=kind)
    model = tiny.write_model(tmp_path / "model", vocabulary, config, seed=3)
    more = {"model_dir": model, "train_file": rows, "output_mode": kind, "strict": "false", **columns}
    main(arguments(inputs, out, max_drop=100, **more))
    report = json.loads((out / "report.json").read_text())
    dataset = read_records(out / "records_halves" / "report.tfrecord")
    found = np.array(logits_of(out / "candidates" / "model-fp32", dataset))
    expected = {
        "multi_label": lambda: f1_score(dataset.labels, found > 0, average="micro", zero_division=0),
        "regression": lambda: pearsonr(found[:, 0], dataset.labels).statistic,
    }[kind]()
    assert report["candidates"][0]["metric"] == pytest.approx(expected, abs=1e-6)
    assert report["status"] == "ok" and (out / "recommended" / "model.onnx").is_file()


def test_without_labels_the_measure_is_agreement(inputs, tmp_path, quick, capsys):
    """No candidate agrees in 14 rows so that the lower end of the interval is above 0.97: exit code 3."""
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stopped:
        main(arguments(inputs, out, unlabelled_file=inputs / "logs.txt", time_budget="15s"))
    assert stopped.value.code == 3
    report = json.loads((out / "report.json").read_text())
    assert report["task"]["metric"] == "agreement" and report["task"]["rows"]["unlabeled"] == 48
    assert report["limits"]["max_drop"] is None and report["limits"]["min_agreement"] == 0.97
    model, int8 = report["candidates"]
    dataset = read_records(out / "records_halves" / "report.tfrecord")
    answers = [predictions(out / "candidates" / each["name"], dataset) for each in (model, int8)]
    assert model["metric"] == 1.0 and list(dataset.labels) == answers[0]
    assert int8["metric"] == pytest.approx(np.mean(np.equal(*answers)))
    assert int8["difference"] is None and not int8["within"]["quality"]
    assert report["status"] == "no_candidate" and report["chosen"] == "model-int8"
    assert not (out / "recommended").exists()
    card = (out / "candidates" / "model-int8" / "README.md").read_text()
    assert "agreement over " in card and "accuracy" not in card
    assert [each["name"] for each in report["left_out"]] == ["half-int8"]
    assert "No candidate is within all limits; the closest is model-int8" in capsys.readouterr().out


def test_two_runs_in_one_folder(inputs, tmp_path):
    """The second is refused before it reads what the first writes."""
    (tmp_path / "out").mkdir()
    with folder_lock(tmp_path / "out"), pytest.raises(UserError, match="another process is writing to"):
        main(arguments(inputs, tmp_path / "out", resume="true"))


def test_ctrl_c_before_anything_is_measured_says_how_to_continue(inputs, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "half_logits", interrupt)
    with pytest.raises(Interrupted, match=r"^interrupted; continue with:\n  .*--resume"):
        main(arguments(inputs, tmp_path / "out"))
    assert (tmp_path / "out" / "journal.json").is_file()


def test_wrong_input_is_one_sentence_and_leaves_nothing(inputs, here, capsys):  # noqa: F811
    rows = inputs / "rows.csv"
    for wrong, sentence in (
        (
            {"text_columns": "text"},
            "the header lacks text; expected the columns text, label, found sentence, label",
        ),
        ({"train_file": inputs / "absent.csv"}, "absent.csv does not exist"),
        ({"model_dir": inputs / "nowhere"}, "nowhere"),
        ({"train_file": inputs / "three.csv"}, "but the rows are of three, with 0, 1, 2 (classification)"),
        ({"time_budget": "soon"}, '--time_budget "soon" is not a time; write 40m, 2h or 1h30m'),
        ({"train_data_dir": inputs}, "--train_data_dir and --train_file are mutually exclusive"),
        ({"test_file": rows}, "--test_file: compress reports on evaluation rows alone"),
        ({"resume": "true"}, "--resume: out holds no run to resume"),
        ({"unlabelled_file": inputs / "logs.txt", "max_drop": 5}, "--max_drop is about labels"),
        ({"max_drop": -1}, "--max_drop -1.0 (command line) must be 0 or more"),
        ({"eval_data_dir": rows}, "--eval_data_dir requires --train_data_dir"),
        ({"load_gd_ckpt_path": inputs / "nowhere"}, "nowhere"),
        ({"load_gd_ckpt_path": inputs / "deep"}, "has 3 layers, more than the 2 of"),
        ({"load_gd_ckpt_path": inputs / "foreign"}, "has another tokenizer than"),
        ({"load_gd_ckpt_path": inputs / "cut"}, "does not fit its config"),
        ({"load_gd_ckpt_path": inputs / "short"}, "the records are 16 long, the model has 8 positions"),
    ):
        error = refused(main, arguments(inputs, "out", **wrong), capsys)
        assert sentence in error, error
        assert not (here / "out").exists()
