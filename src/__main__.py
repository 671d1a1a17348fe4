"""python -m src: lists the commands, a line each, from their docstrings; none of them is imported."""

import ast
import re
from pathlib import Path

from .errors import run_main

ROOT = Path(__file__).resolve().parent.parent


def commands():
    """(command, file) of the stages and then of the tools, each in alphabetical order."""
    for path in sorted(ROOT.glob("run_*.py")):
        yield f"python {path.name}", path
    for path in sorted((ROOT / "src" / "tools").glob("[!_]*.py")):
        yield f"python -m src.tools.{path.stem}", path


def summary_of(path):
    """First line of a module's docstring, without the name of the command that it may begin with."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return re.sub(r"^(python (-m )?)?[\w.]+: ", "", docstring.partition("\n")[0])


def main():
    listed = list(commands())
    width = max(len(command) for command, _ in listed)
    for command, path in listed:
        print(f"{command:<{width}}  {summary_of(path)}")
    print("\n--help after a command lists its flags")


if __name__ == "__main__":
    run_main(main)
