"""The head of masked language modelling: transformers' numbers, NumPy's, and its names in files."""

import mindspore as ms
import numpy as np
import pytest
from scipy.special import erf

from src.model.state_dict import named_parameters, weight_arrays
from src.stages.model.masked_lm import has_mlm_head, load_masked_lm, read_masked_lm
from src.weights.huggingface import write_directory
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
CONFIG = tiny.TINY.replace(labels=())
HEAD = [
    "cls.predictions.bias",
    "cls.predictions.transform.LayerNorm.bias",
    "cls.predictions.transform.LayerNorm.weight",
    "cls.predictions.transform.dense.bias",
    "cls.predictions.transform.dense.weight",
]


def silent(text):
    pass


class Float:
    """What load_masked_lm asks of a device."""

    from src.model.layers import FLOAT_LAYERS as layers

    dtype = compute_type = "float32"


@pytest.fixture(scope="module")
def network():
    return tiny.random_masked_lm(CONFIG)


def logits_everywhere(network, batch):
    """[B, S, V]"""
    rows, length = batch[0].shape
    places = np.arange(rows * length, dtype=np.int32)
    return network(*map(ms.Tensor, (*batch, places))).asnumpy().reshape(rows, length, -1)


def test_names_are_those_of_transformers(network):
    assert sorted(name for name in named_parameters(network) if name.startswith("cls.")) == HEAD


def test_the_head_by_hand(network):
    batch = tiny.token_batch(CONFIG)
    states = network.bert(*map(ms.Tensor, batch))[1][-1].asnumpy()
    weights = weight_arrays(network)
    inner = states @ weights[HEAD[4]].T + weights[HEAD[3]]
    inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
    inner = inner - inner.mean(1, keepdims=True)
    inner = inner / np.sqrt(inner.var(1, keepdims=True) + CONFIG.layer_norm_eps)
    inner = inner * weights[HEAD[2]] + weights[HEAD[1]]
    expected = inner @ weights["bert.embeddings.word_embeddings.weight"].T + weights[HEAD[0]]
    places = np.array([9, 2, 2], np.int32)
    found = network(*map(ms.Tensor, (*batch, places))).asnumpy()
    np.testing.assert_allclose(found, expected[places], atol=1e-4)


def written(network, folder, vocabulary, **changes):
    config = {**CONFIG.to_json_dict(), "architectures": ["BertForMaskedLM"]}
    write_directory(folder, {**weight_arrays(network), **changes}, config, vocabulary)
    return folder


@pytest.mark.reference
def test_transformers_opens_ours(network, tmp_path, vocabulary):
    torch = pytest.importorskip("torch")
    from transformers import BertForMaskedLM

    theirs, report = BertForMaskedLM.from_pretrained(
        written(network, tmp_path / "model", vocabulary), output_loading_info=True
    )
    assert not report["missing_keys"]
    batch = tiny.token_batch(CONFIG, rows=4, length=16)
    with torch.no_grad():
        ids, types, mask = (torch.tensor(column).long() for column in batch)
        expected = theirs.eval()(input_ids=ids, token_type_ids=types, attention_mask=mask).logits.numpy()
    real = batch[2].astype(bool)
    np.testing.assert_allclose(logits_everywhere(network, batch)[real], expected[real], atol=1e-4)
    assert np.abs(expected).max() > 1


@pytest.mark.reference
@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_ours_opens_transformers(suffix, tmp_path):
    torch = pytest.importorskip("torch")
    from transformers import BertConfig as TheirConfig
    from transformers import BertForMaskedLM

    torch.manual_seed(3)
    config = TheirConfig.from_dict({**CONFIG.to_json_dict(), "initializer_range": 0.3})
    theirs = BertForMaskedLM(config).eval()
    torch.nn.init.normal_(theirs.cls.predictions.bias)
    theirs.save_pretrained(tmp_path)
    if suffix == "bin":
        # As files of BERT's first years: no safetensors, and the tied matrix written twice.
        (tmp_path / "model.safetensors").unlink()
        torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    files = read_masked_lm(tmp_path, silent)
    assert has_mlm_head(files)
    network = load_masked_lm(files, Float)
    batch = tiny.token_batch(CONFIG, rows=4, length=16)
    with torch.no_grad():
        ids, types, mask = (torch.tensor(column).long() for column in batch)
        expected = theirs(input_ids=ids, token_type_ids=types, attention_mask=mask).logits.numpy()
    real = batch[2].astype(bool)
    np.testing.assert_allclose(logits_everywhere(network, batch)[real], expected[real], atol=1e-4)


def test_a_folder_without_the_head_says_so(tmp_path, vocabulary):
    assert not has_mlm_head(read_masked_lm(tiny.write_model(tmp_path / "model", vocabulary), silent))


def test_an_output_matrix_of_its_own_is_refused(network, tmp_path, vocabulary):
    from src.errors import UserError

    decoder = np.zeros((CONFIG.vocab_size, CONFIG.hidden_size), np.float32)
    folder = written(network, tmp_path / "model", vocabulary, **{"cls.predictions.decoder.weight": decoder})
    with pytest.raises(UserError, match="differs from the word embeddings"):
        read_masked_lm(folder, silent)
