"""python -m src.tools.prepare: convert text files of a task to record files."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import RecordsOutputConfig
from ..config.fields import ALL_OR_SOME, flag
from ..config.task.custom import CustomTask
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class PrepareConfig(RecordsOutputConfig, CustomTask):
    """Convert the text files of a task to TFRecord or MindRecord files that every stage reads.

    A custom task is described by flags (--train_file, --text_columns, --label_column ...), or by a
    --task_file whose keys are those flags.
    """

    task_name: str = flag(
        "",
        "GLUE task, sample for the built-in task, which needs no data, or the name of a custom task "
        "(default: the name of task_file or train_file)",
        main=True,
    )
    train_file: str = flag(
        "",
        "training rows of a custom task; otherwise a replacement for the task's training file, such as an "
        "augmented one",
    )
    task_file: str = flag("", "YAML or JSON description of a custom task; flags override it", group="data")
    data_dir: str = flag(
        "",
        "folder with train.tsv, dev.tsv (MNLI: dev_matched.tsv, dev_mismatched.tsv) and, optionally, "
        "test.tsv; .csv and .jsonl are supported too",
        group="data",
        main=True,
    )
    on_bad_row: str = flag("error", "malformed rows: error, or skip and list them", ("error", "skip"))
    max_rows: int = flag(-1, "read only the first N rows of each file (-1: all)", check=ALL_OR_SOME)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the records."""
    resolved = parse(PrepareConfig, argv, prog=command_line("prepare"))
    from ..stages.preparation.prepare import prepare

    prepare(resolved)


if __name__ == "__main__":
    run_main(main)
