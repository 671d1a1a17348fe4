"""bert-compression finetune: fine-tune a pretrained BERT, or train a student on labels alone."""

from collections.abc import Sequence

from ...commands import PACKAGE
from ...config.finetune_config import resolve
from ...config.seeds_config import over_seeds

START = ("-m", PACKAGE, "finetune")


def main(argv: Sequence[str] | None = None, start: Sequence[str] = START) -> None:
    """Run the stage; with --seeds, a process that Python starts with `start` for each seed."""
    task, resolved = resolve(argv)
    if over_seeds(resolved):
        from ...stages.training.multi_seed import repeat

        repeat("finetune", start, argv, task, resolved)
        return
    # MindSpore takes seconds to load: a wrong flag, or a missing input of a rank, is reported before.
    from ...stages.training.run_folder import check_inputs

    check_inputs(resolved.config)
    from ...stages.training.finetune import finetune

    finetune(task, resolved)
