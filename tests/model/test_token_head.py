"""The head that answers for each token: transformers' BertForTokenClassification, as network and as ONNX."""

import mindspore as ms
import numpy as np
import pytest

from src.config.bert_config import BertConfig
from src.data.dataloader import BucketDataLoader, SortedDataLoader
from src.data.dataset import TokenizedDataset
from src.infer.logits import collect_logits
from src.infer.onnx.bert import bert_model
from src.infer.onnx.session import OnnxModel
from src.infer.predictor import predictor
from src.model.bert import BertClassifier
from src.model.state_dict import load_strict, weight_arrays
from src.weights.huggingface import drop_unused_pooler, expected_shapes, infer_labels
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
LABELS = ("O", "B-LOC", "I-LOC")
CONFIG = tiny.TINY.replace(labels=LABELS, output_mode="token_classification")


@pytest.fixture(scope="module")
def arrays():
    return tiny.random_arrays(CONFIG)


@pytest.fixture(scope="module")
def predict(arrays):
    network = BertClassifier(CONFIG)
    load_strict(network, arrays, "tiny")
    assert set(weight_arrays(network)) == set(expected_shapes(CONFIG)) == set(arrays)
    return predictor(network)


@pytest.mark.reference
def test_the_folder_opens_in_transformers_with_the_same_logits(arrays, predict, tmp_path, vocabulary):
    import torch
    from transformers import AutoModelForTokenClassification

    folder = tiny.write_model(tmp_path / "model", vocabulary, CONFIG, arrays)
    theirs, info = AutoModelForTokenClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert theirs.config.id2label == dict(enumerate(LABELS))
    ids, segments, mask = tiny.token_batch(CONFIG)
    with torch.no_grad():
        columns = {"input_ids": ids, "token_type_ids": segments, "attention_mask": mask}
        expected = theirs.eval()(**{name: torch.tensor(column).long() for name, column in columns.items()})
    found = predict(ids, segments, mask)
    assert found.shape == (3, 8, len(LABELS)) and np.abs(found).max() > 0.5
    np.testing.assert_allclose(found[mask > 0], expected.logits.numpy()[mask > 0], atol=1e-4)


@pytest.mark.reference
def test_a_folder_of_transformers_is_read(tmp_path):
    import transformers

    sizes = {key: value for key, value in CONFIG.to_json_dict().items() if key not in ("architectures",)}
    theirs = transformers.BertForTokenClassification(transformers.BertConfig(**sizes))
    theirs.save_pretrained(tmp_path)
    config = BertConfig.from_json(tmp_path / "config.json")
    assert (config.output_mode, config.labels) == ("token_classification", LABELS)
    names = {name for name, _ in theirs.named_parameters()}
    assert set(expected_shapes(config)) == names


def test_onnx_with_dynamic_length(arrays, predict, tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(bert_model(CONFIG, arrays).SerializeToString())
    model = OnnxModel(file, threads=1)
    for rows, length in ((1, 1), (3, 8), (2, 13)):
        batch = tiny.token_batch(CONFIG, rows, length)
        np.testing.assert_allclose(model(*batch)[batch[2] > 0], predict(*batch)[batch[2] > 0], atol=1e-4)
    (output,) = model.session.get_outputs()
    assert (output.name, output.shape) == ("logits", ["batch", "length", 3])


def test_logits_of_the_real_tokens_of_a_table(predict):
    draw, lengths = np.random.default_rng(1), np.array([3, 8, 5, 8, 4])
    tokens = draw.integers(5, 90, lengths.sum())
    table = TokenizedDataset.from_flat(tokens, tokens * 0, lengths, tokens % 3, 8)
    alone = [
        predict(*(column.astype(np.int32) for column in table.padded(np.array([row]), 8)))[0, :length]
        for row, length in enumerate(lengths)
    ]
    for batches in (
        BucketDataLoader(table, 2, [8], shuffle=False, seed=0),
        SortedDataLoader(table, 2, equal=True),
    ):
        logits = collect_logits(predict, batches)
        np.testing.assert_allclose(logits, np.concatenate(alone), atol=1e-5)
    assert [part.shape for part in table.by_row(logits)] == [(length, 3) for length in lengths]


def test_the_zoo_s_relu_before_the_head(arrays):
    # Its BertModelNER: ReLU of the last hidden state, then the classifier; GELU by tanh.
    config = CONFIG.replace(head_activation="relu", hidden_act="gelu_new", layer_norm_eps=1e-7)
    network = BertClassifier(config)
    load_strict(network, arrays, "tiny")
    network.set_train(False)
    logits, hidden_states, _ = network(*map(ms.Tensor, tiny.token_batch(CONFIG)))
    top = np.maximum(hidden_states[-1].asnumpy(), 0)
    expected = top @ arrays["classifier.weight"].T + arrays["classifier.bias"]
    np.testing.assert_allclose(logits.asnumpy().reshape(expected.shape), expected, atol=1e-6)


def test_what_the_config_says():
    again = CONFIG.to_json_dict()
    assert again["architectures"] == ["BertForTokenClassification"] and again["problem_type"] is None
    assert not any(name.startswith("bert.pooler.") for name in expected_shapes(CONFIG))
    # transformers leaves names out that are LABEL_0 ...; one label of a token is no score.
    bare = CONFIG.replace(labels=())
    assert infer_labels(bare, 1)[0].labels == ("LABEL_0",)
    older = {"bert.pooler.dense.bias": 0, "classifier.bias": 1}
    assert drop_unused_pooler(CONFIG, older) == ({"classifier.bias": 1}, ["bert.pooler.dense.bias"])
    assert drop_unused_pooler(tiny.TINY, older) == (older, [])
