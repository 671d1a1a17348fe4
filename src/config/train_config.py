"""The values that stages share: device, records; for training, optimizer, loss scale, checkpoints, log."""

import dataclasses

from .fields import (
    ALL_OR_SOME,
    ALL_OR_UP_TO,
    GROWING,
    LOSS_SCALE,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SHARE,
    option,
)
from .seeds_config import SeedsConfig

DATASET_TYPES = ("tfrecord", "mindrecord")
DTYPES = ("auto", "float32", "float16")


@dataclasses.dataclass(frozen=True)
class DeviceConfig:
    """Where and in which precision to compute."""

    device_target: str = option(
        "auto", "device; auto takes the best that is there", ("auto", "CPU", "GPU", "Ascend")
    )
    device_id: int = option(0, "which of the machine's devices", must=NOT_NEGATIVE)
    dtype: str = option("auto", "type of the hidden states; auto is float32", DTYPES)
    compute_type: str = option(
        "auto", "type of the matrix products; auto is float32 on CPU, float16 elsewhere", DTYPES
    )
    kernels: str = option(
        "auto",
        "auto computes with C++ kernels on a CPU, built with g++ at first use; off with plain operators",
        ("auto", "off"),
    )
    matmul_precision: str = option(
        "fp32",
        "bf16 rounds the inputs of matrix products on a CPU that has bf16 instructions",
        ("fp32", "bf16"),
    )


@dataclasses.dataclass(frozen=True)
class FormatConfig(DeviceConfig):
    """How records are read and batched."""

    schema_dir: str = option(
        "", "schema.json of the records; checked against them (default: the one beside them)"
    )
    dataset_type: str = option("tfrecord", "format of the records", DATASET_TYPES)
    seq_length: int = option(
        0, "longest row taken; longer records stop the run (0: the model's positions)", must=NOT_NEGATIVE
    )
    length_buckets: str = option(
        "auto",
        "auto pads each batch to one of at most five lengths, off to the records' own",
        ("auto", "off"),
    )


@dataclasses.dataclass(frozen=True)
class RecordsConfig(FormatConfig):
    """Which task to evaluate, on which records."""

    task_name: str = option(
        "", "GLUE task, or sample for the built-in one (empty: a task of your own, as its records say)"
    )
    eval_data_dir: str = option("", "evaluation records: a file, a comma list or a folder that prepare wrote")
    eval_batch_size: int = option(32, "rows a batch in evaluation", must=POSITIVE)


@dataclasses.dataclass(frozen=True)
class LoopConfig(FormatConfig):
    """What any training stage needs: output, order of rows, optimizer, loss scale, checkpoints, log."""

    distribute: bool = option(False, "one of several processes that a launcher started; rows are shared out")
    device_num: int = option(0, "processes of a distributed run; checked against those started (0: any)")
    max_rows: int = option(
        -1, "train on N rows only, the same sample in every run (-1: all)", must=ALL_OR_SOME
    )
    output_dir: str = option("", "where results go (default: output/<stage>_<task>)")
    overwrite_output_dir: bool = option(False, "delete what an earlier run wrote to output_dir")
    resume: bool = option(False, "go on from the last checkpoint in output_dir")
    seed: int = option(1, "of initial weights, dropout and the order of rows", must=SEED)
    do_shuffle: bool = option(True, "read the training rows in a new order each epoch")
    enable_data_sink: str = option(
        "auto",
        "true hands whole stretches of steps to the device; auto is false on CPU",
        ("auto", "true", "false"),
    )
    data_sink_steps: int = option(1, "steps in one stretch when data sink is on", must=POSITIVE)
    batch_size: int = option(16, "rows a training step", must=POSITIVE)
    train_steps: int = option(-1, "stop each phase after N steps (-1: whole epochs)", must=ALL_OR_UP_TO)
    learning_rate: float = option(5e-5, "peak learning rate", must=POSITIVE)
    end_learning_rate: float = option(
        1e-14, "learning rate at the end of the polynomial decay", must=NOT_NEGATIVE
    )
    power: float = option(1.0, "power of the polynomial decay", must=POSITIVE)
    warmup_ratio: float = option(
        0.1, "share of the steps in which the learning rate rises from zero", must=SHARE
    )
    weight_decay: float = option(1e-4, "decoupled weight decay, not on LayerNorm and bias", must=NOT_NEGATIVE)
    eps: float = option(1e-6, "added to Adam's denominator", must=POSITIVE)
    bias_correction: bool = option(True, "Adam's bias correction, which BERT's own optimizer left out")
    clip_norm: float = option(1.0, "largest global norm of the gradient (0: no clipping)", must=NOT_NEGATIVE)
    loss_scale_value: float = option(65536.0, "first value of the dynamic loss scale", must=LOSS_SCALE)
    scale_factor: float = option(2.0, "factor by which the loss scale falls and grows", must=GROWING)
    scale_window: int = option(50, "steps without overflow after which the loss scale grows", must=POSITIVE)
    save_ckpt_step: int = option(
        1000, "steps between resume checkpoints; one is also written at each epoch's end", must=POSITIVE
    )
    max_ckpt_num: int = option(1, "resume checkpoints kept", must=POSITIVE)
    logging_step: int = option(100, "steps between lines of the log", must=POSITIVE)
    profile: int = option(
        0, "write where the time of N steps goes to output_dir/profile (0: no profile)", must=NOT_NEGATIVE
    )


@dataclasses.dataclass(frozen=True)
class TrainConfig(SeedsConfig, LoopConfig, RecordsConfig):
    """Training on a task."""

    train_data_dir: str = option("", "training records: a file, a comma list or a folder that prepare wrote")
