"""python run_finetune.py: a pretrained BERT becomes the teacher of a task."""
from src.errors import run_main
from src.stages.finetune import finetune, resolve


def main(argv=None):
    """Resolve the command line and run the stage."""
    finetune(*resolve(argv))


if __name__ == "__main__":
    run_main(main)
