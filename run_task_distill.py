"""python run_task_distill.py: a fine-tuned teacher and a general student become a task student."""

from src.config.seeds_config import over_seeds
from src.config.td_config import resolve
from src.errors import run_main


def main(argv=None):
    """Resolve the command line and run the stage, once or over several seeds."""
    task, resolved = resolve(argv)
    if over_seeds(resolved):
        from src.stages.training.multi_seed import repeat

        repeat("task_distill", __file__, argv, task, resolved)
        return
    # MindSpore takes seconds to load: a wrong flag is answered before.
    from src.stages.training.task_distill import task_distill

    task_distill(task, resolved)


if __name__ == "__main__":
    run_main(main)
