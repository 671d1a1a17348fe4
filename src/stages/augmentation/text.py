"""Training rows to augment, of a GLUE task or a custom task."""

from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ...config.task.custom import custom_task
from ...data.augmentation.rows import header_lines, row_line
from ...data.custom_task import held_out
from ...data.text.examples import Example, ExampleFile, find_file
from ...errors import UserError
from ...tasks import TaskSpec, find_task

if TYPE_CHECKING:
    from ...config.task.custom import CustomTask
    from ...tools.augment import AugmentConfig

NumberedRow = tuple[int, list[str], str]  # row number, values, label


def text_of(config: "AugmentConfig") -> "TaskText":
    """TaskText of the GLUE task in data_dir, or of the custom task in task_file."""
    if not config.task_file:
        if not (config.task_name and config.data_dir):
            missing = "data_dir" if config.task_name else "task_name"
            raise UserError(
                f"--{missing} is required: a GLUE task and the folder with its train file; or --task_file "
                "for a custom task"
            )
        task = find_task(config.task_name)
        _reject_tags(task, f"--task_name {task.name}")
        return TaskText(config, task, _train_file(config, task))
    if config.task_name or config.data_dir:
        raise UserError("--task_file names task and files itself; omit --task_name and --data_dir")
    custom = custom_task(config.task_file, {})
    _reject_tags(custom, config.task_file)
    if not custom.train_file:
        raise UserError(f"{config.task_file}: train_file is required: the labeled rows to augment")
    custom, dev_lines = held_out(custom, config.on_bad_row)
    if dev_lines:
        print(
            f"{len(dev_lines):,} rows of {custom.train_file} are split off for dev (dev_share "
            f"{custom.dev_share:g}, split_seed {custom.split_seed}) and skipped"
        )
    job = {"own_task": {**custom.to_manifest(), "held": len(dev_lines), "split_seed": custom.split_seed}}
    return TaskText(config, custom.spec(), custom.train_file, dev_lines, job)


def _reject_tags(task: "TaskSpec | CustomTask", source: str) -> None:
    if task.output_mode == "token_classification":
        raise UserError(f"{source}: augmentation does not support token classification")


def _train_file(config: "AugmentConfig", task: TaskSpec) -> Path:
    if not Path(config.data_dir).is_dir():
        raise UserError(f"data_dir {config.data_dir} does not exist or is not a folder")
    found = find_file(config.data_dir, task.train_file)
    if found is None:
        raise UserError(
            f"{Path(config.data_dir) / task.train_file} does not exist; it should hold the "
            f"training rows of {task.name}"
        )
    return found


class TaskText:
    """Training rows of a task, streamed from the file on each iteration.

    Rows on the lines `held_out` are excluded; `job` {name: value} is what the selection of rows depends on.
    """

    def __init__(
        self,
        config: "AugmentConfig",
        task: TaskSpec,
        file: str | Path,
        held_out: Collection[int] = (),
        job: dict | None = None,
    ) -> None:
        self.source, self.task = ExampleFile(file, task), task
        self.limit, self.on_bad_row = config.max_rows, config.on_bad_row
        self.columns = [self.source.header.index(name) for name in task.text_columns]
        self.held_out, self.job = held_out, job or {}
        self.bad_rows: list[dict] = []

    def all_rows(self) -> Iterator[tuple[list[str], Example | None]]:
        """(values, Example) of at most `max_rows` rows; Example is None without a gold label."""
        self.bad_rows = []
        rows = self.source.rows(self.on_bad_row, self.bad_rows)
        if self.held_out:
            rows = (row for row in rows if row[1] is None or row[1].line not in self.held_out)
        return rows if self.limit < 0 else islice(rows, self.limit)

    def held_out_texts(self) -> Iterator[list[str]]:
        """The texts of the excluded rows."""
        for values, example in self.source.rows("skip", []) if self.held_out else ():
            if example is not None and example.line in self.held_out:
                yield self.texts(values)

    def parts(self, size: int) -> Iterator[list[NumberedRow]]:
        """Lists of `size` triples (row number, values, label), without the unlabeled rows."""
        rows = (
            (number, values, example.label or "")
            for number, (values, example) in enumerate(self.all_rows())
            if example is not None
        )
        return iter(lambda: list(islice(rows, size)), [])

    def lines(self) -> Iterator[str]:
        """Lines of the original file: header and rows, without malformed and held-out rows."""
        yield from header_lines(self.source)
        for values, _ in self.all_rows():
            yield self.line(values)

    def line(self, values: list[str]) -> str:
        """Format a row as a line of the output."""
        return row_line(values, self.source.header, self.source.path.suffix)

    def texts(self, values: list[str]) -> list[str]:
        """Texts among the values of a row."""
        return [values[column] for column in self.columns]
