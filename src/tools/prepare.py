"""python -m src.tools.prepare: text files of a task -> record files."""

import dataclasses

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import RecordsOutputConfig
from ..config.fields import ALL_OR_SOME, flag
from ..config.task.custom import CustomTask
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class PrepareConfig(RecordsOutputConfig, CustomTask):
    """Turn the text files of a task into TFRecord or MindRecord files that every stage reads.

    A task of your own is described by flags (--train_file, --text_columns, --label_column ...) or by a
    --task_file whose keys are those flags.
    """

    task_name: str = flag(
        "",
        "GLUE task, sample for the built-in task that needs no data of yours, or the name of a task of your "
        "own (default: that of task_file or train_file)",
    )
    train_file: str = flag(
        "",
        "the training rows of a task of your own; else another file for the training rows, such as an "
        "augmented one",
    )
    task_file: str = flag("", "YAML or JSON file that describes a task of your own; flags win over it")
    data_dir: str = flag(
        "",
        "folder with train.tsv, dev.tsv (MNLI: dev_matched.tsv, dev_mismatched.tsv) "
        "and, where you have it, test.tsv; .csv and .jsonl are read too",
    )
    on_bad_row: str = flag(
        "error", "a malformed row stops the run, or is left out and listed", choices=("error", "skip")
    )
    max_rows: int = flag(-1, "read only the first rows of each file; -1: all", check=ALL_OR_SOME)


def main(argv=None):
    """Parse the command line and prepare the records."""
    resolved = parse(PrepareConfig, argv, prog=command_line("prepare"))
    from ..stages.preparation.prepare import prepare

    prepare(resolved)


if __name__ == "__main__":
    run_main(main)
