"""Token classification and Chinese through every command with tiny models: from text to int8 predictions."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from run_finetune import main as finetune
from run_q8bert_train import main as q8bert
from run_task_distill import main as distill
from src.data.records.io import read_records
from src.data.text.conll import read_sentences
from src.entities import f1
from src.stages.serving.tag import Tagger
from src.tasks import TaskSpec
from src.tools.evaluate import main as evaluate
from src.tools.export import main as export
from src.tools.predict import main as predict
from src.tools.prepare import main as prepare
from tests import chinese, tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
SIZES = {
    "num_hidden_layers": 1,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 32,
    "hidden_dropout_prob": 0,
    "attention_probs_dropout_prob": 0,
    "batch_size": 8,
    "length_buckets": "off",
}
ANY = TaskSpec("any", ("word",), output_mode="token_classification", labels=())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return chinese.write(tmp_path_factory.mktemp("chinese"), train=200, dev=24)


def run(command, **values):
    command(tiny.flags(**values))


def run_pipeline(folder, data, task):
    """Run every command on the task file `task`.yaml; returns the output folders as attributes."""
    names = ("records", "teacher", "student", "q8", "int8")
    paths = SimpleNamespace(**{name: folder / name for name in names})
    run(prepare, task_file=data / f"{task}.yaml", vocab_file=data / "vocab.txt", output_dir=paths.records)
    rows = {"train_data_dir": paths.records, "eval_data_dir": paths.records}
    run(finetune, init="fresh", epoch_size=8, learning_rate=1e-2, output_dir=paths.teacher, **rows, **SIZES)
    run(
        distill,
        load_teacher_ckpt_path=paths.teacher / "best",
        output_dir=paths.student,
        td_phase1_epoch_size=1,
        td_phase2_epoch_size=2,
        learning_rate=1e-3,
        phase2_learning_rate=1e-3,
        teacher_cache="logits",
        student_init="teacher_layers",
        **rows,
        **SIZES,
    )
    run(
        q8bert,
        load_ckpt_path=paths.student / "best",
        load_teacher_ckpt_path=paths.teacher / "best",
        epoch_num=1,
        batch_size=8,
        length_buckets="off",
        teacher_cache="off",
        output_dir=paths.q8,
        **rows,
    )
    run(
        export,
        model_dir=paths.q8 / "best",
        precision="int8",
        output_dir=paths.int8,
        eval_data_dir=paths.records,
    )
    return paths


@pytest.fixture(scope="module")
def names(tmp_path_factory, data):
    return run_pipeline(tmp_path_factory.mktemp("names"), data, "names")


def evaluation_metrics(model, records, capsys):
    capsys.readouterr()
    run(evaluate, model_dir=model, eval_data_dir=records)
    return json.loads(capsys.readouterr().out)


def test_all_models_learn_the_names(names, data, capsys):
    metrics = {
        name: evaluation_metrics(folder, names.records, capsys)
        for name, folder in (
            ("teacher", names.teacher / "best"),
            ("student", names.student / "best"),
            ("int8", names.int8),
        )
    }
    assert metrics["teacher"]["eval_samples"] == 24
    assert all(0.6 < values["eval_entity_f1"] <= 1 for values in metrics.values()), metrics
    # The same score, computed from the tags that the Tagger predicts for the words of the file.
    gold = read_sentences(data / "names_dev.txt", ANY).examples
    rows = Tagger(names.int8)([sentence.words for sentence in gold])
    tags = [[tag for _, tag in row] for row in rows]
    assert f1(tags, [sentence.tags for sentence in gold]) == pytest.approx(metrics["int8"]["eval_entity_f1"])


def test_model_config_and_records_describe_the_task(names):
    config = json.loads((names.student / "best" / "config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert list(config["id2label"].values()) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    table = read_records(names.records, split="train")
    assert table.labels_by_token and table.max_seq_length == 32
    assert "rows, " in (names.student / "log.txt").read_text().split("teacher cache of phase 2")[1]


@pytest.mark.reference
def test_student_matches_transformers(names):
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    folder, sentence = names.student / "last", list("平安住在长春。")
    reference = AutoModelForTokenClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = reference(**tokenizer([sentence], is_split_into_words=True, return_tensors="pt")).logits
    tagger = Tagger(folder)
    ids = tokenizer([sentence], is_split_into_words=True)["input_ids"]
    columns = np.array(ids, np.int32), np.zeros_like(ids, np.int32), np.ones_like(ids, np.int32)
    np.testing.assert_allclose(tagger.model.predict(*columns), logits.numpy(), atol=1e-4)
    expected = [reference.config.id2label[int(index)] for index in logits[0, 1:-1].argmax(-1)]
    assert tagger([sentence, "平安住在长春。"]) == [list(zip(sentence, expected, strict=True))] * 2


@pytest.mark.slow
def test_chinese_films(tmp_path, data, capsys):
    paths = run_pipeline(tmp_path, data, "films")
    assert evaluation_metrics(paths.int8, paths.records, capsys)["eval_accuracy"] > 0.6
    predict(tiny.flags(model_dir=paths.int8, text="这部电影并不好看。"))
    assert capsys.readouterr().out.split("\t")[0] in (chinese.GOOD, chinese.BAD)
