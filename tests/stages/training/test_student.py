"""Where a task student begins: fresh, from a general student, or from its teacher's layers.

`--train_steps 0` writes the student as it begins, so nothing has to be compiled.
"""

import re

import numpy as np
import pytest

from run_finetune import main as finetune
from run_task_distill import main
from src.config.bert_config import BertConfig
from src.config.td_config import resolve
from src.errors import UserError
from src.model.state_dict import weight_arrays
from src.tools.convert import main as convert
from src.weights.reader import read_weights
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
DEEP = tiny.TINY.replace(num_hidden_layers=4)
STUDENT = tiny.TINY.replace(num_hidden_layers=2, hidden_size=24, intermediate_size=40)
SIZES = "--num_hidden_layers 2 --hidden_size 24 --num_attention_heads 4 --intermediate_size 40".split()
SAME_WIDTH = "--num_hidden_layers 2 --hidden_size 32 --num_attention_heads 4 --intermediate_size 48".split()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, vocabulary):
    """Four layers of random weights, for what needs no training."""
    return tiny.write_model(tmp_path_factory.mktemp("deep") / "model", vocabulary, DEEP, seed=8)


@pytest.fixture(scope="module")
def general(tmp_path_factory, vocabulary):
    """A general student: body without head, and the projection to the teacher's width."""
    arrays = {name: a for name, a in tiny.random_arrays(STUDENT, seed=3).items() if name.startswith("bert.")}
    draw = np.random.default_rng(4)
    arrays["hidden_projection.weight"] = draw.standard_normal((32, 24)).astype(np.float32)
    arrays["hidden_projection.bias"] = draw.standard_normal(32).astype(np.float32)
    config = STUDENT.replace(labels=())
    return tiny.write_model(tmp_path_factory.mktemp("general") / "model", vocabulary, config, arrays)


def arguments(records, out, teacher, *more, **values):
    places = {"task_name": "SST-2", "load_teacher_ckpt_path": teacher, "train_data_dir": records}
    places.update(eval_data_dir=records, output_dir=out)
    return [*tiny.flags(**places), *more, *tiny.flags(**values)]


def start_of(tmp_path, records, teacher, *more, **values):
    """The student's weights before any training, and what the log says."""
    out = tmp_path / "start"
    main(arguments(records, out, teacher, *more, train_steps=0, **values))
    return read_weights(out / "last").arrays, (out / "log.txt").read_text()


@pytest.fixture
def networks(monkeypatch):
    """The networks of both phases, caught where their training would begin."""
    caught = []
    monkeypatch.setattr(
        "src.stages.training.task_distill.train_phase",
        lambda run, spec, network, *others: caught.append(network),
    )
    return caught


def body_of(arrays):
    return {name: array for name, array in arrays.items() if name.startswith("bert.")}


def test_a_student_from_the_teacher_s_layers(tmp_path, teacher, sst2):
    student, log = start_of(tmp_path, sst2, teacher, *SAME_WIDTH, student_init="teacher_layers")
    expected = {}
    for name, array in read_weights(teacher).arrays.items():
        layer = re.match(r"bert\.encoder\.layer\.(\d)\.", name)
        if not layer:
            expected[name] = array
        elif layer[1] in "13":  # teacher layers 2 and 4, counted from 1
            expected[name.replace(f"layer.{layer[1]}.", f"layer.{int(layer[1]) // 2}.")] = array
    tiny.assert_same_weights(student, expected)
    assert "student from the teacher's embeddings, pooler and layers 2, 4" in log


def test_the_teacher_s_layers_keep_their_activation(tmp_path, vocabulary, sst2):
    teacher = tiny.write_model(tmp_path / "teacher", vocabulary, DEEP.replace(hidden_act="relu"))
    student, _ = start_of(tmp_path, sst2, teacher, student_init="teacher_layers")
    assert BertConfig.from_json(tmp_path / "start" / "last" / "config.json").hidden_act == "relu"
    with pytest.raises(UserError, match="needs the teacher's hidden_act: .* gelu, the teacher relu"):
        values = {"student_init": "teacher_layers", "hidden_act": "gelu", "overwrite_output_dir": "true"}
        start_of(tmp_path, sst2, teacher, *SAME_WIDTH, **values)


def test_by_default_the_student_is_half_of_its_teacher(tmp_path, teacher, sst2):
    student, log = start_of(tmp_path / "auto", sst2, teacher)
    named, _ = start_of(tmp_path / "named", sst2, teacher, *SAME_WIDTH, student_init="teacher_layers")
    tiny.assert_same_weights(student, named)
    assert "pooler and layers 2, 4" in log and re.search(r"^  learning_rate +0.0001 .*\(recipe\)", log, re.M)
    flags = {"task_name": "SST-2", "load_pretrained_path": teacher, "init": "teacher_layers"}
    flags |= {"train_data_dir": sst2, "eval_data_dir": sst2, "output_dir": tmp_path / "labels"}
    finetune([*tiny.flags(**flags, train_steps=0)])
    tiny.assert_same_weights(read_weights(tmp_path / "labels" / "last").arrays, student)


def test_layers_of_a_model_without_pooler_and_head(tmp_path, vocabulary, sst2, capsys):
    """As those that were pretrained on masked words alone."""
    bare = DEEP.replace(labels=())
    arrays = {name: each for name, each in tiny.random_arrays(bare).items() if "pooler" not in name}
    model = tiny.write_model(tmp_path / "bare", vocabulary, bare, arrays)
    flags = {"task_name": "SST-2", "load_pretrained_path": model, "init": "teacher_layers"}
    flags |= {"train_data_dir": sst2, "eval_data_dir": sst2, "output_dir": tmp_path / "labels"}
    finetune([*tiny.flags(**flags, train_steps=0)])
    student = read_weights(tmp_path / "labels" / "last").arrays
    name = "bert.encoder.layer.{}.output.dense.weight"
    np.testing.assert_array_equal(student[name.format(0)], arrays[name.format(1)])
    assert "pooler and head are newly initialized" in (tmp_path / "labels" / "log.txt").read_text()


def test_an_output_folder_that_holds_the_pruned_start(tmp_path, vocabulary, teacher, sst2):
    pruned = tiny.write_model(tmp_path / "start" / "best", vocabulary, DEEP.replace(num_hidden_layers=2))
    with pytest.raises(UserError, match="contains .*best, which this run reads"):
        start_of(tmp_path, sst2, teacher, student_init=pruned, overwrite_output_dir="true")
    assert (pruned / "config.json").is_file()


def test_a_layer_map_that_is_rounded(tmp_path, teacher, sst2):
    student, log = start_of(tmp_path, sst2, teacher, student_init="teacher_layers", num_hidden_layers=3)
    assert "3 layers do not divide the teacher's 4: the layer map is rounded to 1,3,4" in log
    name = "bert.encoder.layer.{}.attention.self.query.weight"
    np.testing.assert_array_equal(student[name.format(1)], read_weights(teacher).arrays[name.format(2)])


@pytest.mark.parametrize(
    "values, start, rates",
    [
        ({}, "teacher_layers", (1e-4, 1e-4)),
        ({"load_gd_ckpt_path": ""}, "teacher_layers", (1e-4, 1e-4)),
        ({"load_gd_ckpt_path": "x"}, "general", (5e-5, 3e-5)),
        ({"load_td1_ckpt_path": "x"}, "general", (5e-5, 3e-5)),
        ({"student_preset": "4L-312"}, "random", (5e-4, 3e-4)),
        ({"num_hidden_layers": 3}, "random", (5e-4, 3e-4)),
        ({"student_init": "general"}, "random", (5e-4, 3e-4)),
        ({"student_init": "teacher_layers", "student_preset": "3L-384"}, "teacher_layers", (1e-4, 1e-4)),
        ({"recipe": "zoo"}, "random", (5e-5, 2e-5)),
        ({"learning_rate": 1e-3}, "teacher_layers", (1e-3, 1e-4)),
    ],
)
def test_learning_rates_by_start(values, start, rates):
    config = resolve(["--task_name=SST-2", *tiny.flags(**values)])[1].config
    assert (config.start, config.learning_rate, config.phase2_learning_rate) == (start, *rates)


def test_an_explicit_layer_map(tmp_path, teacher, sst2):
    values = {"student_init": "teacher_layers", "layer_map": "1,2"}
    student, log = start_of(tmp_path, sst2, teacher, *SAME_WIDTH, **values)
    name = "bert.encoder.layer.1.attention.self.query.weight"
    np.testing.assert_array_equal(student[name], read_weights(teacher).arrays[name])
    assert "layer map 1<-1, 2<-2" in log


def test_a_fresh_student_is_said_aloud(tmp_path, teacher, sst2):
    student, log = start_of(tmp_path, sst2, teacher, *SIZES, load_gd_ckpt_path="", initializer_range=0.1)
    assert "no general student given (load_gd_ckpt_path is empty), initialized randomly" in log
    assert 0.08 < student["bert.embeddings.word_embeddings.weight"].std() < 0.1
    config = BertConfig.from_json(tmp_path / "start" / "last" / "config.json")
    assert (config.vocab_size, config.max_position_embeddings) == (100, 32)  # the teacher's


def test_without_epochs_there_is_no_phase_1(tmp_path, teacher, sst2):
    # Layers and heads that go with the teacher's in no way are of no harm to phase 2.
    flags = tiny.flags(num_hidden_layers=3, hidden_size=24, num_attention_heads=2, intermediate_size=40)
    _, log = start_of(tmp_path, sst2, teacher, *flags, td_phase1_epoch_size=0)
    assert "phase 2 (prediction layer): 0 steps, nothing is trained" in log and "phase 1" not in log
    assert not (tmp_path / "start" / "phase1").exists()


def test_a_run_that_was_killed_before_its_first_step_is_resumed(tmp_path, teacher, sst2, monkeypatch):
    def killed(logger, folder, position):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("src.train.logger.RunLogger.open", killed)
        with pytest.raises(KeyboardInterrupt):
            start_of(tmp_path, sst2, teacher, *SIZES)
    _, log = start_of(tmp_path, sst2, teacher, *SIZES, "--resume")
    assert "holds no checkpoint yet, starting over" in log


def test_a_general_student_and_its_projection(tmp_path, teacher, general, sst2, networks):
    student, log = start_of(tmp_path, sst2, teacher, load_gd_ckpt_path=general)
    theirs = read_weights(general).arrays
    tiny.assert_same_weights(body_of(student), body_of(theirs))
    assert "the hidden projection of the general student is loaded" in log
    assert "the head is newly initialized" in log and f"student from {general}" in log
    projection = networks[0].hidden_projection
    np.testing.assert_array_equal(projection.weight.asnumpy(), theirs["hidden_projection.weight"])
    np.testing.assert_array_equal(projection.bias.asnumpy(), theirs["hidden_projection.bias"])


def second_general(folder, vocabulary, config=STUDENT, width=32, both=False):
    """A general student as TinyBERT's second ones are published: fit_denses.0 to fit_denses.N."""
    draw = np.random.default_rng(4)
    shapes = {"weight": (width, config.hidden_size), "bias": (width,)}
    names = [f"fit_denses.{layer}" for layer in range(config.num_hidden_layers + 1)] + ["fit_dense"] * both
    arrays = {name: a for name, a in tiny.random_arrays(config, seed=3).items() if name.startswith("bert.")}
    for name in names:
        for kind, shape in shapes.items():
            arrays[f"{name}.{kind}"] = draw.standard_normal(shape).astype(np.float32)
    return tiny.write_model(folder, vocabulary, config.replace(labels=()), arrays), arrays


@pytest.mark.parametrize("both", [False, True])
def test_one_projection_per_layer(tmp_path, vocabulary, teacher, sst2, networks, both):
    general, theirs = second_general(tmp_path / "general", vocabulary, both=both)
    _, log = start_of(tmp_path, sst2, teacher, load_gd_ckpt_path=general, hidden_projection="per_layer")
    assert "the hidden projection of the general student is loaded, one per layer" in log
    projections = networks[0].hidden_projection
    assert len(projections) == 3
    for layer, projection in enumerate(projections):
        for kind in ("weight", "bias"):
            expected = theirs[f"fit_denses.{layer}.{kind}"]
            np.testing.assert_array_equal(getattr(projection, kind).asnumpy(), expected)


def test_projections_per_layer_are_not_the_shared_one(tmp_path, vocabulary, teacher, sst2, networks):
    general, _ = second_general(tmp_path / "general", vocabulary)
    _, log = start_of(tmp_path, sst2, teacher, load_gd_ckpt_path=general)
    assert "continue it with --hidden_projection per_layer" in log
    assert networks[0].hidden_projection.weight.shape == (32, 24)


def test_a_shared_projection_starts_those_of_all_layers(tmp_path, teacher, general, sst2, networks):
    _, log = start_of(tmp_path, sst2, teacher, load_gd_ckpt_path=general, hidden_projection="per_layer")
    assert "is loaded into the projection of each layer" in log
    expected = read_weights(general).arrays["hidden_projection.weight"]
    for projection in networks[0].hidden_projection:
        np.testing.assert_array_equal(projection.weight.asnumpy(), expected)


@pytest.mark.parametrize("kind", ["shared", "per_layer"])
def test_projections_per_layer_where_the_widths_agree(tmp_path, vocabulary, teacher, sst2, networks, kind):
    """TinyBERT-6L-768 projects from 768 to 768, which general distillation without per_layer never does."""
    general, theirs = second_general(tmp_path / "general", vocabulary, tiny.TINY)
    _, log = start_of(tmp_path, sst2, teacher, load_gd_ckpt_path=general, hidden_projection=kind)
    if kind == "shared":
        assert "is not used: student and teacher are of one width" in log and not networks[0].projected
    else:
        weight = networks[0].hidden_projection[2].weight.asnumpy()
        np.testing.assert_array_equal(weight, theirs["fit_denses.2.weight"])


@pytest.mark.parametrize(
    "flag, own",
    [
        ("num_hidden_layers 3", "num_hidden_layers 2"),
        ("head_activation relu", "head_activation none"),
        ("student_preset 3L-312", "num_hidden_layers 2"),
    ],
)
def test_architecture_of_a_fresh_student_beside_a_given_one(tmp_path, teacher, general, sst2, flag, own):
    values = {"load_gd_ckpt_path": general, "hidden_size": 24}
    with pytest.raises(
        UserError,
        match=rf"--{flag} applies to a newly initialized student, but .* has {own}; remove the flag",
    ):
        main([*arguments(sst2, tmp_path / "out", teacher, **values), *f"--{flag}".split()])
    assert not (tmp_path / "out").exists()


def test_a_teacher_without_tokenizer_files(tmp_path, general, sst2):
    teacher = tiny.write_model(tmp_path / "teacher", None, DEEP, seed=8)
    start_of(tmp_path, sst2, teacher, load_gd_ckpt_path=general)
    assert (tmp_path / "start" / "last" / "vocab.txt").is_file()


def test_a_projection_of_another_width_is_refused(tmp_path, vocabulary, general, sst2):
    wider = tiny.write_model(tmp_path / "wider", vocabulary, DEEP.replace(hidden_size=40))
    with pytest.raises(UserError, match=r"have another shape \(bias \(32,\) instead of \(40,\)"):
        main(arguments(sst2, tmp_path / "out", wider, load_gd_ckpt_path=general))
    assert not (tmp_path / "out").exists()


def test_ckpt_files_take_their_config_from_td_config(tmp_path, teacher, general, sst2, monkeypatch):
    files = {}
    for name, folder in (("teacher", teacher), ("general", general)):
        convert(tiny.flags(input=folder, output_dir=tmp_path / name, to="ckpt"))
        (tmp_path / name / "config.json").unlink()
        files[name] = next((tmp_path / name).glob("*.ckpt"))
    monkeypatch.setattr("src.config.td_config.TEACHER_NET", DEEP)
    monkeypatch.setattr("src.config.td_config.STUDENT_NET", STUDENT.replace(labels=()))
    student, _ = start_of(tmp_path, sst2, files["teacher"], load_gd_ckpt_path=files["general"])
    tiny.assert_same_weights(body_of(student), body_of(read_weights(general).arrays))


def test_a_teacher_whose_labels_stand_in_another_order(tmp_path, vocabulary, sst2, networks):
    """Its head is turned to the task's order by name, and so is that of a student copied from it."""
    arrays = tiny.random_arrays(tiny.TINY, seed=8)
    swapped = {n: a[::-1].copy() if n.startswith("classifier.") else a for n, a in arrays.items()}
    turned = tiny.write_model(tmp_path / "turned", vocabulary, tiny.TINY.replace(labels=("1", "0")), swapped)
    student, _ = start_of(tmp_path, sst2, turned, *SAME_WIDTH, student_init="teacher_layers")
    tiny.assert_same_weights(weight_arrays(networks[0].teacher), arrays)
    tiny.assert_same_weights(student, arrays)
    assert BertConfig.from_json(tmp_path / "start" / "last" / "config.json").labels == ("0", "1")


def test_labels_by_position_are_said_aloud(tmp_path, vocabulary, sst2):
    config = tiny.TINY.replace(labels=("LABEL_0", "LABEL_1"))
    teacher = tiny.write_model(tmp_path / "teacher", vocabulary, config)
    _, log = start_of(tmp_path, sst2, teacher, *SIZES)
    assert "labels by position: LABEL_0 = 0, LABEL_1 = 1" in log


def test_the_flags_reach_the_networks(tmp_path, teacher, sst2, networks):
    values = {
        "temperature": 4,
        "loss_padding": "include",
        "embedding_weight": 2,
        "attention_weight": 0,
        "label_weight": 0.5,
        "hidden_dropout_prob": 0.3,
    }
    start_of(tmp_path, sst2, teacher, *SIZES, **values)
    first, second = networks
    assert first.features == ("embedding", "hidden") and first.term_weights == (2.0, 1.0)
    assert first.include_padding and first.layer_map == (2, 4)
    assert second.features == ("logits", "labels") and second.term_weights == (1.0, 0.5)
    assert second.inverse_temperature == 0.25
    config = BertConfig.from_json(tmp_path / "start" / "last" / "config.json")
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.3, 0.1)


@pytest.mark.parametrize("epochs, kept", [(1, False), (0, True)])
def test_an_untrained_head_is_not_the_best_before_phase_2(tmp_path, teacher, sst2, monkeypatch, epochs, kept):
    """With --phase1_eval phase 1 is evaluated; best/ is written there only where no phase 2 follows."""

    def metrics(evaluator):
        rows = evaluator.datasets["dev"].rows
        evaluator.first_logits = np.zeros((rows, 2))
        return {"eval_accuracy": 0.875}

    monkeypatch.setattr("src.stages.evaluation.evaluator.Evaluator.metrics", metrics)

    def evaluate_phase1(run, spec, network, loader, evaluate, cached_teacher):
        if spec.number == 1:
            evaluate(1, 3)

    monkeypatch.setattr("src.stages.training.task_distill.train_phase", evaluate_phase1)
    out = tmp_path / "out"
    values = {"phase1_eval": "true", "td_phase2_epoch_size": epochs}
    main(arguments(sst2, out, teacher, *SIZES, **values))
    assert '{"eval_accuracy": 0.875, "epoch": 1, "step": 3}' in (out / "log.txt").read_text()
    assert (out / "best").is_dir() == kept


def test_two_starts_at_once(tmp_path, teacher, general, sst2):
    values = {"load_gd_ckpt_path": general, "student_init": "teacher_layers"}
    with pytest.raises(UserError, match="are mutually exclusive"):
        main(arguments(sst2, tmp_path / "out", teacher, **values))
    assert not (tmp_path / "out").exists()
