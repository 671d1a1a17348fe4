"""Files as the model zoo publishes or writes them: its YAML files, TFRecord rows, checkpoints."""

from pathlib import Path

import numpy as np

from src.config.bert_config import BertConfig
from src.data.records import tfrecord
from src.weights.mindspore_ckpt import hf_to_zoo, write_ckpt
from tests import tiny

NET = """
    seq_length: 128
    vocab_size: {vocab}
    hidden_size: {hidden}
    num_hidden_layers: {layers}
    num_attention_heads: 12
    intermediate_size: {inner}
    hidden_act: "gelu"
    hidden_dropout_prob: 0.1
    attention_probs_dropout_prob: 0.1
    max_position_embeddings: 512
    type_vocab_size: 2
    initializer_range: 0.02
    use_relative_positions: False
    dtype: mstype.float32
    compute_type: mstype.float16
"""
OPTIMIZER = """AdamWeightDecay:
{pad}    learning_rate: {rate}  # a comment
{pad}    end_learning_rate: 0.00000000000001
{pad}    power: 1.0
{pad}    weight_decay: 0.0001
{pad}    eps: 0.000001
{pad}    decay_filter: ['layernorm', 'bias']
"""
BASE = dict(vocab=21128, hidden=768, layers=12, inner=3072)
SMALL = dict(vocab=21128, hidden=384, layers=4, inner=1536)
HELP = """---
# Help
task_type: "The type of the task to train."
---
device_target: ['Ascend', 'GPU', 'CPU']
"""


def td_yaml(**changes):
    """The shape of td_config_ner.yaml as published, with other top-level values."""
    top = {
        "enable_modelarts": "False", "data_url": '""', "data_path": '"/cache/data"',
        "description": "'task_distill'", "device_target": '"CPU"', "task_type": '"classification"',
        "task_name": '""', "do_train": '"true"', "td_phase1_epoch_size": 10, "td_phase2_epoch_size": 3,
        "enable_data_sink": '"true"', "data_sink_steps": 1, "save_ckpt_step": 100, "load_gd_ckpt_path": '""',
        "train_data_dir": '""', "assessment_method": '"accuracy"', "ckpt_file": "''",
        "file_name": '"tinybert"', "file_format": '"MINDIR"', "num_labels": 43, "seed1": 123, "seed2": 1234,
    } | changes  # fmt: skip
    text = "".join(f"{key}: {value}\n" for key, value in top.items() if value is not None)
    for number, scale, rate in ((1, 256, 0.00005), (2, 65536, 0.00002)):
        text += f"phase{number}_cfg:\n    batch_size: 32\n    loss_scale_value: {scale}\n"
        text += "    scale_factor: 2\n    scale_window: 50\n    optimizer_cfg:\n        "
        text += OPTIMIZER.format(pad=" " * 8, rate=f"{rate:.5f}")
    text += "eval_cfg:\n    batch_size: 32\n"
    return text + f"td_teacher_net_cfg:{NET.format(**BASE)}td_student_net_cfg:{NET.format(**SMALL)}{HELP}"


def gd_yaml():
    text = "description: 'general_distill'\ndistribute: \"false\"\nepoch_size: 3\ndevice_num: 1\n"
    text += "save_ckpt_path: ''\n"
    text += "common_cfg:\n    batch_size: 32\n    loss_scale_value: 65536\n    scale_factor: 2\n"
    text += "    scale_window: 1000\n    " + OPTIMIZER.format(pad="    ", rate="0.00005")
    return text + f"bert_teacher_net_cfg:{NET.format(**BASE)}bert_student_net_cfg:{NET.format(**SMALL)}{HELP}"


def tiny_net(text, layers=(2, 1)):
    """A YAML file whose networks are TINY's, with these numbers of layers for teacher and student."""
    for net, count in ((BASE, layers[0]), (SMALL, layers[1])):
        config = tiny.TINY.replace(num_hidden_layers=count)
        sizes = dict(
            vocab=config.vocab_size,
            hidden=config.hidden_size,
            layers=count,
            inner=config.intermediate_size,
        )
        published, wanted = NET.format(**net), NET.format(**sizes)
        wanted = wanted.replace("heads: 12", "heads: 4").replace("embeddings: 512", "embeddings: 32")
        assert published in text
        text = text.replace(published, wanted.replace("_prob: 0.1", "_prob: 0.0"))
    return text


def write_rows(file: Path, labels: int, by_token: bool = False, rows: int = 16) -> Path:
    """A TFRecord file of random rows, without manifest and schema; `labels` 0: without labels."""
    rng = np.random.default_rng(0)
    mask = (np.arange(8) < rng.integers(4, 9, (rows, 1))).astype(np.int64)
    ids = rng.integers(5, 100, (rows, 8)) * mask
    columns = {"input_ids": ids, "input_mask": mask, "segment_ids": np.zeros_like(ids)}
    if labels:
        columns["label_ids"] = ids % labels if by_token else ids[:, 0] % labels
    file.parent.mkdir(exist_ok=True)
    tfrecord.write(file, [columns])
    return file


def write_zoo_ckpt(
    file: Path, labels: int, layers: int = 2, general: bool = False, **changes: str
) -> BertConfig:
    """A checkpoint with the zoo's names and random weights; returns its config."""
    names = tuple(f"LABEL_{index}" for index in range(labels))
    config = tiny.TINY.replace(labels=names, num_hidden_layers=layers, **changes)
    write_ckpt(file, hf_to_zoo(tiny.random_arrays(config), general))
    return config
