"""The convert tool: any weight file, checked against its config, to a folder that transformers opens."""

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from src.config.bert_config import BertConfig
from src.digests import SUMS_FILE
from src.errors import UserError
from src.tools.convert import main
from src.weights.huggingface import check_weights, expected_shapes, infer_labels, write_directory
from src.weights.mindspore_ckpt import hf_to_zoo, read_ckpt, write_ckpt
from src.weights.reader import read_weights

CONFIG = BertConfig(
    vocab_size=40,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=16,
    labels=("bad", "good"),
)


def random_arrays(config=CONFIG):
    """Small random weights of a config."""
    random = np.random.default_rng(0)
    return {
        name: (0.1 * random.standard_normal(shape)).astype(np.float32)
        for name, shape in expected_shapes(config).items()
    }


@pytest.fixture
def folder(tmp_path):
    """A model folder with a vocabulary."""
    path = tmp_path / "model"
    write_directory(path, random_arrays(), CONFIG, extra={"metrics.json": {"eval_accuracy": 0.5}})
    (path / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    return path


def run(source, output, *flags):
    """Run the tool and return the output folder."""
    main(["--input", str(source), "--output_dir", str(output), *flags])
    return output


def parameter_count(layers, hidden, inner, labels):
    """Number of weights of a config with BERT's vocabulary."""
    config = BertConfig(num_hidden_layers=layers, hidden_size=hidden, intermediate_size=inner, labels=labels)
    return sum(int(np.prod(shape)) for shape in expected_shapes(config).values())


def test_parameter_counts_match_the_papers():
    assert parameter_count(12, 768, 3072, ("0", "1")) == 109_483_778
    assert parameter_count(4, 312, 1200, ("0", "1")) == 14_350_874
    assert parameter_count(6, 768, 3072, ("0", "1")) == 66_956_546
    assert parameter_count(4, 384, 1536, ("0", "1")) == 19_165_058


@pytest.mark.parametrize("relative", [False, True])
def test_expected_shapes_match_the_model(relative):
    from src.model.bert import BertClassifier
    from src.model.state_dict import named_parameters

    config = CONFIG.replace(use_relative_positions=relative)
    parameters = named_parameters(BertClassifier(config))
    assert {name: tuple(parameter.shape) for name, parameter in parameters.items()} == expected_shapes(config)


@pytest.mark.parametrize("to", ["project", "hf", "ckpt"])
def test_round_trip(folder, tmp_path, to, capsys):
    out = run(folder, tmp_path / "out", "--to", to)
    weights = read_weights(out)
    for name, array in random_arrays().items():
        np.testing.assert_array_equal(weights.arrays[name], array)
    assert BertConfig.from_json(out / "config.json") == CONFIG
    assert (out / "vocab.txt").exists() and not list(tmp_path.glob(".*"))
    assert "41 weights" in capsys.readouterr().out


def test_hf_drops_project_specific_content(folder, tmp_path):
    arrays = random_arrays() | {"hidden_projection.weight": np.zeros((64, 32), np.float32)}
    write_directory(folder, arrays, CONFIG)
    assert "hidden_projection.weight" in read_weights(run(folder, tmp_path / "a")).arrays
    hf = run(folder, tmp_path / "b", "--to", "hf")
    assert "hidden_projection.weight" not in read_weights(hf).arrays
    assert "head_activation" not in json.loads((hf / "config.json").read_text())


@pytest.mark.parametrize("key", ["use_relative_positions", "head_activation"])
def test_features_missing_in_transformers_are_rejected(tmp_path, key):
    config = CONFIG.replace(**{key: True if key == "use_relative_positions" else "relu"})
    write_directory(tmp_path / "model", random_arrays(config), config)
    with pytest.raises(UserError, match=f"{key}.*transformers"):
        run(tmp_path / "model", tmp_path / "out", "--to", "hf")
    assert not (tmp_path / "out").exists()
    assert read_weights(run(tmp_path / "model", tmp_path / "out")).config[key]


def test_to_the_model_zoo_and_back(tmp_path, capsys):
    config = CONFIG.replace(
        output_mode="token_classification", head_activation="relu", hidden_act="gelu_new", layer_norm_eps=1e-7
    )
    arrays = random_arrays(config)
    write_directory(tmp_path / "model", arrays, config)
    zoo = run(tmp_path / "model", tmp_path / "zoo", "--to", "mindspore")
    raw, _ = read_ckpt(zoo / "model.ckpt")
    # BertModelNER has a pooler, which its logits ignore.
    assert not raw["bert.bert.dense.weight"].any() and raw["bert.bert.dense.weight"].shape == (32, 32)
    np.testing.assert_array_equal(raw["bert.dense_1.weight"], arrays["classifier.weight"])
    assert "note: the model zoo" not in capsys.readouterr().out
    again = run(zoo, tmp_path / "again")
    assert BertConfig.from_json(again / "config.json") == config
    found = read_weights(again).arrays
    assert set(found) == set(arrays) and all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert "head_activation" not in capsys.readouterr().out


def test_a_zoo_checkpoint_described_by_its_yaml_file(tmp_path):
    # Teacher and student differ in depth: the file's network of that depth is the one.
    net = "    hidden_size: 32\n    num_attention_heads: 4\n    intermediate_size: 48\n    vocab_size: 40\n"
    net += "    max_position_embeddings: 16\n    num_hidden_layers: {}\n"
    file = tmp_path / "td.yaml"
    file.write_text(
        "description: task_distill\ntask_type: ner\n"
        f"td_teacher_net_cfg:\n{net.format(2)}td_student_net_cfg:\n{net.format(1)}"
    )
    config = CONFIG.replace(labels=("LABEL_0", "LABEL_1", "LABEL_2"), output_mode="token_classification")
    write_ckpt(tmp_path / "zoo.ckpt", hf_to_zoo(random_arrays(config)))
    out = run(tmp_path / "zoo.ckpt", tmp_path / "out", f"--config_path={file}")
    found = BertConfig.from_json(out / "config.json")
    assert (found.num_hidden_layers, found.labels, found.by_token) == (2, config.labels, True)
    assert (found.head_activation, found.hidden_act, found.layer_norm_eps) == ("relu", "gelu_new", 1e-7)
    for name, array in random_arrays(config).items():
        np.testing.assert_array_equal(read_weights(out).arrays[name], array)


def test_what_the_model_zoo_computes_otherwise_is_printed(folder, tmp_path, capsys):
    run(folder, tmp_path / "zoo", "--to", "mindspore")
    printed = capsys.readouterr().out
    for name, there, here in (
        ("head_activation", "relu", "none"),
        ("hidden_act", "gelu_new", "gelu"),
        ("layer_norm_eps", "1e-07", "1e-12"),
    ):
        assert f"note: the model zoo's code computes {name} {there}, this model has {here}" in printed


def test_a_general_student_is_named_as_the_zoo_s(tmp_path, capsys):
    config = CONFIG.replace(labels=())
    arrays = random_arrays(config)
    arrays |= {"hidden_projection.weight": np.zeros((64, 32), np.float32)}
    write_directory(tmp_path / "general", arrays, config)
    names = set(read_ckpt(run(tmp_path / "general", tmp_path / "zoo", "--to", "mindspore") / "model.ckpt")[0])
    assert "bert.tinybert_embedding_lookup.embedding_table" in names and "bert.dense.bias" in names
    assert "TinyBertModel (general student)" in capsys.readouterr().out


def test_a_tensorflow_checkpoint_needs_tensorflow(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError, match="requires tensorflow .pip install tensorflow-cpu.; install it"):
        run(folder, tmp_path / "tf", "--to", "tensorflow")
    assert not (tmp_path / "tf").exists()


def test_a_tensorflow_checkpoint(folder, tmp_path):
    pytest.importorskip("tensorflow")
    found = read_weights(run(folder, tmp_path / "tf", "--to", "tensorflow")).arrays
    for name, array in random_arrays().items():
        np.testing.assert_array_equal(found[name], array)


def test_mismatched_weights_are_named():
    arrays = random_arrays()
    arrays["bert.pooler.dens.bias"] = arrays.pop("bert.pooler.dense.bias")
    arrays["classifier.bias"] = np.zeros(3, np.float32)
    with pytest.raises(UserError) as caught:
        check_weights(arrays, CONFIG, "file")
    assert str(caught.value) == (
        "file does not fit its config: 1 weights are missing (bert.pooler.dense.bias); 1 are unexpected "
        '(bert.pooler.dens.bias; did you mean "bert.pooler.dense.bias"?); 1 have another shape '
        "(classifier.bias (3,) instead of (2,))"
    )


def test_labels_missing_from_the_config():
    bare = CONFIG.replace(labels=())
    assert infer_labels(bare, 2)[0].labels == ("LABEL_0", "LABEL_1")
    assert infer_labels(bare, 1)[0].output_mode == "regression" and infer_labels(CONFIG, 2) == (CONFIG, "")


def test_a_failed_conversion_changes_nothing(folder, tmp_path):
    out = run(folder, tmp_path / "out")
    with pytest.raises(UserError, match="not empty"):
        run(folder, out)
    arrays = random_arrays()
    del arrays["bert.pooler.dense.bias"]
    save_file(arrays, str(folder / "model.safetensors"))
    (folder / SUMS_FILE).unlink()
    with pytest.raises(UserError, match="missing"):
        run(folder, out, "--overwrite_output_dir")
    assert len(read_weights(out).arrays) == 41
    for parent in (folder, folder.parent):
        with pytest.raises(UserError, match="which this run reads"):
            run(folder, parent, "--overwrite_output_dir")


def test_write_directory_is_atomic(folder):
    with pytest.raises(TypeError):
        write_directory(folder, random_arrays(), CONFIG, extra={"metrics.json": object()})
    assert (folder / "vocab.txt").exists()
    write_directory(folder, random_arrays(), CONFIG)
    assert sorted(p.name for p in folder.iterdir()) == [SUMS_FILE, "config.json", "model.safetensors"]
    assert not list(folder.parent.glob(".*"))


def test_a_ckpt_requires_a_config(tmp_path):
    write_ckpt(tmp_path / "model.ckpt", random_arrays())
    with pytest.raises(UserError, match="--config_file.*hidden_size 32, num_hidden_layers 2"):
        run(tmp_path / "model.ckpt", tmp_path / "out")
    config = tmp_path / "else" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps(CONFIG.to_json_dict()))
    run(tmp_path / "model.ckpt", tmp_path / "out", "--config_file", str(config))
    assert set(read_weights(tmp_path / "out").arrays) == set(expected_shapes(CONFIG))


def transformers_model(classifier=True):
    """A tiny transformers model, without dropout."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=48,
        num_attention_heads=4,
        max_position_embeddings=16,
        num_labels=3,
    )
    kind = transformers.BertForSequenceClassification if classifier else transformers.BertModel
    return kind(config).eval()


@pytest.mark.reference
@pytest.mark.parametrize("classifier", [True, False])
def test_from_transformers_and_back(tmp_path, classifier):
    torch = pytest.importorskip("torch")
    model = transformers_model(classifier)
    model.save_pretrained(tmp_path / "hf")
    torch.save(model.state_dict(), tmp_path / "hf" / "pytorch_model.bin")
    from_safetensors = read_weights(tmp_path / "hf").arrays
    from_torch = read_weights(tmp_path / "hf" / "pytorch_model.bin").arrays
    assert set(from_safetensors) == set(from_torch)
    out = run(tmp_path / "hf", tmp_path / "out", "--to", "hf")
    again, info = type(model).from_pretrained(out, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert again.config.architectures == [type(model).__name__]
    ids = torch.randint(0, 40, (2, 8))
    with torch.no_grad():
        assert torch.equal(model(ids)[0], again.eval()(ids)[0])


@pytest.mark.reference
def test_an_unsupported_head_is_rejected(tmp_path):
    transformers = pytest.importorskip("transformers")
    transformers.BertForMultipleChoice(transformers_model().config).save_pretrained(tmp_path / "hf")
    with pytest.raises(UserError, match="describes a BertForMultipleChoice"):
        run(tmp_path / "hf", tmp_path / "out")


@pytest.mark.reference
def test_pretraining_heads_are_ignored(tmp_path, capsys):
    transformers = pytest.importorskip("transformers")
    transformers.BertForPreTraining(transformers_model().config).save_pretrained(tmp_path / "hf")
    run(tmp_path / "hf", tmp_path / "out")
    assert "ignored: cls." in capsys.readouterr().out
    assert BertConfig.from_json(tmp_path / "out" / "config.json").num_labels == 0
