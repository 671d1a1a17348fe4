"""python run_general_distill.py: distill a pretrained teacher into a general student on raw text."""

from src.signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

from src.errors import run_main
from src.tools.training.general_distill import main

if __name__ == "__main__":
    run_main(main)
