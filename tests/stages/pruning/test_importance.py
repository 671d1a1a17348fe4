"""Importance of heads, neurons and layers, against differences of the loss and the logits in NumPy."""

import numpy as np
import pytest

from src.config.data_config import DeviceConfig
from src.data.dataloader import BucketDataLoader
from src.data.dataset import TokenizedDataset
from src.stages.model.device import setup_device
from src.stages.model.load import ModelFiles
from src.stages.pruning.importance import least_harmful_layers, measure_importance, most_important
from src.tasks import find_task
from tests import tiny
from tests.infer.integer_bert import IntegerBert

pytestmark = pytest.mark.usefixtures("graph_mode")
CONFIG = tiny.TINY.replace(num_hidden_layers=3)
ARRAYS = tiny.random_arrays(CONFIG)
COLUMNS = {"heads": ("attention.output.dense", 8), "neurons": ("output.dense", 1)}


class FloatBert(IntegerBert):
    """The same model of NumPy, without quantization, in float64."""

    def dense(self, x, name):
        return x @ self.arrays[f"{name}.weight"].T.astype(float) + self.arrays[f"{name}.bias"]

    def table(self, name):
        return self.arrays[f"bert.embeddings.{name}_embeddings.weight"].astype(float)


@pytest.fixture(scope="module")
def loader():
    """Two batches of 4 rows."""
    rng = np.random.default_rng(5)
    lengths = [7, 5, 6, 7, 4, 7, 3, 7]
    tokens = rng.integers(5, 100, sum(lengths))
    labels = rng.integers(0, 2, len(lengths))
    dataset = TokenizedDataset.from_flat(tokens, np.zeros_like(tokens), lengths, labels, 7)
    return BucketDataLoader(dataset, 4, [7], shuffle=False, seed=0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return ModelFiles(CONFIG, ARRAYS, tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def device(library):
    return setup_device(DeviceConfig(device_target="CPU"), lambda text: None)


@pytest.fixture(scope="module")
def importance(files, device, loader):
    return measure_importance(files, find_task("SST-2"), device, loader)


def loss(arrays, batch):
    """Mean cross-entropy of a batch."""
    logits = FloatBert(CONFIG, arrays)(*batch[:3])
    by_class = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -by_class[np.arange(len(logits)), batch.labels].mean()


@pytest.mark.parametrize("kind, unit", [("heads", 2), ("neurons", 11)])
@pytest.mark.parametrize("layer", range(3))
def test_the_gradient_of_a_mask(importance, loader, kind, unit, layer):
    """Mean over batches of |d loss / d mask|, the mask a factor on the columns that read the unit."""
    dense, width = COLUMNS[kind]
    measured = getattr(importance, kind)
    assert measured.shape == (3, ARRAYS[f"bert.encoder.layer.0.{dense}.weight"].shape[1] // width)
    name, step, gradients = f"bert.encoder.layer.{layer}.{dense}.weight", 1e-4, []
    for batch in loader.epoch(0):
        sides = []
        for factor in (1 + step, 1 - step):
            changed = ARRAYS[name].astype(float)
            changed[:, unit * width : (unit + 1) * width] *= factor
            sides.append(loss({**ARRAYS, name: changed}, batch))
        gradients.append((sides[0] - sides[1]) / (2 * step))
    assert len(gradients) == 2 and min(map(abs, gradients)) > 1e-5
    np.testing.assert_allclose(measured[layer, unit], np.mean(np.abs(gradients)), rtol=1e-3)


def test_layers_that_change_the_logits_least(files, loader, device):
    lines = []
    kept = least_harmful_layers(files, 2, device, loader, lines.append)
    (batch,) = BucketDataLoader(loader.dataset, 8, [7], shuffle=False, seed=0).epoch(0)
    complete, harm = FloatBert(CONFIG, ARRAYS)(*batch[:3]), {}
    for layer in range(3):
        arrays = {name: array for name, array in ARRAYS.items() if ".layer." not in name}
        for place, other in enumerate(other for other in range(3) if other != layer):
            old, new = f".layer.{other}.", f".layer.{place}."
            arrays |= {name.replace(old, new): array for name, array in ARRAYS.items() if old in name}
        logits = FloatBert(CONFIG.replace(num_hidden_layers=2), arrays)(*batch[:3])
        harm[layer] = np.mean((logits - complete) ** 2)
    least = min(harm, key=harm.__getitem__)
    assert kept == tuple(layer for layer in range(3) if layer != least)
    listed = ", ".join(f"{layer}: {value:.4f}" for layer, value in harm.items())
    assert lines == [
        f"removed layer {least}; mean squared difference of the logits without each layer: {listed}"
    ]


def test_most_important():
    importance = np.array([[3.0, 1.0, 2.0, 0.0], [0.0, 0.0, 5.0, 5.0]])
    assert most_important(importance, 2).tolist() == [[0, 2], [2, 3]]
