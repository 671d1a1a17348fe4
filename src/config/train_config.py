"""Flags that training stages share: optimization, checkpoints, distribution."""

import dataclasses
from typing import ClassVar

from .data_config import FormatConfig, RecordsConfig
from .fields import (
    ALL_OR_SOME,
    ALL_OR_UP_TO,
    AUTO,
    GROWING,
    LOSS_SCALE,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SHARE,
    SOME_OR_AUTO,
    flag,
)
from .seeds_config import SeedsConfig


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Batch size, optimizer, learning-rate schedule and loss scale."""

    GROUP: ClassVar[str] = "optimization"

    seed: int = flag(1, "random seed for initial weights, dropout and shuffling", check=SEED)
    batch_size: int = flag(16, "training batch size", check=POSITIVE)
    train_steps: int = flag(
        -1, "steps of each phase, instead of its epochs (-1: its epochs)", check=ALL_OR_UP_TO
    )
    learning_rate: float = flag(5e-5, "peak learning rate", check=POSITIVE)
    end_learning_rate: float = flag(1e-14, "final learning rate of the polynomial decay", check=NOT_NEGATIVE)
    power: float = flag(1.0, "power of the polynomial decay", check=POSITIVE)
    warmup_ratio: float = flag(0.1, "fraction of the steps used for linear warmup", check=SHARE)
    weight_decay: float = flag(
        1e-4, "decoupled weight decay, not applied to LayerNorm and biases", check=NOT_NEGATIVE
    )
    eps: float = flag(1e-6, "epsilon in Adam's denominator", check=POSITIVE)
    bias_correction: bool = flag(
        True, "Adam bias correction, as torch.optim.AdamW has it; the original BERT optimizer omits it"
    )
    decay_from: str = flag(
        "warmup",
        "step from which the decay counts: the end of the warmup; start: step 0, as in Google's BERT and the "
        "model zoo, whose first step has the rate 0",
        ("warmup", "start"),
    )
    clip_norm: float = flag(1.0, "maximum global gradient norm (0: no clipping)", check=NOT_NEGATIVE)
    clip_each: bool = flag(False, "clip_norm for the gradient of each weight by itself, as in the model zoo")
    loss_scale_value: float = flag(65536.0, "initial loss scale", check=LOSS_SCALE)
    scale_factor: float = flag(2.0, "multiplier for growing and shrinking the loss scale", check=GROWING)
    scale_window: int = flag(
        50, "consecutive steps without overflow before the loss scale grows", check=POSITIVE
    )


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """Output folder, checkpoints and logging."""

    GROUP: ClassVar[str] = "checkpoints"

    output_dir: str = flag("", "output folder (default: output/<stage>_<task>)")
    overwrite_output_dir: bool = flag(False, "delete files that an earlier run wrote to output_dir")
    resume: bool = flag(False, "resume from the last checkpoint in output_dir")
    save_ckpt_step: int = flag(
        1000, "steps between checkpoints; one is also written after each epoch", check=POSITIVE
    )
    max_ckpt_num: int = flag(1, "maximum number of checkpoints to keep", check=POSITIVE)
    logging_step: int = flag(
        AUTO,
        "steps between log lines, which show the mean losses of these steps; auto: some 20 lines a phase",
        check=SOME_OR_AUTO,
    )
    profile: int = flag(
        0, "profile N steps and write the timings to output_dir/profile (0: off)", check=NOT_NEGATIVE
    )
    verbose: bool = flag(False, "log all settings at the start, not only those that differ from the defaults")


@dataclasses.dataclass(frozen=True)
class LoopConfig(CheckpointConfig, OptimizerConfig, FormatConfig):
    """Flags of any training stage."""

    GROUP: ClassVar[str] = "hardware"

    distribute: bool = flag(False, "data-parallel training: this is one of several launched processes")
    device_num: int = flag(0, "expected number of processes in a distributed run (0: any)")
    enable_data_sink: str = flag(
        "auto",
        "feed batches through the device's queue (MindSpore's dataset sink mode); auto: on Ascend and GPU, "
        "where all batches have one length and no teacher cache is read",
        ("auto", "true", "false"),
    )
    data_sink_steps: int = flag(
        1,
        "steps of a stretch in dataset sink mode, -1: those of an epoch; logging and saving wait for its "
        "end, and the host still launches each step",
        check=ALL_OR_SOME,
    )
    max_rows: int = flag(
        -1,
        "train on a fixed random sample of N rows (-1: all)",
        check=ALL_OR_SOME,
        group="data",
    )
    do_shuffle: bool = flag(True, "shuffle the training rows in every epoch", group="data")


@dataclasses.dataclass(frozen=True)
class TrainConfig(SeedsConfig, LoopConfig, RecordsConfig):
    """Training on a task."""

    GROUP: ClassVar[str] = "data"

    train_data_dir: str = flag(
        "",
        "training records: a file, a comma-separated list, or a folder written by prepare",
        main=True,
    )
