"""The values that training stages share: optimizer, loss scale, checkpoints, log."""

import dataclasses

from .data_config import FormatConfig, RecordsConfig
from .fields import (
    ALL_OR_SOME,
    ALL_OR_UP_TO,
    GROWING,
    LOSS_SCALE,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SHARE,
    flag,
)
from .seeds_config import SeedsConfig


@dataclasses.dataclass(frozen=True)
class LoopConfig(FormatConfig):
    """What any training stage needs: output, order of rows, optimizer, loss scale, checkpoints, log."""

    distribute: bool = flag(False, "one of several processes that a launcher started; rows are shared out")
    device_num: int = flag(0, "processes of a distributed run; checked against those started (0: any)")
    max_rows: int = flag(
        -1, "train on N rows only, the same sample in every run (-1: all)", check=ALL_OR_SOME
    )
    output_dir: str = flag("", "where results go (default: output/<stage>_<task>)")
    overwrite_output_dir: bool = flag(False, "delete what an earlier run wrote to output_dir")
    resume: bool = flag(False, "go on from the last checkpoint in output_dir")
    seed: int = flag(1, "of initial weights, dropout and the order of rows", check=SEED)
    do_shuffle: bool = flag(True, "read the training rows in a new order each epoch")
    enable_data_sink: str = flag(
        "auto",
        "true hands whole stretches of steps to the device; auto is false on CPU",
        ("auto", "true", "false"),
    )
    data_sink_steps: int = flag(1, "steps in one stretch when data sink is on", check=POSITIVE)
    batch_size: int = flag(16, "rows a training step", check=POSITIVE)
    train_steps: int = flag(-1, "stop each phase after N steps (-1: whole epochs)", check=ALL_OR_UP_TO)
    learning_rate: float = flag(5e-5, "peak learning rate", check=POSITIVE)
    end_learning_rate: float = flag(
        1e-14, "learning rate at the end of the polynomial decay", check=NOT_NEGATIVE
    )
    power: float = flag(1.0, "power of the polynomial decay", check=POSITIVE)
    warmup_ratio: float = flag(
        0.1, "share of the steps in which the learning rate rises from zero", check=SHARE
    )
    weight_decay: float = flag(1e-4, "decoupled weight decay, not on LayerNorm and bias", check=NOT_NEGATIVE)
    eps: float = flag(1e-6, "added to Adam's denominator", check=POSITIVE)
    bias_correction: bool = flag(True, "Adam's bias correction, which BERT's own optimizer left out")
    clip_norm: float = flag(1.0, "largest global norm of the gradient (0: no clipping)", check=NOT_NEGATIVE)
    loss_scale_value: float = flag(65536.0, "first value of the dynamic loss scale", check=LOSS_SCALE)
    scale_factor: float = flag(2.0, "factor by which the loss scale falls and grows", check=GROWING)
    scale_window: int = flag(50, "steps without overflow after which the loss scale grows", check=POSITIVE)
    save_ckpt_step: int = flag(
        1000, "steps between resume checkpoints; one is also written at each epoch's end", check=POSITIVE
    )
    max_ckpt_num: int = flag(1, "resume checkpoints kept", check=POSITIVE)
    logging_step: int = flag(100, "steps between lines of the log", check=POSITIVE)
    profile: int = flag(
        0, "write where the time of N steps goes to output_dir/profile (0: no profile)", check=NOT_NEGATIVE
    )


@dataclasses.dataclass(frozen=True)
class TrainConfig(SeedsConfig, LoopConfig, RecordsConfig):
    """Training on a task."""

    train_data_dir: str = flag("", "training records: a file, a comma list or a folder that prepare wrote")
