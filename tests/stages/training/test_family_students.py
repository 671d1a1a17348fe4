"""Models of other families as start, teacher and student. `--train_steps 0` writes a model as it begins."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from run_finetune import main as finetune
from run_task_distill import main as task_distill
from src.errors import UserError
from src.stages.model.device import DeviceSetup
from src.stages.model.load import load_encoder, read_model
from tests import families, tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
HEADS = ("pre_classifier.", "classifier.")
SIZES = tiny.flags(num_hidden_layers=1, hidden_size=32, num_attention_heads=4, intermediate_size=48)
FAMILIES = ["distilbert", "roberta", "electra"]


def saved(folder, family, vocabulary, head=True):
    """A model of two classes with the tokenizer of the tiny vocabulary, with or without its head."""
    entry = families.entries()[f"{family} pairs"]
    shapes = {name: shape for name, shape in entry["shapes"].items() if head or not name.startswith(HEADS)}
    config = {**entry["config"], "id2label": {"0": "NEGATIVE", "1": "POSITIVE"}}
    if not head:
        config.update(
            architectures=[config["architectures"][0].replace("SequenceClassification", "MaskedLM")]
        )
    families.save(folder, {"config": config, "shapes": shapes})
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).write_bytes((vocabulary / name).read_bytes())
    return folder


def written(folder):
    return json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")


def flags_of(records, out, **values):
    places = {"task_name": "SST-2", "train_data_dir": records, "eval_data_dir": records, "output_dir": out}
    return tiny.flags(**places, train_steps=0, **values)


def without_unused(name, array):
    """The rows of a position table that tokens have."""
    return array[2:] if name == "roberta.embeddings.position_embeddings.weight" else array


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", [True, False], ids=["classifier", "pretrained"])
def test_fine_tuning_goes_on(tmp_path, vocabulary, sst2, family, head):
    start = saved(tmp_path / "start", family, vocabulary, head)
    finetune(flags_of(sst2, tmp_path / "out", load_pretrained_path=start))
    config, arrays = written(tmp_path / "out" / "last")
    before, theirs = written(start)
    assert config["model_type"] == family
    assert config["architectures"] == [f"{families.FAMILIES[family].class_prefix}ForSequenceClassification"]
    new = {name for name in arrays if name.startswith(HEADS)}
    assert set(arrays) == set(theirs) | new and bool(set(theirs) & new) == head
    for name, array in theirs.items():
        ours = without_unused(name, arrays[name])
        np.testing.assert_array_equal(ours, without_unused(name, array), err_msg=name)
    log = (tmp_path / "out" / "log.txt").read_text()
    assert ("pooler and head are newly initialized" in log) != head
    assert ("labels by name: NEGATIVE = 0, POSITIVE = 1" in log) == head
    sizes = {key for key in before if "size" in key or "dim" in key or key.startswith("n_")}
    assert {key: config[key] for key in sizes} == {key: before[key] for key in sizes}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_of_the_teacher_s_family(tmp_path, vocabulary, sst2, family):
    teacher = saved(tmp_path / "teacher", family, vocabulary)
    values = {"load_teacher_ckpt_path": teacher, "student_init": "teacher_layers"}
    task_distill([*flags_of(sst2, tmp_path / "out", **values), *SIZES])
    config, arrays = written(tmp_path / "out" / "last")
    assert config["model_type"] == family
    theirs = written(teacher)[1]
    layer = "transformer.layer." if family == "distilbert" else "encoder.layer."
    assert {name.replace(f"{layer}1.", f"{layer}0.") for name in theirs} == set(arrays)
    for name, array in arrays.items():
        source = theirs[name.replace(f"{layer}0.", f"{layer}1.")]
        np.testing.assert_array_equal(without_unused(name, array), without_unused(name, source), err_msg=name)
    with pytest.raises(UserError, match=f"head_activation relu is for BERT; a {family} has none"):
        values["head_activation"] = "relu"
        task_distill([*flags_of(sst2, tmp_path / "other", **values), *SIZES])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_student_is_a_bert(tmp_path, vocabulary, sst2, family):
    teacher = saved(tmp_path / "teacher", family, vocabulary)
    task_distill([*flags_of(sst2, tmp_path / "out", load_teacher_ckpt_path=teacher), *SIZES])
    config, arrays = written(tmp_path / "out" / "last")
    assert (config["model_type"], config["vocab_size"], config["max_position_embeddings"]) == (
        "bert",
        100,
        32,
    )
    types, pad = {"distilbert": (2, 0), "roberta": (1, 1), "electra": (2, 0)}[family]
    assert (config["type_vocab_size"], config["pad_token_id"]) == (types, pad)
    assert arrays["bert.embeddings.token_type_embeddings.weight"].shape == (types, 32)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_teacher_of_general_distillation_needs_no_pooler(tmp_path, vocabulary, family):
    files = read_model(saved(tmp_path / "teacher", family, vocabulary, head=False), lambda text: None)
    assert not any("pooler" in name for name in files.arrays)
    device = DeviceSetup("CPU", "float32", "float32")
    _, config = load_encoder(files, device, lambda text: None)
    assert config.model_type == family and not config.num_labels
