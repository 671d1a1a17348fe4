"""A student of other heads and another width than its teacher learns relations, with and without a cache."""

import json

import numpy as np
import pytest

from run_task_distill import main as distill
from src.config.distill_config import IntermediateConfig
from src.config.td_config import TaskDistillConfig
from src.errors import UserError
from src.stages.training.layer_distill import LayerMatch
from src.weights.reader import read_weights
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
SIZES = {"num_hidden_layers": 3, "hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 40}
NO_DROPOUT = {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}


def test_phase_1_with_and_without_a_cache(tmp_path, vocabulary, sst2):
    teacher = tiny.write_model(tmp_path / "teacher", vocabulary, seed=3)
    places = {"task_name": "SST-2", "load_teacher_ckpt_path": teacher, "train_data_dir": sst2}
    loop = {"td_phase1_epoch_size": 6, "td_phase2_epoch_size": 0, "learning_rate": 1e-2, "batch_size": 8}
    found = []
    for cache in ("off", "full"):
        out = tmp_path / cache
        more = {"output_dir": out, "do_eval": "false", "teacher_cache": cache, "logging_step": 1}
        distill(tiny.flags(**places, **loop, **more, **SIZES, **NO_DROPOUT, intermediate_loss="relation"))
        lines = [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]
        losses = [line["loss"] for line in lines]
        assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
        found.append((losses, read_weights(out / "phase1").arrays))
        assert not any(name.startswith("hidden_projection") for name in found[-1][1])
        assert "layer map 3<-2, relations of 8 heads" in (out / "log.txt").read_text()
    # The cache holds float16.
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-2)


def match(**values):
    student = tiny.TINY.replace(num_attention_heads=2)
    return LayerMatch(IntermediateConfig(**values), student, tiny.TINY)


def test_flags_without_effect_are_refused():
    with pytest.raises(UserError, match="--relation_heads has no effect with --intermediate_loss tinybert; "):
        match(relation_heads=4)
    for name, value in (
        ("hidden_weight", 2.0),
        ("hidden_projection", "per_layer"),
        ("loss_padding", "include"),
        ("layer_map", "1,2"),
    ):
        with pytest.raises(
            UserError, match=f"--{name} has no effect with --intermediate_loss relation; omit"
        ):
            match(**{"intermediate_loss": "relation", name: value})


def test_relations_of_a_student_of_mapped_layers():
    """The map has an effect there: it says which layers are copied."""
    config = TaskDistillConfig(intermediate_loss="relation", layer_map="1,2", student_init="teacher_layers")
    assert LayerMatch(config, tiny.TINY, tiny.TINY).layer_map == (2,)


def test_other_heads_are_pointed_to_relations():
    with pytest.raises(UserError, match="the student has 2 heads, the teacher 4: .*--intermediate_loss rel"):
        match()
