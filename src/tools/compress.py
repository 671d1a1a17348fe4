"""python -m src.tools.compress: plan, try and measure smaller models within limits, and keep the best."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
import sys
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import DATASET_TYPES, IGNORE_UNEXPECTED
from ..config.fields import NOT_NEGATIVE, POSITIVE, SEED, SHARE, flag, required_flag
from ..config.task.custom import PART, CustomTask
from ..errors import run_main
from . import export, prepare, prune
from .training import q8bert_train, task_distill

COMMANDS = {
    "prepare": prepare.main,
    "export": export.main,
    "prune": prune.main,
    "task_distill": task_distill.main,
    "q8bert_train": q8bert_train.main,
}


@dataclasses.dataclass(frozen=True)
class CompressConfig(CustomTask):
    """Compress a fine-tuned model: plan, quantize, distill, measure, and keep the best within the limits.

    Rows are text files (--train_file with --text_columns, --unlabelled_file, --task_name with --data_dir,
    --task_name sample) or records (--train_data_dir). Half of the evaluation rows choose checkpoints, the
    other half is reported. Exit code 0: a model is in output_dir/recommended; 3: none is within the limits.
    """

    model_dir: str = required_flag("fine-tuned model folder: best/ of a run, or a Hugging Face BERT")
    output_dir: str = required_flag("output folder")
    load_gd_ckpt_path: str = flag(
        "",
        "general student to try as well, such as TinyBERT's 4L-312: a model folder with the vocabulary of "
        "model_dir and at most its layers",
        group="model",
    )
    ignore_unexpected: str = flag("", IGNORE_UNEXPECTED, group="model")
    task_name: str = flag(
        "", "GLUE task, sample for the built-in one, or the name of a custom task", main=True
    )
    train_file: str = flag(
        "", "training rows of a custom task: .tsv, .csv or .jsonl; CoNLL for token classification", main=True
    )
    test_file: str = flag("", "not taken: rows to report on are given by --dev_file", group="data")
    task_file: str = flag("", "YAML or JSON description of a custom task; flags override it", group="data")
    data_dir: str = flag("", "folder with the text files of a GLUE task", group="data")
    train_data_dir: str = flag("", "training records written by prepare, in place of text", group="data")
    eval_data_dir: str = flag("", "evaluation records (default: those in train_data_dir)", group="data")
    dataset_type: str = flag("tfrecord", "record format", DATASET_TYPES, group="data")
    on_bad_row: str = flag(
        "error", "malformed rows: error, or skip and list them", ("error", "skip"), group="data"
    )
    dev_share: float = flag(
        0.2,
        "fraction of train_file (without one, of unlabelled_file) to split off without a dev_file; with "
        "task_file its own",
        check=PART,
    )
    max_drop: float = flag(
        1.0, "limit: points (hundredths) of the task's metric that may be lost", check=NOT_NEGATIVE
    )
    min_agreement: float = flag(
        0.0,
        "limit: share of rows predicted as by the given model (0: none; without labels 0.97)",
        check=SHARE,
    )
    max_latency_ms: float = flag(
        0.0, "limit: median milliseconds of one text of 64 tokens (0: none)", check=NOT_NEGATIVE
    )
    max_size_mb: float = flag(0.0, "limit: megabytes of the model file (0: none)", check=NOT_NEGATIVE)
    strict: bool = flag(
        True,
        "a limit on quality holds where the lower end of the 95 % interval does; false: where the measured "
        "value does",
    )
    prefer: str = flag("speed", "which model within the limits is recommended", ("speed", "size"))
    time_budget: str = flag("2h", "time to plan for: 40m, 2h, 1h30m", main=True)
    threads: int = flag(1, "ONNX Runtime threads with which latency is measured", check=POSITIVE)
    seed: int = flag(1, "random seed of the halves of the evaluation rows and of training", check=SEED)
    plan: bool = flag(False, "print the plan and stop; --resume then follows it")
    resume: bool = flag(False, "continue in output_dir after an interruption; finished steps are kept")
    overwrite_output_dir: bool = flag(False, "delete files that an earlier run wrote to output_dir")


def main(argv: Sequence[str] | None = None) -> None:
    """Compress the model; exits with 3 where no candidate is within the limits."""
    resolved = parse(CompressConfig, argv, prog=command_line("compress"))
    from ..stages.compress.run import compress

    code = compress(resolved, COMMANDS)
    if code:
        sys.exit(code)


if __name__ == "__main__":
    run_main(main)
