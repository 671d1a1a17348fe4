"""The model zoo's MindSpore names and Google's TensorFlow names -> Hugging Face's."""

import numpy as np
import pytest

from src.config.bert_config import BertConfig
from src.errors import UserError
from src.weights.huggingface import expected_shapes
from src.weights.mindspore_ckpt import hf_to_zoo, read_ckpt, write_ckpt, zoo_to_hf
from src.weights.reader import read_weights
from src.weights.tensorflow import hf_to_tf, tf_to_hf

CONFIG = BertConfig(
    vocab_size=40,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=48,
    max_position_embeddings=16,
    labels=("a", "b", "c"),
)
DENSE = {
    "attention.attention.query_layer": (32, 32),
    "attention.attention.key_layer": (32, 32),
    "attention.attention.value_layer": (32, 32),
    "attention.output.dense": (32, 32),
    "intermediate": (48, 32),
    "output.dense": (32, 48),
}


def zoo_shapes(outer="bert.bert.", stem="bert_", old_embeddings=False, head="bert.dense_1"):
    """{zoo name: shape} of the zoo's BERT, written out from its cells."""
    names = (
        ("embedding_table", "full_position_embeddings")
        if old_embeddings
        else ("token_type_embedding.embedding_table", "full_position_embedding.embedding_table")
    )
    post = f"{outer}{stem}embedding_postprocessor."
    shapes = {
        f"{outer}{stem}embedding_lookup.embedding_table": (40, 32),
        post + names[0]: (2, 32),
        post + names[1]: (16, 32),
        post + "layernorm.gamma": (32,),
        post + "layernorm.beta": (32,),
        f"{outer}dense.weight": (32, 32),
        f"{outer}dense.bias": (32,),
    }
    for layer in range(2):
        prefix = f"{outer}{stem}encoder.layers.{layer}."
        for name, shape in DENSE.items():
            shapes.update({f"{prefix}{name}.weight": shape, f"{prefix}{name}.bias": shape[:1]})
        for name in ("attention.output.layernorm", "output.layernorm"):
            shapes.update({f"{prefix}{name}.gamma": (32,), f"{prefix}{name}.beta": (32,)})
    if head:
        shapes.update({f"{head}.weight": (3, 32), f"{head}.bias": (3,)})
    return shapes


def test_values_of_every_type_are_those_that_mindspore_reads(tmp_path, graph_mode):
    import mindspore as ms

    numbers = np.arange(6).reshape(2, 3)
    kinds = "int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 bool".split()
    tensors = {kind: ms.Tensor(numbers.astype(kind)) for kind in kinds}
    tensors |= {"scalar": ms.Tensor(2.5, ms.float32), "bf16": ms.Tensor(numbers, ms.bfloat16)}
    entries = [{"name": name, "data": tensor} for name, tensor in tensors.items()]
    file = tmp_path / "m.ckpt"
    ms.save_checkpoint(entries, str(file), append_dict={"epoch_num": 3, "note": "text"}, crc_check=True)
    arrays, others = read_ckpt(file)
    expected = ms.load_checkpoint(str(file))
    assert others == 1 and set(arrays) == set(expected) - {"note"} == {*tensors, "epoch_num"}
    for name, array in arrays.items():
        values = expected[name].float() if name == "bf16" else expected[name]
        np.testing.assert_array_equal(array, values.asnumpy(), err_msg=name)
        assert array.dtype == values.asnumpy().dtype and array.shape == values.shape
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(UserError, match="its checksum does not match; it is truncated or damaged"):
        read_ckpt(file)


def arrays_of(shapes, seed=0):
    """Random arrays of these shapes."""
    random = np.random.default_rng(seed)
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def shapes_of(arrays):
    """{name: shape}."""
    return {name: array.shape for name, array in arrays.items()}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("outer", "stem", "head"),
    [
        ("bert.bert.", "bert_", "bert.dense_1"),
        ("bert.", "bert_", "dense_1"),
        ("", "bert_", ""),
        ("bert.", "tinybert_", ""),
        ("teacher.bert.", "bert_", "teacher.dense_1"),
        ("teacher.", "bert_", ""),
    ],
)
def test_every_layout_yields_every_weight(outer, stem, head, old):
    raw = arrays_of(zoo_shapes(outer, stem, old, head))
    arrays, ignored, optimizer_values = zoo_to_hf(raw, "x.ckpt")
    config = CONFIG if head else CONFIG.replace(labels=())
    assert shapes_of(arrays) == expected_shapes(config)
    assert (ignored, optimizer_values) == ([], 0)
    query = f"{outer}{stem}encoder.layers.1.attention.attention.query_layer.weight"
    assert arrays["bert.encoder.layer.1.attention.self.query.weight"] is raw[query]


@pytest.mark.parametrize(
    ("labels", "general", "layout"),
    [
        (("a", "b", "c"), False, ("bert.bert.", "bert_", False, "bert.dense_1")),
        ((), False, ("bert.bert.", "bert_", False, "")),
        ((), True, ("bert.", "tinybert_", False, "")),
    ],
)
def test_the_way_back_has_the_names_of_the_zoo_s_cells(labels, general, layout):
    arrays = arrays_of(expected_shapes(CONFIG.replace(labels=labels)))
    raw = hf_to_zoo(arrays, general)
    assert shapes_of(raw) == zoo_shapes(*layout)
    again = zoo_to_hf(raw, "x.ckpt")[0]
    assert set(again) == set(arrays) and all(again[name] is arrays[name] for name in arrays)


def test_optimizer_state_is_counted_and_ranges_and_heads_are_ignored():
    layer = "bert.bert.bert_encoder.layers.0."
    ignored_shapes = {
        f"{layer}attention.attention.query_layer.fake_quant_weight.quant_min": (1,),
        f"{layer}attention.attention.query_layer.fake_quant_weight.maxq": (1,),
        f"{layer}intermediate.fake_quant_act.minq": (1,),
        f"{layer}activation_max": (1,),
        "bert.cls1.output_bias": (40,),
        "bert.cls1.dense.weight": (32, 32),
        "bert.cls2.dense.bias": (2,),
    }
    state = {
        f"adam_m.{layer}output.dense.weight": (32, 48),
        f"adam_v.{layer}output.dense.weight": (32, 48),
        "moments.bert.dense_1.bias": (3,),
        "global_step": (1,),
        "learning_rate": (),
        "loss_scale": (),
        "current_iterator_step": (),
        "last_overflow_iterator_step": (),
        "scale_sense": (),
    }
    raw = arrays_of({**zoo_shapes(), **ignored_shapes, **state})
    arrays, ignored, optimizer_values = zoo_to_hf(raw, "x.ckpt")
    assert shapes_of(arrays) == expected_shapes(CONFIG)
    assert set(ignored) == set(ignored_shapes) and optimizer_values == len(state)


def test_teacher_and_student_in_one_file():
    both = {
        **zoo_shapes("teacher.bert.", head="teacher.dense_1"),
        **zoo_shapes(),
        "fit_dense.weight": (32, 32),
        "fit_dense.bias": (32,),
    }
    raw = arrays_of(both)
    with pytest.raises(UserError, match="--part teacher or --part student"):
        zoo_to_hf(raw, "x.ckpt")
    teacher = zoo_to_hf(raw, "x.ckpt", "teacher")[0]
    student = zoo_to_hf(raw, "x.ckpt", "student")[0]
    assert teacher["classifier.bias"] is raw["teacher.dense_1.bias"]
    assert student["classifier.bias"] is raw["bert.dense_1.bias"]
    assert "hidden_projection.weight" in student and "hidden_projection.weight" not in teacher
    one = arrays_of(zoo_shapes())
    with pytest.raises(UserError, match="no teacher"):
        zoo_to_hf(one, "x.ckpt", "teacher")
    # Where a teacher is expected, a file with a single model provides it.
    found = zoo_to_hf(one, "x.ckpt", "teacher", strict=False)[0]
    assert found["classifier.bias"] is one["bert.dense_1.bias"]
    assert zoo_to_hf(raw, "x.ckpt", "teacher", strict=False)[0].keys() == teacher.keys()


def test_relative_positions():
    table = (
        "bert.bert.bert_encoder.layers.{}.attention.attention._generate_relative_positions_embeddings."
        "embeddings_table"
    )
    raw = arrays_of({**zoo_shapes(), **{table.format(layer): (33, 8) for layer in (0, 1)}})
    arrays, ignored, _ = zoo_to_hf(raw, "x.ckpt")
    assert shapes_of(arrays) == expected_shapes(CONFIG.replace(use_relative_positions=True))
    assert ignored == ["bert.bert.bert_embedding_postprocessor.full_position_embedding.embedding_table"]
    # The zoo has one table for keys and values.
    assert {table.format(layer) for layer in (0, 1)} < set(hf_to_zoo(arrays))
    arrays["bert.encoder.layer.1.attention.self.relative_values.table.weight"] = np.ones((33, 8), np.float32)
    with pytest.raises(UserError, match="layer 1 has different tables of relative positions"):
        hf_to_zoo(arrays)


def test_an_unknown_name_is_listed_with_the_nearest():
    shapes = zoo_shapes()
    shapes["bert.bert.bert_encoder.layers.1.attention.attention.quary_layer.weight"] = shapes.pop(
        "bert.bert.bert_encoder.layers.1.attention.attention.query_layer.weight"
    )
    with pytest.raises(UserError, match="quary_layer.*did you mean.*layers.1.*query_layer"):
        zoo_to_hf(arrays_of(shapes), "x.ckpt")
    with pytest.raises(UserError, match="both map to"):
        zoo_to_hf(arrays_of({**zoo_shapes(), "dense_1.bias": (3,)}), "x.ckpt")


def test_unknown_names_that_a_pattern_ignores():
    extra = {"bert.bert.adapter.weight": (3, 3), "queue.bias": (3,)}
    raw = arrays_of({**zoo_shapes(), **extra})
    with pytest.raises(UserError, match="1 names are not of the model zoo's .* queue.bias"):
        zoo_to_hf(raw, "x.ckpt", ignore_unexpected="*.adapter.*")
    arrays, ignored, _ = zoo_to_hf(raw, "x.ckpt", ignore_unexpected="*.adapter.*,queue.*,bert.bert.dense.*")
    assert ignored == list(extra) and arrays.keys() == zoo_to_hf(arrays_of(zoo_shapes()), "x.ckpt")[0].keys()


def test_a_ckpt_file(tmp_path):
    raw = arrays_of({**zoo_shapes(), "adam_m.bert.dense_1.bias": (3,), "global_step": (1,)})
    file = tmp_path / "tinybert.ckpt"
    write_ckpt(file, raw)
    weights = read_weights(file)
    assert shapes_of(weights.arrays) == expected_shapes(CONFIG) and weights.optimizer_values == 2
    np.testing.assert_array_equal(weights.arrays["classifier.weight"], raw["bert.dense_1.weight"])
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.raises(UserError, match="cannot be read as a MindSpore checkpoint") as caught:
        read_weights(file)
    assert "\n" not in str(caught.value)


def google_name(name):
    """Google's name for a canonical name (the inverse mapping)."""
    if name.startswith("classifier."):
        return "output_weights" if name.endswith("weight") else "output_bias"
    if name.endswith("_embeddings.weight"):
        return name.removesuffix(".weight").replace(".", "/")
    stem, kind = name.rsplit(".", 1)
    kind = (
        {"weight": "gamma", "bias": "beta"}[kind]
        if "LayerNorm" in stem
        else {"weight": "kernel", "bias": "bias"}[kind]
    )
    return f"{stem.replace('encoder.layer.', 'encoder.layer_').replace('.', '/')}/{kind}"


def test_google_names_and_transposes():
    ours = arrays_of(expected_shapes(CONFIG))
    raw = {google_name(n): a.T if google_name(n).endswith("kernel") else a for n, a in ours.items()}
    assert "bert/encoder/layer_1/attention/output/dense/kernel" in raw
    written = hf_to_tf(ours)
    assert set(written) == set(raw) and all(np.array_equal(written[name], raw[name]) for name in raw)
    arrays, ignored = tf_to_hf({**raw, "cls/predictions/output_bias": np.zeros(40)}, "bert_model.ckpt")
    assert ignored == ["cls/predictions/output_bias"] and set(arrays) == set(ours)
    for name, array in ours.items():
        np.testing.assert_array_equal(arrays[name], array)
    with pytest.raises(UserError, match="names are not of Google's BERT: bert/encoder/strange"):
        tf_to_hf({**raw, "bert/encoder/strange": np.zeros(1)}, "bert_model.ckpt")
    found = tf_to_hf({**raw, "bert/encoder/strange": np.zeros(1)}, "bert_model.ckpt", "*/strange")
    assert set(found[0]) == set(arrays) and found[1] == ["bert/encoder/strange"]
