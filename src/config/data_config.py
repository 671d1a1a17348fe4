"""The values that stages and tools share: device, records to read, records to write."""

import dataclasses

from .fields import NOT_NEGATIVE, POSITIVE, flag, required_flag

DATASET_TYPES = ("tfrecord", "mindrecord")
DTYPES = ("auto", "float32", "float16")


@dataclasses.dataclass(frozen=True)
class DeviceConfig:
    """Where and in which precision to compute."""

    device_target: str = flag(
        "auto", "device; auto takes the best that is there", ("auto", "CPU", "GPU", "Ascend")
    )
    device_id: int = flag(0, "which of the machine's devices", check=NOT_NEGATIVE)
    dtype: str = flag("auto", "type of the hidden states; auto is float32", DTYPES)
    compute_type: str = flag(
        "auto", "type of the matrix products; auto is float32 on CPU, float16 elsewhere", DTYPES
    )
    kernels: str = flag(
        "auto",
        "auto computes with C++ kernels on a CPU, built with g++ at first use; off with plain operators",
        ("auto", "off"),
    )
    matmul_precision: str = flag(
        "fp32",
        "bf16 rounds the inputs of matrix products on a CPU that has bf16 instructions",
        ("fp32", "bf16"),
    )


@dataclasses.dataclass(frozen=True)
class FormatConfig(DeviceConfig):
    """How records are read and batched."""

    schema_dir: str = flag(
        "", "schema.json of the records; checked against them (default: the one beside them)"
    )
    dataset_type: str = flag("tfrecord", "format of the records", DATASET_TYPES)
    seq_length: int = flag(
        0, "longest row taken; longer records stop the run (0: the model's positions)", check=NOT_NEGATIVE
    )
    length_buckets: str = flag(
        "auto",
        "auto pads each batch to one of at most five lengths, off to the records' own",
        ("auto", "off"),
    )


@dataclasses.dataclass(frozen=True)
class RecordsConfig(FormatConfig):
    """Which task to evaluate, on which records."""

    task_name: str = flag(
        "", "GLUE task, or sample for the built-in one (empty: a task of your own, as its records say)"
    )
    eval_data_dir: str = flag("", "evaluation records: a file, a comma list or a folder that prepare wrote")
    eval_batch_size: int = flag(32, "rows a batch in evaluation", check=POSITIVE)


@dataclasses.dataclass(frozen=True)
class RecordsOutputConfig:
    """How text is tokenized, and where its records go."""

    vocab_file: str = required_flag("vocab.txt, tokenizer.json or the model folder that holds one")
    do_lower_case: str = flag(
        "auto", "lower the case; auto: as the files beside the vocabulary say", ("auto", "true", "false")
    )
    output_dir: str = required_flag(
        "folder for the records, schema.json, manifest.json and the tokenizer files"
    )
    overwrite_output_dir: bool = flag(False, "delete what an earlier run wrote to output_dir")
    dataset_type: str = flag("tfrecord", "format of the record files", DATASET_TYPES)
