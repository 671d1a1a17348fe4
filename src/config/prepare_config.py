"""Flags of `python -m src.tools.prepare`."""

import dataclasses

from src.config.options import option, required


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Turn the text files of a task into TFRecord or MindRecord files that every stage reads."""

    task_name: str = required("GLUE task, or sample for the built-in task that needs no data of yours")
    data_dir: str = option(
        "",
        "folder with train.tsv, dev.tsv (MNLI: dev_matched.tsv, dev_mismatched.tsv) "
        "and, where you have it, test.tsv; .csv and .jsonl are read too",
    )
    vocab_file: str = required("vocab.txt, tokenizer.json or the model folder that holds one")
    output_dir: str = required("folder for the records, schema.json, manifest.json and the tokenizer files")
    dataset_type: str = option("tfrecord", "format of the record files", choices=("tfrecord", "mindrecord"))
    max_seq_length: int = option(0, "tokens a row, with [CLS] and [SEP]; 0: the task's own (64, pairs 128)")
    do_lower_case: str = option(
        "auto",
        "lower the case; auto: as the files beside the vocabulary say",
        choices=("auto", "true", "false"),
    )
    on_bad_row: str = option(
        "error", "a malformed row stops the run, or is left out and listed", choices=("error", "skip")
    )
    max_rows: int = option(-1, "read only the first rows of each file; -1: all")
    train_file: str = option("", "another file for the training rows, such as an augmented one")
    overwrite_output_dir: bool = option(False, "delete what output_dir holds")
