"""Strict loading: every name meets its partner or nothing is changed, and the message names what is wrong."""

import numpy as np
import pytest

from src.errors import UserError
from src.model.bert import BertClassifier
from src.model.state_dict import load_strict, named_parameters, to_hf_name, weight_arrays
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
QUERY = "bert.encoder.layer.1.attention.self.query.weight"


@pytest.fixture(scope="module")
def cell():
    return BertClassifier(tiny.TINY)


@pytest.fixture
def arrays():
    return tiny.random_arrays(tiny.TINY)


def refused(cell, arrays, **options):
    """The complaint; and nothing of the cell has changed."""
    before = weight_arrays(cell)
    with pytest.raises(UserError) as caught:
        load_strict(cell, arrays, "model.safetensors", **options)
    for name, array in weight_arrays(cell).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    message = str(caught.value)
    assert message.startswith("model.safetensors does not fit the model, nothing was loaded: ")
    return message


def test_all_of_it(cell, arrays):
    assert load_strict(cell, arrays, "here") == []
    for name, array in weight_arrays(cell).items():
        np.testing.assert_array_equal(array, arrays[name])


def test_missing(cell, arrays):
    del arrays[QUERY]
    assert f"1 weights are missing ({QUERY})" in refused(cell, arrays)


def test_a_renamed_weight_names_the_nearest(cell, arrays):
    arrays[QUERY.replace("query", "querry")] = arrays.pop(QUERY)
    message = refused(cell, arrays)
    assert f"missing ({QUERY})" in message
    assert f'unexpected ({QUERY.replace("query", "querry")}; did you mean "{QUERY}"?)' in message


def test_a_shape(cell, arrays):
    arrays[QUERY] = arrays[QUERY][:, :16]
    assert f"1 have another shape ({QUERY} (32, 16) instead of (32, 32))" in refused(cell, arrays)


def test_a_deeper_model_is_not_cut_off(cell):
    deeper = tiny.random_arrays(tiny.TINY.replace(num_hidden_layers=4))
    assert "32 are unexpected (bert.encoder.layer.2." in refused(cell, deeper)
    assert "and 27 more" in refused(cell, deeper)


def test_a_fresh_head_where_allowed(cell, arrays):
    body = {name: array for name, array in arrays.items() if name.startswith("bert.")}
    assert "2 weights are missing (classifier.bias, classifier.weight)" in refused(cell, body)
    before = weight_arrays(cell)["classifier.weight"]
    kept = load_strict(cell, body, "here", optional=("classifier.",))
    assert kept == ["classifier.bias", "classifier.weight"]
    np.testing.assert_array_equal(weight_arrays(cell)["classifier.weight"], before)


def test_a_head_of_another_width_is_fresh(cell, arrays):
    arrays["classifier.weight"] = np.zeros((3, 32), np.float32)
    assert "classifier.weight (3, 32) instead of (2, 32)" in refused(cell, arrays)
    assert "classifier.weight" in load_strict(cell, arrays, "here", optional=("classifier.",))


def test_half_a_head_is_no_head(cell, arrays):
    """A weight of the old head beside a fresh bias would be neither."""
    arrays["classifier.weight"] = np.zeros((3, 32), np.float32)
    arrays["classifier.bias"] = np.full(2, 7, np.float32)
    new = load_strict(cell, arrays, "here", optional=("classifier.",))
    assert new == ["classifier.bias", "classifier.weight"]


def test_a_fresh_head_excuses_nothing_else(cell, arrays):
    del arrays["bert.pooler.dense.bias"], arrays["classifier.bias"]
    message = refused(cell, arrays, optional=("classifier.",))
    assert "1 weights are missing (bert.pooler.dense.bias)" in message


def test_names_are_hugging_face_s(cell, arrays):
    assert set(named_parameters(cell)) == set(arrays)
    assert to_hf_name("bert.encoder.11.attention_norm.weight") == (
        "bert.encoder.layer.11.attention.output.LayerNorm.weight"
    )
    assert to_hf_name("hidden_projection.weight") == "hidden_projection.weight"
