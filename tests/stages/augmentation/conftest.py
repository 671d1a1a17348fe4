"""Models that augmentation takes words from."""

import pytest

from src.model.state_dict import weight_arrays
from src.weights.huggingface import write_directory
from tests import tiny
from tests.augment_task import CONFIG, PIECES


@pytest.fixture(scope="module")
def mlm(tmp_path_factory):
    """A random model with its head, as transformers would write it."""
    folder = tmp_path_factory.mktemp("mlm")
    vocabulary = tiny.write_vocabulary(folder / "vocabulary", PIECES)
    config = {**CONFIG.to_json_dict(), "architectures": ["BertForMaskedLM"]}
    write_directory(folder / "model", weight_arrays(tiny.random_masked_lm(CONFIG)), config, vocabulary)
    return folder / "model"


@pytest.fixture(scope="module")
def headless(mlm):
    """A model of the same vocabulary without the head: what a teacher's body is."""
    arrays = tiny.random_arrays(CONFIG.replace(labels=("0", "1")), seed=4)
    return tiny.write_model(mlm.parent / "headless", mlm, CONFIG.replace(labels=("0", "1")), arrays)
