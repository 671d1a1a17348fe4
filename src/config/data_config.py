"""Flags that stages and tools share: device, records to read, records to write."""

import dataclasses
from typing import ClassVar

from ..tasks import ASSESSMENTS, OUTPUT_MODES
from .fields import NOT_NEGATIVE, POSITIVE, flag, required_flag

DATASET_TYPES = ("tfrecord", "mindrecord")
DTYPES = ("auto", "float32", "float16")
IGNORE_UNEXPECTED = (
    "ignore weights that the model does not have and that match one of these patterns, separated by commas "
    '("teacher.*,*.adapter.*"); logged'
)


@dataclasses.dataclass(frozen=True)
class DeviceConfig:
    """Device and precision."""

    GROUP: ClassVar[str] = "hardware"

    device_target: str = flag(
        "auto", "device type; auto: the best one available", ("auto", "CPU", "GPU", "Ascend")
    )
    device_id: int = flag(0, "device index", check=NOT_NEGATIVE)
    dtype: str = flag("auto", "data type of the hidden states; auto: float32", DTYPES)
    compute_type: str = flag(
        "auto", "data type of matrix multiplications; auto: float32 on CPU, float16 elsewhere", DTYPES
    )
    kernels: str = flag(
        "auto",
        "auto: C++ kernels on CPU, compiled with g++ on first use; off: MindSpore operators",
        ("auto", "off"),
    )
    matmul_precision: str = flag(
        "fp32",
        "bf16: round the inputs of matrix multiplications, on CPUs with bf16 instructions",
        ("fp32", "bf16"),
    )


@dataclasses.dataclass(frozen=True)
class ModelConfig(DeviceConfig):
    """How the weights of models are read."""

    GROUP: ClassVar[str] = "model"

    ignore_unexpected: str = flag("", IGNORE_UNEXPECTED)


@dataclasses.dataclass(frozen=True)
class FormatConfig(ModelConfig):
    """Format and batching of records."""

    GROUP: ClassVar[str] = "data"

    schema_dir: str = flag(
        "", "schema.json to check the records against (default: the one next to the records)"
    )
    dataset_type: str = flag("tfrecord", "record format", DATASET_TYPES)
    seq_length: int = flag(
        0,
        "maximum sequence length; longer records are an error (0: the model's maximum)",
        check=NOT_NEGATIVE,
    )
    length_buckets: str = flag(
        "auto",
        "auto: pad each batch to one of up to eight lengths; off: to the length of the records",
        ("auto", "off"),
    )


@dataclasses.dataclass(frozen=True)
class RecordsConfig(FormatConfig):
    """Task and evaluation records."""

    GROUP: ClassVar[str] = "data"

    task_name: str = flag("", "GLUE task, or sample for the built-in one (empty: the task of the records)")
    labels: tuple[str, ...] = flag(
        (), "labels of records without a manifest, such as the model zoo's, in index order"
    )
    num_labels: int = flag(
        0, "number of labels of such records, named LABEL_0, LABEL_1 ...", check=NOT_NEGATIVE
    )
    output_mode: str = flag("", "task type of such records (default: classification)", ("", *OUTPUT_MODES))
    assessment_method: str = flag(
        "",
        "metric that selects the best model, by the model zoo's name (default: the task's)",
        ("", *ASSESSMENTS),
    )
    eval_data_dir: str = flag(
        "", "evaluation records: a file, a comma-separated list, or a folder written by prepare"
    )
    eval_batch_size: int = flag(32, "evaluation batch size", check=POSITIVE)


@dataclasses.dataclass(frozen=True)
class RecordsOutputConfig:
    """Tokenization and destination of records."""

    vocab_file: str = required_flag("vocab.txt, tokenizer.json, or a model folder that contains one")
    do_lower_case: str = flag(
        "auto", "lowercase the text; auto: as the tokenizer files specify", ("auto", "true", "false")
    )
    output_dir: str = required_flag(
        "output folder for records, schema.json, manifest.json and tokenizer files"
    )
    overwrite_output_dir: bool = flag(False, "delete files that an earlier run wrote to output_dir")
    dataset_type: str = flag("tfrecord", "record format", DATASET_TYPES)
