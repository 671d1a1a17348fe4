"""python run_task_distill.py: a fine-tuned teacher and a general student become a task student."""
from src.errors import run_main
from src.stages.task_distill import task_distill, resolve


def main(argv=None):
    """Resolve the command line and run the stage."""
    task_distill(*resolve(argv))


if __name__ == "__main__":
    run_main(main)
