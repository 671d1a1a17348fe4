"""Flags of a stage that is repeated over seeds, and what may not stand beside them."""

import dataclasses

from ..errors import UserError
from .fields import SEED, flag


def seeds_of(text):
    """The seeds in `1,2,3`, as numbers. Raises ValueError where they are not different ones of SEED."""
    seeds = [int(word) for word in text.split(",")] if text else []
    if len(set(seeds)) < len(seeds) or not all(map(SEED[1], seeds)):
        raise ValueError(text)
    return seeds


def _are_seeds(text):
    try:
        return seeds_of(text) is not None
    except ValueError:
        return False


SEEDS = ("different whole numbers with commas between, such as 1,2,3", _are_seeds)


@dataclasses.dataclass(frozen=True)
class SeedsConfig:
    """Whether the stage is repeated, over which seeds, and what it is compared with."""

    seeds: str = flag(
        "", "run once for each of these seeds (1,2,3) and print mean and spread of the metric", check=SEEDS
    )
    seeds_against: str = flag(
        "", "with seeds: folder of another run over the same seeds, for the paired differences to it"
    )


def over_seeds(resolved):
    """Whether a Resolved config asks for several runs. Raises UserError for a contradiction."""
    config = resolved.config
    if not config.seeds:
        if config.seeds_against:
            raise UserError(
                f"--seeds_against {config.seeds_against} needs --seeds, the seeds to compare over"
            )
        return False
    if resolved.origins["seed"] == "command line":
        raise UserError(f"--seed {config.seed} and --seeds {config.seeds} contradict each other; give one")
    if config.distribute:
        raise UserError("--seeds starts one process a run; start the launcher once for each --seed instead")
    off = [name for name in ("do_train", "do_eval") if not getattr(config, name, True)]
    if off:
        raise UserError(f"--seeds compares trained models by their evaluation: leave --{off[0]} true")
    return True
