"""Flags of a stage that is repeated over several random seeds, and the flags they exclude."""

import dataclasses
from typing import Any, ClassVar

from ..errors import UserError
from .cli import Resolved
from .fields import SEED, Check, flag


def seeds_of(text: str) -> list[int]:
    """The seeds in `1,2,3`. Raises ValueError for a repeated or an invalid one."""
    seeds = [int(word) for word in text.split(",")] if text else []
    if len(set(seeds)) < len(seeds) or not all(map(SEED[1], seeds)):
        raise ValueError(text)
    return seeds


def _are_seeds(text: str) -> bool:
    try:
        return seeds_of(text) is not None
    except ValueError:
        return False


SEEDS: Check = ("different integers separated by commas, such as 1,2,3", _are_seeds)


@dataclasses.dataclass(frozen=True)
class SeedsConfig:
    """Seeds to repeat the stage over, and the results to compare with."""

    GROUP: ClassVar[str] = "optimization"

    seeds: str = flag(
        "", "run once per seed (1,2,3) and report mean and standard deviation of the metric", check=SEEDS
    )
    seeds_against: str = flag(
        "", "output folder of another run over the same seeds, for paired differences (with --seeds)"
    )


def over_seeds(resolved: Resolved) -> bool:
    """Whether a Resolved config specifies several seeds. Raises UserError for a contradiction."""
    config = resolved.config
    if not config.seeds:
        if config.seeds_against:
            raise UserError(f"--seeds_against {config.seeds_against} requires --seeds")
        return False
    if resolved.origins["seed"] == "command line":
        raise UserError(f"--seed {config.seed} and --seeds {config.seeds} are mutually exclusive")
    if config.distribute:
        raise UserError(
            "--seeds starts one process per seed; in distributed training run the launcher once per --seed"
        )
    off = [name for name in ("do_train", "do_eval") if not getattr(config, name, True)]
    if off:
        raise UserError(f"--seeds compares trained models by their evaluation; leave --{off[0]} true")
    if none := _without_evaluation(config):
        raise UserError(f"--seeds compares trained models by their evaluation; with --{none} 0 there is none")
    return True


def _without_evaluation(config: Any) -> str | None:
    """The flag that is 0 so that nothing is evaluated; Q8BERT evaluates its calibration too."""
    epochs = next((name for name in ("td_phase2_epoch_size", "epoch_size") if hasattr(config, name)), None)
    if epochs is None:
        return None
    if not config.train_steps:
        return "train_steps"
    phase1 = getattr(config, "phase1_eval", False) and not config.load_td1_ckpt_path
    return None if getattr(config, epochs) or phase1 and config.td_phase1_epoch_size else epochs
