"""python run_general_distill.py: a pretrained teacher and raw text become a general student."""

from src.config.gd_config import resolve
from src.errors import run_main


def main(argv=None):
    """Resolve the command line and run the stage."""
    resolved = resolve(argv)
    # MindSpore takes seconds to load: a wrong flag is answered before.
    from src.stages.training.general_distill import general_distill

    general_distill(resolved)


if __name__ == "__main__":
    run_main(main)
