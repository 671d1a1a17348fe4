"""Flags of the tools that write records: vocabulary, folder and format."""

import dataclasses

from .fields import option, required
from .train_config import DATASET_TYPES


@dataclasses.dataclass(frozen=True)
class RecordsOutputConfig:
    """How text is tokenized, and where its records go."""

    vocab_file: str = required("vocab.txt, tokenizer.json or the model folder that holds one")
    do_lower_case: str = option(
        "auto", "lower the case; auto: as the files beside the vocabulary say", ("auto", "true", "false")
    )
    output_dir: str = required("folder for the records, schema.json, manifest.json and the tokenizer files")
    overwrite_output_dir: bool = option(False, "delete what an earlier run wrote to output_dir")
    dataset_type: str = option("tfrecord", "format of the record files", DATASET_TYPES)
