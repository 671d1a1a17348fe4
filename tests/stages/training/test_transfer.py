"""A model of another task as the start: its encoder is kept, the head is newly initialized, which is logged.

`--train_steps 0` writes the model as it begins, so nothing has to be compiled.
"""

import numpy as np
import pytest

from run_finetune import main as finetune
from run_task_distill import main as task_distill
from src.config.bert_config import BertConfig
from src.errors import UserError
from src.weights.reader import read_weights
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
SIZES = "--num_hidden_layers 1 --hidden_size 24 --num_attention_heads 4 --intermediate_size 40".split()
MNLI = ("contradiction", "entailment", "neutral")
HEAD = "classifier.weight"


def flags_of(task, records, out, **values):
    places = {"task_name": task, "train_data_dir": records, "eval_data_dir": records, "output_dir": out}
    return tiny.flags(**places, train_steps=0, **values)


def teacher_of(folder, vocabulary, labels, mode="classification"):
    config = tiny.TINY.replace(labels=labels, output_mode=mode)
    return tiny.write_model(folder, vocabulary, config, seed=8)


@pytest.fixture(scope="module")
def mnli_student(tmp_path_factory, vocabulary, graph_mode):
    """What run_task_distill.py leaves of a task of three labels."""
    folder = tmp_path_factory.mktemp("mnli")
    texts = {
        "train": tiny.mnli_rows(8, 1),
        "dev_matched": tiny.mnli_rows(3, 2),
        "dev_mismatched": tiny.mnli_rows(3, 3),
    }
    records = tiny.prepare_task(folder, vocabulary, "MNLI", texts)
    teacher = teacher_of(folder / "teacher", vocabulary, MNLI)
    task_distill([*flags_of("MNLI", records, folder / "out", load_teacher_ckpt_path=teacher), *SIZES])
    return folder / "out" / "last"


def bodies(*folders):
    return [
        {name: array for name, array in read_weights(folder).arrays.items() if name.startswith("bert.")}
        for folder in folders
    ]


def assert_begins_as(student, source, labels):
    theirs, ours = bodies(source, student)
    assert set(theirs) == set(ours)
    for name, array in theirs.items():
        np.testing.assert_array_equal(array, ours[name], err_msg=name)
    assert BertConfig.from_json(student / "config.json").labels == labels
    assert read_weights(student).arrays[HEAD].shape[0] == max(len(labels), 1)


def test_distillation_from_a_student_of_another_task(tmp_path, vocabulary, sst2, mnli_student):
    teacher, out = teacher_of(tmp_path / "teacher", vocabulary, ("0", "1")), tmp_path / "out"
    values = {"load_teacher_ckpt_path": teacher, "load_gd_ckpt_path": mnli_student}
    task_distill(flags_of("SST-2", sst2, out, **values))
    assert_begins_as(out / "last", mnli_student, ("0", "1"))
    said = (
        "the head is newly initialized, for 0, 1; the previous one was for contradiction, entailment, neutral"
    )
    assert said in (out / "log.txt").read_text()


def test_a_score_after_classes(tmp_path, vocabulary, mnli_student):
    texts = {"train": tiny.score_rows(8, 1), "dev": tiny.score_rows(3, 2)}
    records = tiny.prepare_task(tmp_path, vocabulary, "STS-B", texts)
    teacher, out = teacher_of(tmp_path / "teacher", vocabulary, (), "regression"), tmp_path / "out"
    values = {"load_teacher_ckpt_path": teacher, "load_gd_ckpt_path": mnli_student}
    task_distill(flags_of("STS-B", records, out, **values))
    assert_begins_as(out / "last", mnli_student, ())
    assert (
        "the head is newly initialized, for a score; the previous one was for contra"
        in (out / "log.txt").read_text()
    )


@pytest.mark.parametrize("values", [{}, {"new_head": "true"}])
def test_a_head_with_the_same_names_goes_on_unless_a_new_one_is_asked_for(tmp_path, vocabulary, sst2, values):
    """CoLA's labels are called as SST-2's."""
    model, out = teacher_of(tmp_path / "model", vocabulary, ("0", "1")), tmp_path / "out"
    finetune(flags_of("SST-2", sst2, out, load_pretrained_path=model, **values))
    assert_begins_as(out / "last", model, ("0", "1"))
    same = (read_weights(out / "last").arrays[HEAD] == read_weights(model).arrays[HEAD]).all()
    log = (out / "log.txt").read_text()
    assert same == (not values) and ("its head, for 0, 1, is dropped (--new_head)" in log) == bool(values)


def test_fine_tuning_goes_on_from_another_task(tmp_path, sst2, mnli_student):
    out = tmp_path / "out"
    finetune(flags_of("SST-2", sst2, out, load_pretrained_path=mnli_student))
    assert_begins_as(out / "last", mnli_student, ("0", "1"))


def test_the_encoder_is_loaded_strictly(tmp_path, vocabulary, sst2, mnli_student):
    arrays = read_weights(mnli_student).arrays
    del arrays["bert.encoder.layer.0.output.dense.bias"]
    config = BertConfig.from_json(mnli_student / "config.json")
    broken = tiny.write_model(tmp_path / "broken", vocabulary, config, arrays)
    teacher = teacher_of(tmp_path / "teacher", vocabulary, ("0", "1"))
    values = {"load_teacher_ckpt_path": teacher, "load_gd_ckpt_path": broken}
    with pytest.raises(UserError, match=r"encoder\.layer\.0\.output\.dense\.bias"):
        task_distill(flags_of("SST-2", sst2, tmp_path / "out", **values))
    assert not (tmp_path / "out").exists()


def test_a_model_of_tokens_gets_a_new_pooler(tmp_path, vocabulary, sst2):
    tags = teacher_of(tmp_path / "tags", vocabulary, ("O", "B-X", "I-X"), "token_classification")
    finetune(flags_of("SST-2", sst2, tmp_path / "out", load_pretrained_path=tags))
    theirs, ours = bodies(tags, tmp_path / "out" / "last")
    assert set(ours) - set(theirs) == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    tiny.assert_same_weights(theirs, {name: ours[name] for name in theirs})
    log = (tmp_path / "out" / "log.txt").read_text()
    assert "pooler and head are newly initialized, for 0, 1; the previous one was for O, B-X, I-X" in log


def test_a_classifier_without_its_pooler_is_refused(tmp_path, vocabulary, sst2):
    arrays = {k: v for k, v in tiny.random_arrays(tiny.TINY).items() if "pooler" not in k}
    model = tiny.write_model(tmp_path / "model", vocabulary, arrays=arrays)
    with pytest.raises(UserError, match="model.safetensors has no pooler .*, which its classifier requires"):
        finetune(flags_of("SST-2", sst2, tmp_path / "out", load_pretrained_path=model))
    assert not (tmp_path / "out").exists()


def test_a_new_head_of_nothing(tmp_path, vocabulary, sst2):
    teacher = teacher_of(tmp_path / "teacher", vocabulary, ("0", "1"))
    with pytest.raises(UserError, match="--new_head replaces the head of a given student; give one"):
        task_distill(flags_of("SST-2", sst2, tmp_path / "a", load_teacher_ckpt_path=teacher, new_head="true"))
    with pytest.raises(UserError, match="--new_head replaces the head of a given model; give one"):
        finetune(flags_of("SST-2", sst2, tmp_path / "a", init="fresh", new_head="true"))


def test_sizes_of_a_fresh_student_beside_a_given_model(tmp_path, sst2, mnli_student):
    flags = flags_of("SST-2", sst2, tmp_path / "out", load_pretrained_path=mnli_student, hidden_size=48)
    with pytest.raises(
        UserError, match="--hidden_size 48 applies to a newly initialized student, but .* has hidden_size 24"
    ):
        finetune(flags)
    assert not (tmp_path / "out").exists()
