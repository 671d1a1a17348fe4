"""python run_finetune.py: a pretrained BERT becomes the teacher of a task."""

from src.config.finetune_config import resolve
from src.config.seeds_config import over_seeds
from src.errors import run_main


def main(argv=None):
    """Resolve the command line and run the stage, once or over several seeds."""
    task, resolved = resolve(argv)
    if over_seeds(resolved):
        from src.stages.training.multi_seed import repeat

        repeat("finetune", __file__, argv, task, resolved)
        return
    # MindSpore takes seconds to load: a wrong flag is answered before.
    from src.stages.training.finetune import finetune

    finetune(task, resolved)


if __name__ == "__main__":
    run_main(main)
