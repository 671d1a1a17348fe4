"""bert-compression, python -m src: run a command by name; without one, list them without importing any."""

# PYTHON_ARGCOMPLETE_OK
from .signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import argparse
import ast
import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from .commands import IN_CHECKOUT, PACKAGE, PROGRAM, STAGES, command_line, complete
from .errors import UserError, did_you_mean, run_main

TOOLS = Path(__file__).resolve().parent / "tools"


def modules() -> dict[str, Path]:
    """{name: file} of the commands: the training stages, then the tools, each in alphabetical order."""
    tools = {path.stem: path for path in sorted(TOOLS.glob("[!_]*.py"))}
    return {**{name: TOOLS / "training" / f"{name}.py" for name in STAGES}, **tools}


def commands() -> Iterator[tuple[str, Path]]:
    """(command line, file) of each command."""
    for name, path in modules().items():
        yield command_line(name), path


def summary_of(path: Path) -> str:
    """First line of a module's docstring, without the leading name of the command."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return re.sub(r"^(python -m |bert-compression )?[\w.]+: ", "", docstring.partition("\n")[0])


def print_commands() -> None:
    """Print a line for each command."""
    listed = list(commands())
    width = max(len(command) for command, _ in listed)
    for command, path in listed:
        print(f"{command:<{width}}  {summary_of(path)}")
    print("\n--help after a command lists its flags")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the first argument names. Raises UserError for an unknown one."""
    if "_ARGCOMPLETE" in os.environ:
        complete_command()
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print_commands()
    elif name == "--version":
        print(PROGRAM, version())
    else:
        run(name, arguments)


def run(name: str, arguments: Sequence[str]) -> None:
    """Import a command and run it; `-` and `_` in its name are the same."""
    files, name = modules(), name.replace("-", "_")
    if name not in files:
        caller = f"python -m {PACKAGE}" if IN_CHECKOUT else PROGRAM
        raise UserError(f'unknown command "{name}"{did_you_mean(name, files)} ({caller} lists the commands)')
    place = ".".join(files[name].relative_to(TOOLS.parent).with_suffix("").parts)
    importlib.import_module(f".{place}", PACKAGE).main(arguments)


def version() -> str:
    """The installed package's version, or "(checkout)"."""
    from importlib import metadata

    return "(checkout)" if IN_CHECKOUT else metadata.version(PROGRAM)


def complete_command() -> None:
    """Print a shell's completions and exit: command names, then the flags of a command."""
    import argcomplete

    start = int(os.environ["_ARGCOMPLETE"])
    _, _, _, words, _ = argcomplete.split_line(os.environ["COMP_LINE"], int(os.environ["COMP_POINT"]))
    if len(words) > start:
        # The command's parser takes the command's name for its program name.
        os.environ["_ARGCOMPLETE"] = str(start + 1)
        run(words[start], [])
    parser = argparse.ArgumentParser(PROGRAM)
    parser.add_argument("command")
    complete(parser, {"command": modules()})


def console() -> None:
    """Entry point of `bert-compression`."""
    exit_on_signals()
    run_main(main)


if __name__ == "__main__":
    console()
