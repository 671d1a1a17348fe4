"""Which labels the outputs of a model on disk have, and how they meet those of a task."""

import contextlib
import json

import numpy as np
import pytest

from src.config.bert_config import BertConfig
from src.data.dataset import TokenizedDataset, check_segments
from src.errors import UserError
from src.stages.model.load import match_labels, read_model
from src.tasks import TASKS, find_task, label_key
from tests import families, tiny


def silent(text):
    pass


def written(folder, config=tiny.TINY, **values):
    """A model folder whose config.json has other `values`; None removes a key."""
    tiny.write_model(folder, None, config)
    file = folder / "config.json"
    content = {**json.loads(file.read_text()), **values}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    (folder / "SHA256SUMS").unlink(missing_ok=True)  # of the unchanged config.json
    return folder


@pytest.mark.parametrize(
    "task, names, order",
    [
        ("CoLA", "unacceptable acceptable", (0, 1)),
        ("SST-2", "NEGATIVE POSITIVE", (0, 1)),
        ("SST-2", "positive negative", (1, 0)),
        ("SST-2", "1 0", (1, 0)),
        ("MRPC", "not_equivalent equivalent", (0, 1)),
        ("QQP", "duplicate not-duplicate", (1, 0)),
        ("MNLI", "ENTAILMENT NEUTRAL CONTRADICTION", (2, 0, 1)),
        ("MNLI", "0 1 2", (2, 0, 1)),  # the class indices of GLUE on the hub
        ("MNLI", "LABEL_0 LABEL_1 LABEL_2", (0, 1, 2)),
        ("QNLI", "not_entailment entailment", (1, 0)),
        ("RTE", "0 1", (0, 1)),
        ("WNLI", "not_entailment entailment", (0, 1)),
        ("SST-2", "acceptable unacceptable", None),
        ("SST-2", "Negative negative", None),
        ("MNLI", "entailment not_entailment", None),
    ],
)
def test_names_of_glue(task, names, order):
    labels, notes = tuple(names.split()), []
    assert match_labels(BertConfig(labels=labels), TASKS[task], "model", notes.append) == order
    assert bool(notes) == (order is not None and sorted(labels) != sorted(TASKS[task].labels))
    if notes and "LABEL" not in names:
        assert notes[0].startswith("model: labels by name: ")
        assert f"{labels[order[0]]} = {TASKS[task].labels[0]}" in notes[0]


def test_the_names_are_those_of_each_task_s_labels():
    for task in TASKS.values():
        assert len(task.hub_labels) in (0, len(task.labels)), task.name
        indices = task.label_indices()
        assert set(indices.values()) == set(range(len(task.labels)))
        assert all(indices[label_key(label)] == i for i, label in enumerate(task.labels))


def test_tags_in_another_case():
    task = find_task("sample-ner")
    labels = tuple(label.lower() for label in reversed(task.labels))
    config = BertConfig(labels=labels, output_mode=task.output_mode)
    assert match_labels(config, task, "model", silent) == (6, 5, 4, 3, 2, 1, 0)


@pytest.mark.parametrize("architectures", [None, [], ["BertForMaskedLM"], ["BertModel"], ["Something"]])
def test_the_names_count_wherever_there_is_a_classifier(tmp_path, architectures):
    names = {"0": "good", "1": "bad"}
    folder = written(tmp_path / "model", architectures=architectures, id2label=names)
    assert read_model(folder, silent).config.labels == ("good", "bad")
    config = tiny.TINY.replace(labels=())
    headless = written(tmp_path / "headless", config, architectures=architectures, id2label=names)
    assert read_model(headless, silent).config.num_labels == 0


@pytest.mark.parametrize(
    "outputs, values, described",
    [
        (3, {}, "2 labels .a, b."),
        (1, {}, "2 labels .a, b."),
        (3, {"problem_type": "regression", "id2label": {"0": "x"}}, "a score"),
        (3, {"architectures": ["BertForTokenClassification"]}, "2 labels"),
        (3, {"architectures": ["BertModel"]}, "2 labels"),
    ],
)
def test_outputs_and_labels_that_differ_in_number(tmp_path, outputs, values, described):
    config = tiny.TINY.replace(labels=tuple("xyz"[:outputs]))
    folder = written(tmp_path / "model", config, **{"id2label": {"0": "a", "1": "b"}, **values})
    complaint = f"the classifier has {outputs} outputs, but config.json describes {described}"
    with pytest.raises(UserError, match=f"model.safetensors: {complaint}"):
        read_model(folder, silent)


def test_weights_of_another_family_than_the_config_s(tmp_path):
    entry = families.entries()["roberta classification"]
    folder = families.save(tmp_path / "model", entry)
    (folder / "config.json").write_text(json.dumps({**entry["config"], "model_type": "bert"}))
    with pytest.raises(UserError, match="weights named roberta.*, but the model_type .* is bert; give the"):
        read_model(folder, silent)
    # Files of 2019 have no model_type.
    old = {key: value for key, value in entry["config"].items() if key != "model_type"}
    (folder / "config.json").write_text(json.dumps(old))
    files = read_model(folder, silent)
    assert (files.config.model_type, files.config.max_position_embeddings) == ("roberta", 32)
    table = files.arrays["bert.embeddings.position_embeddings.weight"]
    name = "roberta.embeddings.position_embeddings.weight"
    np.testing.assert_array_equal(table, families.weights({name: (34, 32)})[name][2:])


@pytest.mark.parametrize(
    "family, types, refused",
    [
        ("bert", 1, True),
        ("bert", 2, False),
        ("distilbert", 0, False),
        ("roberta", 1, False),
        ("electra", 1, True),
    ],
)
def test_pairs_for_a_model_of_one_token_type(family, types, refused):
    """RoBERTa and DistilBERT distinguish no segments, whatever their tokenizer writes."""
    ids = np.arange(5, 11)
    dataset = TokenizedDataset.from_flat(ids, np.array([0, 0, 0, 1, 1, 1]), np.array([6]), None, 8)
    config = tiny.TINY.replace(model_type=family, type_vocab_size=types)
    with (
        pytest.raises(UserError, match="model: segment id 1, .* 1 token types")
        if refused
        else contextlib.nullcontext()
    ):
        check_segments(dataset, config, "model")
