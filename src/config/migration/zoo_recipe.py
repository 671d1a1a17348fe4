"""`--recipe zoo`: the values of the model zoo's published config modules and the rules fixed in its code.

Sources: gd_config.yaml, td_config/*.yaml and src/utils.py of its TinyBERT, src/config.py of its Q8BERT. What
no flag reproduces is listed in docs/migration.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ...tasks import TaskSpec
from ..bert_config import BertConfig
from ..fields import flag

if TYPE_CHECKING:
    from ..cli import Config, Resolved

# Its BERT: GELU by tanh, LayerNorm's epsilon, and in its TinyBERT and Q8BERT ReLU and no dropout before the
# classifier.
ZOO_NET: dict[str, Any] = {
    "hidden_act": "gelu_new",
    "layer_norm_eps": 1e-7,
    "head_activation": "relu",
    "classifier_dropout": 0.0,
}
# The same as flags of a newly initialized student.
STUDENT = {
    "student_preset": "4L-384",
    "cls_dropout_prob": 0.0,
    **{name: value for name, value in ZOO_NET.items() if name != "classifier_dropout"},
}
OPTIMIZER = {
    "learning_rate": 5e-5,
    "end_learning_rate": 1e-14,
    "power": 1.0,
    "weight_decay": 1e-4,
    "eps": 1e-6,
    "bias_correction": False,
    "warmup_ratio": 0.1,
    "decay_from": "start",
    "clip_norm": 1.0,
    "clip_each": True,
    "scale_factor": 2.0,
}
GENERAL_DISTILL = {
    **OPTIMIZER,
    **STUDENT,
    "batch_size": 32,
    "epoch_size": 3,
    "loss_scale_value": 65536.0,
    "scale_window": 1000,
    "loss_padding": "include",
    "length_buckets": "off",
}
TASK_DISTILL = {
    **OPTIMIZER,
    "batch_size": 32,
    "eval_batch_size": 32,
    "length_buckets": "off",
    "td_phase1_epoch_size": 10,
    "td_phase2_epoch_size": 3,
    "phase2_learning_rate": 2e-5,
    "loss_scale_value": 256.0,
    "phase2_loss_scale_value": 65536.0,
    "scale_window": 50,
    "loss_padding": "include",
    "temperature": 1.0,
    "label_weight": 0.0,
}
Q8BERT = {
    **OPTIMIZER,
    "batch_size": 16,
    "eval_batch_size": 32,
    "epoch_num": 3,
    "learning_rate": 1e-5,
    "loss_scale_value": 1.0,
    "scale_window": 50,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "cls_dropout_prob": 0.0,
    "activation_init": "2.5",
    "calibration_steps": 0,
}
PHASE1_WARMUP = 0.1  # of an epoch's steps; phase 2 warms up over a tenth of all its steps


@dataclasses.dataclass(frozen=True)
class RecipeConfig:
    """The recipe of a stage."""

    GROUP: ClassVar[str] = "optimization"

    recipe: str = flag(
        "",
        "zoo: the optimizer, schedule, loss scale, student and .ckpt networks of MindSpore's model zoo "
        "(docs/migration.md), instead of the task's recipe",
        ("", "zoo"),
    )


def is_zoo(known: Mapping[str, Any]) -> bool:
    """Whether the flags {name: value} ask for the model zoo's recipe."""
    return known.get("recipe") == "zoo"


def general_distill_recipe(known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Recipe of general distillation, {} without --recipe zoo; `known` {name: value} as in cli.parse."""
    return _compared(GENERAL_DISTILL, known) if is_zoo(known) else {}


def q8bert_recipe(known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Recipe of Q8BERT, {} without --recipe zoo."""
    return Q8BERT if is_zoo(known) else {}


def task_distill_recipe(known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Recipe of task distillation, {} without --recipe zoo; a given student, or one of the teacher's layers,
    keeps its architecture."""
    if not is_zoo(known):
        return {}
    epochs = known.get("td_phase1_epoch_size", TASK_DISTILL["td_phase1_epoch_size"])
    given = known.get("load_gd_ckpt_path") or known.get("load_td1_ckpt_path")
    given = given or known.get("student_init", "auto") not in ("auto", "general")
    return {
        **_compared(TASK_DISTILL, known),
        **({} if given else STUDENT),
        "phase1_warmup_ratio": PHASE1_WARMUP / max(epochs, 1),
    }


def _compared(recipe: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """A recipe without the flags of TinyBERT's losses where relations are compared."""
    if known.get("intermediate_loss") != "relation":
        return recipe
    return {name: value for name, value in recipe.items() if name != "loss_padding"}


def with_networks(
    resolved: Resolved[Config], task: TaskSpec | None = None, **networks: BertConfig
) -> Resolved[Config]:
    """`resolved` with the networks of .ckpt files: of its config file, else of a config module.

    A network without labels, which the file has no names for, gets the output mode of `task`.
    """
    if getattr(resolved.config, "recipe", "") == "zoo":
        networks = {name: net.replace(**ZOO_NET) for name, net in networks.items()}
    networks |= resolved.networks
    if task:
        mode = task.output_mode
        networks = {
            name: net if net.labels else net.replace(output_mode=mode) for name, net in networks.items()
        }
    return dataclasses.replace(resolved, networks=networks)
