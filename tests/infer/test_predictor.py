"""Evaluation: every row once in dataset order, for any batch size, bucket and record format."""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.data.dataloader import BucketDataLoader
from src.data.records.io import read_records
from src.errors import UserError
from src.infer.predictor import LogitsCell, evaluation_mode, predict_logits
from src.metrics import task_metrics
from src.tasks import TASKS
from src.tools.evaluate import main
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
ROWS = 13


class CountingClassifier(nn.Cell):
    """A fake classifier whose logits are the number of real tokens and the sum of their ids."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(p=0.5)

    def construct(self, input_ids, token_type_ids, attention_mask, logits_only=False):
        real = attention_mask.astype(ms.float32)
        columns = (real.sum(-1), (input_ids.astype(ms.float32) * real).sum(-1))
        return self.dropout(ms.ops.stack(columns, 1)), (), ()


@pytest.fixture(scope="module")
def dataset(sst2):
    return read_records(sst2, split="dev")


@pytest.mark.parametrize("batch_size", [1, 4, 13, 32])
@pytest.mark.parametrize("buckets", [[16], [8, 16]])
def test_every_row_once_in_order(dataset, batch_size, buckets):
    cell = LogitsCell(CountingClassifier())
    cell.network.set_train(True)
    logits = predict_logits(cell, BucketDataLoader(dataset, batch_size, buckets, shuffle=False, seed=0))
    sums = np.add.reduceat(dataset.tokens.astype(np.int64), dataset.offsets[:-1])
    np.testing.assert_array_equal(logits, np.stack([dataset.lengths, sums], 1))
    # Dropout is off during evaluation; the previous mode is restored afterwards.
    assert cell.network.training and cell.network.dropout.training


def test_mode_is_restored_after_an_error():
    network = CountingClassifier()
    for mode in (True, False):
        network.set_train(mode)
        with pytest.raises(RuntimeError), evaluation_mode(network):
            assert not network.training
            raise RuntimeError
        assert network.training is mode


@pytest.fixture(scope="module")
def model(tmp_path_factory, vocabulary):
    return tiny.write_model(tmp_path_factory.mktemp("evaluate") / "model", vocabulary, seed=3)


def evaluated(capsys, *more, **values):
    """The JSON line printed by the tool."""
    capsys.readouterr()
    main([*tiny.flags(**{"task_name": "SST-2", **values}), *more])
    return json.loads(capsys.readouterr().out)


def test_metrics_do_not_depend_on_batch_size_or_buckets(model, sst2, tmp_path, capsys):
    values = {"model_dir": model, "eval_data_dir": sst2, "output_dir": tmp_path}
    one = evaluated(capsys, eval_batch_size=5, length_buckets="off", **values)
    assert one["eval_samples"] == ROWS and set(one) == {"eval_accuracy", "eval_samples"}
    assert evaluated(capsys, eval_batch_size=64, length_buckets="auto", **values) == one
    assert json.loads((tmp_path / "eval_results.json").read_text()) == one


def test_metrics_match_the_logits(model, sst2, dataset, tmp_path, capsys):
    from src.config.bert_config import BertConfig
    from src.model.bert import BertClassifier
    from src.model.state_dict import load_strict
    from src.weights.reader import read_weights

    network = BertClassifier(BertConfig.from_json(model / "config.json"))
    load_strict(network, read_weights(model).arrays, model)
    logits = predict_logits(LogitsCell(network), BucketDataLoader(dataset, 8, [16], shuffle=False, seed=0))
    assert np.isfinite(logits).all()
    found = evaluated(capsys, model_dir=model, eval_data_dir=sst2 / "dev.tfrecord", output_dir=tmp_path)
    assert found == pytest.approx(task_metrics(TASKS["SST-2"], logits, dataset.labels))


def test_labels_in_another_order(model, vocabulary, sst2, tmp_path, capsys):
    arrays = tiny.random_arrays(tiny.TINY, seed=3)
    swapped = {n: a[::-1].copy() if n.startswith("classifier.") else a for n, a in arrays.items()}
    config = tiny.TINY.replace(labels=("1", "0"))
    turned = tiny.write_model(tmp_path / "turned", vocabulary, config, swapped)
    values = {"eval_data_dir": sst2, "output_dir": tmp_path, "length_buckets": "off"}
    assert evaluated(capsys, model_dir=turned, **values) == evaluated(capsys, model_dir=model, **values)


def test_results_are_written_to_the_model_folder_by_default(vocabulary, sst2, tmp_path, capsys):
    model = tiny.write_model(tmp_path / "model", vocabulary)
    found = evaluated(capsys, model_dir=model, eval_data_dir=sst2, length_buckets="off")
    assert json.loads((model / "eval_results.json").read_text()) == found


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"task_name": "MNLI"},
            "model.safetensors has no head for MNLI .contradiction, entailment, neutral. but 0, 1",
        ),
        ({"task_name": "STS-B"}, "has no head for STS-B .a score. but 0, 1"),
        ({"task_name": "RTE"}, "was prepared for SST-2 with the labels 0, 1, not for RTE with entailment"),
        ({"eval_data_dir": "none"}, "none does not exist"),
        ({"model_dir": "none"}, "none does not exist; give a model folder or a weight file"),
        ({"eval_batch_size": 0}, "--eval_batch_size 0 .command line. must be above 0"),
        ({"output_dir": __file__}, "output_dir .*test_predictor.py is a file"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_mismatched_inputs_are_rejected(model, sst2, tmp_path, change, message, capsys):
    values = {"task_name": "SST-2", "model_dir": model, "eval_data_dir": sst2, "output_dir": tmp_path / "out"}
    with pytest.raises(UserError, match=message):
        main(tiny.flags(**{**values, **change}))
    assert not (tmp_path / "out").exists()


def test_nan_logits_are_rejected(vocabulary, sst2, tmp_path):
    """argmax of NaNs is the first label, which would give an accuracy of one half."""
    arrays = tiny.random_arrays(tiny.TINY)
    arrays["classifier.bias"][0] = np.nan
    model = tiny.write_model(tmp_path / "model", vocabulary, arrays=arrays)
    with pytest.raises(UserError, match="13 of 13 outputs of the model are NaN or infinite"):
        main(tiny.flags(model_dir=model, task_name="SST-2", eval_data_dir=sst2, kernels="off"))
    assert not (model / "eval_results.json").exists()
