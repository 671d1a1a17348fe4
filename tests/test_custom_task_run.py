"""From a CSV file to int8: every stage on the records of a custom task, without --task_name."""

import csv
import json

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import f1_score

from run_finetune import main as finetune
from run_q8bert_train import main as q8bert
from run_task_distill import main as distill
from src.config.bert_config import BertConfig
from src.errors import run_main
from src.stages.serving.predict import Classifier
from src.tools.compare import main as compare
from src.tools.evaluate import main as evaluate
from src.tools.export import main as export
from src.tools.predict import main as predict
from src.tools.prepare import main as prepare
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
MARKS = {"food": tiny.WORDS[20], "price": tiny.WORDS[21], "service": tiny.WORDS[22]}
LABELS = list(MARKS)
SEPARATOR = " + "
SIZES = {
    "student_preset": "3L-312",
    "num_hidden_layers": 1,
    "hidden_size": 24,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "layer_map": "2",
}
LOOP = {"length_buckets": "off", "batch_size": 8, "learning_rate": 4e-3, "logging_step": 20}


def several_labels(rng):
    """Draw a text with words of any of three topics, and these topics."""
    topics = [label for label in LABELS if rng.random() < 0.5]
    words = [*rng.choice(tiny.WORDS[40:], 3), *(MARKS[label] for label in topics)]
    return " ".join(rng.permutation(words)), SEPARATOR.join(topics)


def one_label(rng):
    label = str(rng.choice(LABELS))
    return tiny.sentence(rng, MARKS[label], 4), label


def score(rng):
    text, label = one_label(rng)
    return text, f"{LABELS.index(label) + rng.uniform(-0.2, 0.2):.3f}"


class Pipeline:
    """Runs every stage on a CSV file, from records to an int8 model."""

    def __init__(self, folder, vocabulary, mode, row, **flags):
        self.folder, rng = folder, np.random.default_rng(5)
        rows = [row(rng) for _ in range(60)]
        with open(folder / "own.csv", "w", newline="") as file:
            csv.writer(file).writerows([("review", "topic"), *rows])
        body = {n: a for n, a in tiny.random_arrays(tiny.TINY, spread=0.1).items() if n.startswith("bert.")}
        tiny.write_model(folder / "bert", vocabulary, tiny.TINY.replace(labels=()), body)
        prepare(
            tiny.flags(
                train_file=folder / "own.csv",
                text_columns="review",
                label_column="topic",
                output_mode=mode,
                dev_share=0.2,
                vocab_file=vocabulary,
                max_seq_length=16,
                output_dir=self.at("records"),
                **flags,
            )
        )
        self._train(folder / "bert")
        for precision, model in (("int8", "q8bert/best"), ("fp32", "teacher/best")):
            export(
                tiny.flags(
                    model_dir=self.at(model),
                    precision=precision,
                    output_dir=self.at(precision),
                    eval_data_dir=self.at("records"),
                )
            )

    def _train(self, pretrained):
        records = {"train_data_dir": self.at("records"), "eval_data_dir": self.at("records")}
        finetune(
            tiny.flags(
                **records,
                **LOOP,
                epoch_size=12,
                load_pretrained_path=pretrained,
                output_dir=self.at("teacher"),
            )
        )
        distill(
            tiny.flags(
                **records,
                **LOOP,
                **SIZES,
                td_phase1_epoch_size=1,
                td_phase2_epoch_size=24,
                phase2_learning_rate=4e-3,
                label_weight=0.5,
                temperature=2,
                load_teacher_ckpt_path=self.at("teacher/best"),
                output_dir=self.at("student"),
            )
        )
        q8bert(
            tiny.flags(
                **records,
                **LOOP,
                epoch_num=1,
                load_ckpt_path=self.at("student/best"),
                load_teacher_ckpt_path=self.at("teacher/best"),
                output_dir=self.at("q8bert"),
            )
        )

    def at(self, name):
        return self.folder / name

    def metrics(self, name):
        return json.loads((self.at(name) / "metrics.json").read_text())

    def dev_rows(self):
        """(texts, labels) of the rows that prepare split off: those whose tokens are in the dev records."""
        from src.data.records.io import read_records
        from src.data.tokenization.tokenizer import load_tokenizer

        table, tokenizer = read_records(self.at("records"), split="dev"), load_tokenizer(self.at("records"))
        dev = {tuple(table.tokens[a:b]) for a, b in zip(table.offsets, table.offsets[1:], strict=False)}
        rows = list(csv.DictReader((self.at("own.csv")).open()))
        encoded, _, _ = tokenizer.encode_pairs([(row["review"], None) for row in rows], 16)
        split_off = [row for row, ids in zip(rows, encoded, strict=True) if tuple(ids) in dev]
        return [row["review"] for row in split_off], [row["topic"] for row in split_off]

    def evaluated(self, name, capsys):
        capsys.readouterr()
        paths = {"eval_data_dir": self.at("records"), "output_dir": self.at("out")}
        evaluate(tiny.flags(model_dir=self.at(name), **paths))
        return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, vocabulary, graph_mode):
    """A multi-label task through every stage."""
    return Pipeline(
        tmp_path_factory.mktemp("several"),
        vocabulary,
        "multi_label",
        several_labels,
        label_separator=SEPARATOR,
    )


def test_every_model_keeps_labels_and_output_mode(pipeline):
    for name in ("teacher/best", "student/best", "q8bert/best", "int8"):
        config = json.loads((pipeline.at(name) / "config.json").read_text())
        assert config["problem_type"] == "multi_label_classification"
        assert list(config["id2label"].values()) == LABELS
        assert BertConfig.from_json(pipeline.at(name) / "config.json").output_mode == "multi_label"
    log = (pipeline.at("student") / "log.txt").read_text()
    assert "phase 2 (prediction layer)" in log and "The best f1_micro is" in log
    assert "teacher cache of phase 2" in log


def test_teacher_learns_the_task(pipeline):
    assert pipeline.metrics("teacher/best")["eval_f1_micro"] > 0.75


def test_predictions_agree_with_the_reported_metrics(pipeline, capsys):
    texts, topics = pipeline.dev_rows()
    probabilities = Classifier(pipeline.at("int8"))(texts)
    predicted = [[row[label] > 0.5 for label in LABELS] for row in probabilities]
    gold = [[label in topic.split(SEPARATOR) for label in LABELS] for topic in topics]
    metrics = pipeline.evaluated("int8", capsys)
    assert metrics["eval_samples"] == len(texts) >= 10
    assert metrics["eval_f1_micro"] == pytest.approx(f1_score(gold, predicted, average="micro"))
    correct = (np.array(predicted) == np.array(gold)).all(axis=1)
    assert metrics["eval_subset_accuracy"] == pytest.approx(correct.mean())


def test_predict_prints_the_probability_of_every_label(pipeline, capsys):
    capsys.readouterr()
    text = f"{MARKS['food']} {MARKS['service']}"
    predict(["--model_dir", str(pipeline.at("fp32")), "--text", text, ""])
    line, empty = capsys.readouterr().out.splitlines()
    chosen, *cells = line.split("\t")
    assert cells[::2] == LABELS and not empty
    probabilities = dict(zip(LABELS, map(float, cells[1::2]), strict=True))
    assert chosen.split(SEPARATOR) == [label for label in LABELS if probabilities[label] > 0.5]
    predict(["--model_dir", str(pipeline.at("fp32")), "--text", text, " ", "--format", "json"])
    full, none = map(json.loads, capsys.readouterr().out.splitlines())
    assert full["probabilities"] == probabilities and full["labels"] == chosen.split(SEPARATOR)
    assert none == {"text": "", "labels": None, "probabilities": None}


def test_compare_uses_the_metric_of_the_task(pipeline, capsys):
    models = ",".join(f"{name}={pipeline.at(name)}" for name in ("fp32", "int8"))
    compare(
        tiny.flags(
            models=models,
            eval_data_dir=pipeline.at("records"),
            output_dir=pipeline.at("compared"),
            timed_sentences=2,
        )
    )
    assert "f1 micro" in capsys.readouterr().out


@pytest.mark.reference
def test_probabilities_match_transformers(pipeline):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(pipeline.at("teacher/best"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(pipeline.at("teacher/best"))
    texts = pipeline.dev_rows()[0][:4]
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    assert model.config.problem_type == "multi_label_classification"
    ours = [list(answer.values()) for answer in Classifier(pipeline.at("fp32"))(texts)]
    np.testing.assert_allclose(ours, torch.sigmoid(logits).numpy(), atol=1e-5)


def test_another_task_name_is_rejected(pipeline, capsys):
    with pytest.raises(SystemExit) as stop:
        run_main(
            lambda: evaluate(
                tiny.flags(
                    model_dir=pipeline.at("int8"), eval_data_dir=pipeline.at("records"), task_name="SST-2"
                )
            )
        )
    assert stop.value.code == 2 and "which are of own; remove it" in capsys.readouterr().err


@pytest.mark.slow
def test_single_label_classification(tmp_path, vocabulary, capsys):
    pipeline = Pipeline(tmp_path, vocabulary, "classification", one_label, best_metric="f1_macro")
    assert pipeline.metrics("teacher/best")["eval_f1_macro"] > 0.85
    texts, topics = pipeline.dev_rows()
    predicted = [label for label, _ in Classifier(pipeline.at("int8"))(texts)]
    expected = f1_score(topics, predicted, average="macro")
    assert pipeline.evaluated("int8", capsys)["eval_f1_macro"] == pytest.approx(expected)


@pytest.mark.slow
def test_regression(tmp_path, vocabulary, capsys):
    pipeline = Pipeline(tmp_path, vocabulary, "regression", score)
    assert pipeline.metrics("teacher/best")["eval_pearson"] > 0.85
    texts, scores = pipeline.dev_rows()
    expected = pearsonr(Classifier(pipeline.at("int8"))(texts), [float(value) for value in scores])[0]
    assert expected > 0.5
    assert pipeline.evaluated("int8", capsys)["eval_pearson"] == pytest.approx(expected, abs=1e-5)
