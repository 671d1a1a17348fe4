"""Names of the commands, and how a user types them: from a checkout, or with the installed package."""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

PROGRAM = "bert-compression"
PACKAGE = __name__.rpartition(".")[0]
IN_CHECKOUT = PACKAGE == "src"  # what the folder is called where it is not installed
INSTALL_ALL = (  # for who lacks a package
    "run pip install -r requirements.txt"
    if IN_CHECKOUT
    else f"install {PROGRAM} with its extra: pip install '.[train]' in the source folder"
)
STAGES = ("finetune", "general_distill", "q8bert_train", "task_distill")


def command_line(name: str) -> str:
    """What starts the command `name`: `bert-compression NAME`, or the script or module of a checkout."""
    if not IN_CHECKOUT:
        return f"{PROGRAM} {name}"
    return f"python run_{name}.py" if name in STAGES else f"python -m {PACKAGE}.tools.{name}"


def typed_again() -> list[str]:
    """The command line of this process in words that start it once more."""
    program, *arguments = sys.argv
    file = Path(program)
    if file.name == PROGRAM:
        return [PROGRAM, *arguments]
    if file.name == "__main__.py":
        return ["python", "-m", file.parent.name, *arguments]
    return ["python", program, *arguments]


def complete(parser: argparse.ArgumentParser, values: Mapping[str, Iterable[str]]) -> None:
    """Answer a shell that completes a command line, and end the process; otherwise do nothing.

    `values` are the ones to suggest for an argument, by its `dest`; for the others, files.
    """
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    for action in parser._actions:
        action.choices = values.get(action.dest)
    argcomplete.autocomplete(parser)
