"""bert-compression task_distill: distill a teacher into a task student in two phases, or evaluate only."""

from collections.abc import Sequence

from ...commands import PACKAGE
from ...config.seeds_config import over_seeds
from ...config.td_config import resolve

START = ("-m", PACKAGE, "task_distill")


def main(argv: Sequence[str] | None = None, start: Sequence[str] = START) -> None:
    """Run the stage; with --seeds, a process that Python starts with `start` for each seed."""
    task, resolved = resolve(argv)
    if over_seeds(resolved):
        from ...stages.training.multi_seed import repeat

        repeat("task_distill", start, argv, task, resolved)
        return
    # MindSpore takes seconds to load: a wrong flag, or a missing input of a rank, is reported before.
    from ...stages.training.run_folder import check_inputs

    check_inputs(resolved.config)
    from ...stages.training.task_distill import task_distill

    task_distill(task, resolved)
