"""config.json there and back, presets, and what is refused."""

import json

import pytest

from src.config.bert_config import PRESETS, BertConfig, preset
from src.config.finetune_config import FinetuneConfig
from src.config.student_config import fresh_student, with_rates
from src.errors import UserError

CLASSIFIER = {"architectures": ["BertForSequenceClassification"]}


def write(path, values):
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize(
    "config",
    [
        BertConfig(labels=("bad", "good")),
        BertConfig(output_mode="regression"),
        BertConfig(labels=("a|b", "c"), output_mode="multi_label", label_separator=";"),
        BertConfig(),
        preset("4L-312", labels=("0", "1", "2"), use_relative_positions=True, head_activation="relu"),
    ],
    ids=["labels", "regression", "separator", "no head", "ours"],
)
def test_there_and_back(tmp_path, config):
    read = BertConfig.from_json(write(tmp_path / "config.json", config.to_json_dict()))
    assert read == config


def test_the_keys_are_transformers():
    values = BertConfig(labels=("bad", "good")).to_json_dict()
    assert values["architectures"] == ["BertForSequenceClassification"] and values["model_type"] == "bert"
    assert values["id2label"] == {"0": "bad", "1": "good"} and values["label2id"] == {"bad": 0, "good": 1}
    assert values["problem_type"] == "single_label_classification"
    assert BertConfig(output_mode="regression").to_json_dict()["problem_type"] == "regression"
    assert BertConfig().to_json_dict()["architectures"] == ["BertModel"]


@pytest.mark.reference
def test_transformers_reads_the_same(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = preset("3L-312", labels=("bad", "good"), hidden_dropout_prob=0.3)
    write(tmp_path / "config.json", config.to_json_dict())
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    for name in (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "hidden_dropout_prob",
        "max_position_embeddings",
        "layer_norm_eps",
    ):
        assert getattr(theirs, name) == getattr(config, name), name
    assert theirs.id2label == {0: "bad", 1: "good"} and theirs.num_labels == 2
    # And what transformers writes is read back.
    theirs.save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    saved["architectures"] = ["BertForSequenceClassification"]
    assert BertConfig.from_json(write(tmp_path / "again.json", saved)) == config


@pytest.mark.reference
def test_transformers_knows_several_labels(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = preset("3L-312", labels=("bad", "good", "odd"), output_mode="multi_label")
    written = config.to_json_dict()
    theirs = transformers.AutoConfig.from_pretrained(write(tmp_path / "config.json", written).parent)
    assert theirs.problem_type == written["problem_type"] == "multi_label_classification"
    assert theirs.num_labels == 3
    theirs.save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())
    saved["architectures"] = ["BertForSequenceClassification"]
    assert BertConfig.from_json(write(tmp_path / "again.json", saved)) == config


@pytest.mark.parametrize("mode", ["classification", "multi_label"])
def test_the_output_mode_is_read_back(tmp_path, mode):
    config = BertConfig(labels=("a", "b"), output_mode=mode)
    assert BertConfig.from_json(write(tmp_path / "config.json", config.to_json_dict())) == config
    # Without a problem_type it is one label, as for transformers.
    values = {**config.to_json_dict(), "problem_type": None}
    assert BertConfig.from_json(write(tmp_path / "none.json", values)).output_mode == "classification"


def test_more_than_ten_labels_keep_their_order(tmp_path):
    config = BertConfig(labels=tuple(f"class {i}" for i in range(12)))
    read = BertConfig.from_json(write(tmp_path / "config.json", config.to_json_dict()))
    assert read.labels == config.labels


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"model_type": "albert"}, 'model_type is "albert"; supported are bert, distilbert, .* and electra'),
        (
            {"position_embedding_type": "relative_key"},
            'position_embedding_type "relative_key" is not supported',
        ),
        ({"hidden_size": 770}, "hidden_size 770 is not a multiple of num_attention_heads 12"),
        ({"hidden_act": "swish"}, 'hidden_act "swish" is unknown'),
        ({"head_activation": "tanh"}, 'head_activation "tanh" is unknown'),
        (
            {"architectures": ["BertForMultipleChoice"]},
            "describes a BertForMultipleChoice, which is not supported",
        ),
        ({"is_decoder": True}, "is_decoder is true; only encoders"),
        ({"num_attention_heads": 0}, "num_attention_heads 0 must be an integer above 0"),
        ({"num_hidden_layers": -1}, "num_hidden_layers -1 must be an integer"),
        ({"hidden_size": "768"}, 'hidden_size "768" must be an integer'),
        ({"layer_norm_eps": "1e-12"}, 'layer_norm_eps "1e-12" must be a number'),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps NaN must be a number, 0 or more"),
        ({"initializer_range": -1}, "initializer_range -1 must be a number, 0 or more"),
        ({"vocab_size": None}, "key vocab_size is missing"),
        ({"architectures": 5}, "architectures must be a list or null, not 5"),
        ({"use_relative_positions": 1}, "use_relative_positions 1 must be true or false"),
        ({**CLASSIFIER, "id2label": {"a": "b"}}, "id2label is not an object of indices and names"),
        ({**CLASSIFIER, "id2label": ["a"]}, "id2label must be an object or null, not a list"),
        ({"model_type": ["bert"]}, "model_type must be a string or null, not a list"),
        ({"architectures": ["BertModel", 3]}, "architectures must be a list or null, not a list"),
        ({"vocab_size": 1 << 40}, "vocab_size 1099511627776 is more than 2,147,483,647"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers 1000000000 is more than 1,000"),
    ],
)
def test_what_is_refused(tmp_path, change, complaint):
    with pytest.raises(UserError, match=f"config.json:? .*{complaint}"):
        BertConfig.from_json(write(tmp_path / "config.json", {**BertConfig().to_json_dict(), **change}))


def test_labels_may_be_numbers(tmp_path):
    values = {**BertConfig(labels=("x", "y")).to_json_dict(), "id2label": {"0": 3, "1": 4}}
    assert BertConfig.from_json(write(tmp_path / "config.json", values)).labels == ("3", "4")


def test_another_json(tmp_path):
    with pytest.raises(UserError, match="the content must be an object, not a list"):
        BertConfig.from_json(write(tmp_path / "config.json", []))
    with pytest.raises(UserError, match="not a BERT config, key hidden_size is missing; did you mean"):
        BertConfig.from_json(write(tmp_path / "config.json", {"vocab_size": 3, "hidden_sizes": 8}))
    (tmp_path / "broken.json").write_text('{"vocab_size": 3,\n "hidden')
    with pytest.raises(UserError, match="broken.json, line 2: not valid JSON"):
        BertConfig.from_json(tmp_path / "broken.json")
    with pytest.raises(UserError, match="none.json does not exist"):
        BertConfig.from_json(tmp_path / "none.json")


def test_presets():
    assert {"4L-312", "6L-768", "4L-384", "3L-312"} <= set(PRESETS)
    with pytest.raises(UserError, match='student_preset "4L-321" is unknown; did you mean "4L-312"'):
        preset("4L-321")


def test_a_fresh_student_from_flags():
    values = FinetuneConfig(
        student_preset="4L-384",
        num_hidden_layers=3,
        hidden_act="relu",
        hidden_dropout_prob=0.0,
        use_relative_positions=True,
        initializer_range=0.05,
    )
    config = fresh_student(values, vocab_size=100, labels=("0", "1"))
    assert (config.num_hidden_layers, config.hidden_size, config.intermediate_size) == (3, 384, 1536)
    assert (config.vocab_size, config.labels, config.hidden_act) == (100, ("0", "1"), "relu")
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.0, 0.1)
    assert config.use_relative_positions and config.initializer_range == 0.05
    assert with_rates(BertConfig(), FinetuneConfig()) == BertConfig()
