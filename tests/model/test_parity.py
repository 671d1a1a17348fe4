"""The same numbers as transformers: stored ones everywhere, live ones and MiniLM's where torch is there."""

import numpy as np
import pytest

from src.model.bert import BertClassifier
from src.model.state_dict import load_strict, weight_arrays
from src.weights.huggingface import write_directory
from src.weights.reader import read_weights
from tests import tiny
from tests.fixtures.make_tiny_bert import reference_outputs
from tests.model.conftest import named_outputs

pytestmark = pytest.mark.usefixtures("graph_mode")
TOLERANCE = 1e-4


def real_positions(name, mask):
    """Where the values of a tensor count: hidden states of padded tokens are nobody's."""
    if name.startswith("attention_scores"):
        return (mask[:, None, :, None] * mask[:, None, None, :]).astype(bool)
    return mask[:, :, None].astype(bool) if name.startswith("hidden") else np.ones((1, 1), bool)


def assert_same(ours, theirs, mask, names=None):
    """Every tensor within the tolerance, on real tokens."""
    for name in names or ours:
        where = np.broadcast_to(real_positions(name, mask), ours[name].shape)
        difference = np.abs(ours[name] - theirs[name])[where].max()
        assert difference < TOLERANCE, f"{name}: {difference}"


def test_the_stored_reference(outputs, reference, batch):
    assert set(outputs) == {
        "logits",
        *(f"hidden_states/{m}" for m in range(3)),
        *(f"attention_scores/{m}" for m in range(2)),
    }
    assert batch[2].sum(1).tolist() == [8, 5, 3]  # padded rows among them
    assert_same(outputs, reference, batch[2])
    # Large enough to tell a wrong sum from a right one.
    assert all(np.abs(value).max() > 0.5 for value in outputs.values())


def test_padding_changes_nothing(network, batch, outputs):
    length = int(batch[2][1].sum())
    alone = named_outputs(network, tuple(column[1:2, :length] for column in batch))
    np.testing.assert_allclose(alone["logits"], outputs["logits"][1:2], atol=1e-5)
    np.testing.assert_allclose(alone["hidden_states/2"], outputs["hidden_states/2"][1:2, :length], atol=1e-5)
    garbage = tuple(
        np.where(batch[2] > 0, column, filler) for column, filler in zip(batch, (7, 1, 0), strict=True)
    )
    np.testing.assert_allclose(named_outputs(network, garbage)["logits"], outputs["logits"], atol=1e-5)


def test_half_precision_products(reference, batch):
    half = BertClassifier(tiny.TINY.replace(compute_type="float16"))
    load_strict(half, {n[7:]: a for n, a in reference.items() if n.startswith("weight/")}, "the fixture")
    half.set_train(False)
    found = named_outputs(half, batch)
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    assert 1e-6 < np.abs(found["logits"] - reference["logits"]).max() < 0.05


def test_the_original_tinybert_s_head(network, reference, batch, outputs):
    relu = BertClassifier(tiny.TINY.replace(head_activation="relu"))
    load_strict(relu, weight_arrays(network), "the network")
    relu.set_train(False)
    weights = reference["weight/classifier.weight"], reference["weight/classifier.bias"]
    expected = np.maximum(reference["pooled"], 0) @ weights[0].T + weights[1]
    np.testing.assert_allclose(named_outputs(relu, batch)["logits"], expected, atol=TOLERANCE)
    assert np.abs(expected - outputs["logits"]).max() > 0.1


def test_written_and_read_again(network, tmp_path, vocabulary):
    tiny.write_model(tmp_path / "model", vocabulary, arrays=weight_arrays(network))
    for name, array in read_weights(tmp_path / "model").arrays.items():
        np.testing.assert_array_equal(array, weight_arrays(network)[name])


@pytest.mark.reference
def test_live_transformers(network, batch, outputs, tmp_path, vocabulary):
    pytest.importorskip("torch")
    folder = tiny.write_model(tmp_path / "model", vocabulary, arrays=weight_arrays(network))
    assert_same(outputs, reference_outputs(folder, batch), batch[2])


@pytest.mark.reference
@pytest.mark.parametrize("heads, act", [(2, "gelu"), (4, "relu"), (4, "gelu_new")])
def test_other_shapes_and_a_longer_batch(heads, act, tmp_path, vocabulary):
    pytest.importorskip("torch")
    config = tiny.TINY.replace(num_attention_heads=heads, hidden_act=act, labels=("a", "b", "c"))
    network = BertClassifier(config)
    load_strict(network, tiny.random_arrays(config, seed=5), "random")
    network.set_train(False)
    batch = tiny.token_batch(config, rows=5, length=32, seed=3)
    folder = tiny.write_model(tmp_path / "model", vocabulary, config, weight_arrays(network))
    assert_same(named_outputs(network, batch), reference_outputs(folder, batch), batch[2])


@pytest.mark.reference
def test_a_regression_head(tmp_path, vocabulary):
    pytest.importorskip("torch")
    config = tiny.TINY.replace(labels=(), output_mode="regression")
    network = BertClassifier(config)
    load_strict(network, tiny.random_arrays(config), "random")
    network.set_train(False)
    batch = tiny.token_batch(config)
    folder = tiny.write_model(tmp_path / "model", vocabulary, config, weight_arrays(network))
    theirs = reference_outputs(folder, batch)
    assert theirs["logits"].shape == (3, 1)
    assert_same(named_outputs(network, batch), theirs, batch[2])


@pytest.mark.reference
@pytest.mark.skipif(tiny.minilm_folder() is None, reason="the MiniLM package is not installed")
def test_the_real_minilm(tmp_path):
    """The published weights through our BERT, and our folder of them through transformers."""
    pytest.importorskip("torch")
    from src.config.bert_config import BertConfig

    folder = tiny.minilm_folder()
    config = BertConfig.from_json(folder / "config.json").replace(labels=("0", "1"))
    network = BertClassifier(config)
    new = load_strict(network, read_weights(folder).arrays, folder, optional=("classifier.",))
    assert new == ["classifier.bias", "classifier.weight"]
    network.set_train(False)
    batch = tiny.token_batch(config, rows=4, length=24)
    ours = named_outputs(network, batch)
    theirs = reference_outputs(folder, batch, "BertModel")
    assert_same(ours, theirs, batch[2], [name for name in ours if name != "logits"])
    write_directory(tmp_path / "model", weight_arrays(network), config, folder)
    assert_same(ours, reference_outputs(tmp_path / "model", batch), batch[2])
