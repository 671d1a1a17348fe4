"""Flags of the tools that write records: vocabulary, folder and format."""

import dataclasses

from .fields import flag, required_flag
from .train_config import DATASET_TYPES


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
