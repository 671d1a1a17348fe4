"""The text that is augmented: the training rows of a GLUE task, or of a task of one's own."""

from itertools import islice
from pathlib import Path

from ...config.task.custom import custom_task
from ...data.augmentation.rows import header_lines, row_line
from ...data.custom_task import held_out
from ...data.text.examples import ExampleFile, find_file
from ...errors import UserError
from ...tasks import find_task


def text_of(config):
    """The TaskText of a GLUE task in data_dir, or of the task of one's own in task_file."""
    if not config.task_file:
        if not (config.task_name and config.data_dir):
            lacking = "data_dir" if config.task_name else "task_name"
            raise UserError(
                f"--{lacking} is required: a GLUE task, and the folder with its train file; or "
                "--task_file, for a task of your own"
            )
        task = find_task(config.task_name)
        _refuse_tags(task, f"--task_name {task.name}")
        return TaskText(config, task, _train_file(config, task))
    if config.task_name or config.data_dir:
        raise UserError("--task_file names task and files itself; leave out --task_name and --data_dir")
    own = custom_task(config.task_file, {})
    _refuse_tags(own, config.task_file)
    own, held = held_out(own, config.on_bad_row)
    if held:
        print(
            f"{len(held):,} rows of {own.train_file} are dev's (dev_share {own.dev_share:g}, split_seed "
            f"{own.split_seed}) and left out"
        )
    job = {"own_task": {**own.to_manifest(), "held": len(held), "split_seed": own.split_seed}}
    return TaskText(config, own.spec(), own.train_file, held, job)


def _refuse_tags(task, place):
    if task.output_mode == "token_classification":
        raise UserError(f"{place}: other words would need other tags; augment is for tasks of whole texts")


def _train_file(config, task):
    if not Path(config.data_dir).is_dir():
        raise UserError(f"data_dir {config.data_dir} does not exist or is no folder")
    found = find_file(config.data_dir, task.train_file)
    if found is None:
        raise UserError(
            f"{Path(config.data_dir) / task.train_file} does not exist; it should hold the "
            f"training rows of {task.name}"
        )
    return found


class TaskText:
    """The training rows of a task, read anew each time: (values, Example) of those that count.

    Rows whose line is among `held` do not count; `job` {name: value} is what the choice of rows depends on.
    """

    def __init__(self, config, task, file, held=(), job=None):
        self.source, self.task = ExampleFile(file, task), task
        self.limit, self.on_bad_row = config.max_rows, config.on_bad_row
        self.columns = [self.source.header.index(name) for name in task.text_columns]
        self.bad_rows, self.held, self.job = [], held, job or {}

    def all_rows(self):
        """Rows as they come, those without a gold label (Example None) too, at most `max_rows`."""
        self.bad_rows = []
        rows = self.source.rows(self.on_bad_row, self.bad_rows)
        if self.held:
            rows = (row for row in rows if row[1] is None or row[1].line not in self.held)
        return rows if self.limit < 0 else islice(rows, self.limit)

    def parts(self, size):
        """Lists of `size` triples (row number, values, label); rows without a label have no copies."""
        rows = (
            (number, values, example.label)
            for number, (values, example) in enumerate(self.all_rows())
            if example is not None
        )
        return iter(lambda: list(islice(rows, size)), [])

    def lines(self):
        """The lines of the original file: header and rows, without the bad ones and those held out."""
        yield from header_lines(self.source)
        for values, _ in self.all_rows():
            yield self.line(values)

    def line(self, values):
        """A row as a line of the output."""
        return row_line(values, self.source.header, self.source.path.suffix)

    def texts(self, values):
        """The texts among the values of a row."""
        return [values[column] for column in self.columns]
