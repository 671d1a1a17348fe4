"""Command names, and the command lines that run them from a checkout or with the installed package."""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

PROGRAM = "bert-compression"
PACKAGE = __name__.rpartition(".")[0]
IN_CHECKOUT = PACKAGE == "src"  # the folder's name where the package is not installed
INSTALL_ALL = (  # completes the error about a missing package
    "run pip install -r requirements.txt"
    if IN_CHECKOUT
    else f"install {PROGRAM} with its extra: pip install '.[train]' in the source folder"
)
STAGES = ("finetune", "general_distill", "q8bert_train", "task_distill")


def program_version() -> str:
    """The version of the installed package, or that in pyproject.toml of a checkout."""
    if not IN_CHECKOUT:
        return metadata.version(PROGRAM)
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    return next(
        (line.split('"')[1] for line in text.splitlines() if line.startswith("version = ")), "unknown"
    )


def command_line(name: str) -> str:
    """The command line of the command `name`: `bert-compression NAME`, or a checkout's script or module."""
    if not IN_CHECKOUT:
        return f"{PROGRAM} {name}"
    return f"python run_{name}.py" if name in STAGES else f"python -m {PACKAGE}.tools.{name}"


def restart_command() -> list[str]:
    """The command line that starts this process again, as a list of arguments."""
    program, *arguments = sys.argv
    file = Path(program)
    if file.name == PROGRAM:
        return [PROGRAM, *arguments]
    if file.name == "__main__.py":
        return ["python", "-m", file.parent.name, *arguments]
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec and file.parent.name == "tools":  # python -m src.tools.compress
        return ["python", "-m", spec.name, *arguments]
    return ["python", program, *arguments]


def complete(parser: argparse.ArgumentParser, values: Mapping[str, Iterable[str]]) -> None:
    """Print completions and exit if a shell requested them; otherwise do nothing.

    `values` {dest of an argument: suggestions}; other arguments complete to file names.
    """
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    for action in parser._actions:
        action.choices = values.get(action.dest)
    argcomplete.autocomplete(parser)
