"""Runs commands of the project, each until its graphs are compiled.

python -m tests.device.compile_only COMMANDS.json

COMMANDS.json: {name: {"arguments": [SCRIPT or "-m" MODULE, argument, ...], "until": CELL}}. The process
stops each command when the graph of CELL has been compiled, and prints one JSON line {"name", "compiled":
[cells], "target", "error", "seconds"}. All commands share it: loading MindSpore takes longer than compiling.
"""

import contextlib
import io
import json
import os
import runpy
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import mindspore as ms
from mindspore import nn
from mindspore.graph import api

DEVICE_FILES = {"nvidia": "/dev/nvidia0", "davinci": "/dev/davinci0"}


class Compiled(BaseException):
    """The graph asked for was compiled. A BaseException, so that error handlers do not catch it."""


class Recorder:
    """Stands in for the executor of graphs: notes the names of the cells it is called with."""

    def __init__(self) -> None:
        self.compiled: list[str] = []
        self.until = ""
        self._run = api._CellGraphExecutor.__call__

    def install(self) -> None:
        """Replace the executor's call; a graph before the last one runs, on memory that nothing computes."""

        def call(executor: object, network: nn.Cell, *arguments: Any, **keywords: Any) -> Any:
            name = type(network).__name__
            if name not in self.compiled:
                self.compiled.append(name)
            if name == self.until:
                raise Compiled
            return self._run(executor, network, *arguments, **keywords)

        api._CellGraphExecutor.__call__ = call


def _glob_with_device(
    folder: Path, pattern: str, glob: Callable[[Path, str], Iterator[Path]] = Path.glob
) -> Iterator[Path]:
    """Path.glob on a machine with one device: the project checks device files before it calls MindSpore."""
    if str(folder) == "/dev":
        return iter([Path(file) for name, file in DEVICE_FILES.items() if name in pattern])
    return glob(folder, pattern)


def compile_command(recorder: Recorder, arguments: list[str], until: str) -> str:
    """Run one command until it has compiled its graphs; returns the error, or an empty string."""
    recorder.compiled, recorder.until = [], until
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            _run(arguments)
    except Compiled:
        return ""
    except BaseException as error:
        return f"{type(error).__name__}: {error} {messages.getvalue()[-2000:]}"
    return "the command ended before its graphs were compiled"


def _run(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(sys.argv[0], run_name="__main__")


def main() -> None:
    """Run the commands of the file."""
    commands = json.loads(Path(sys.argv[1]).read_text())
    recorder = Recorder()
    recorder.install()
    mock.patch.object(Path, "glob", _glob_with_device).start()
    for name, command in commands.items():
        began = time.perf_counter()
        error = compile_command(recorder, command["arguments"], command["until"])
        row = {
            "name": name,
            "compiled": recorder.compiled,
            "target": ms.get_context("device_target"),
            "error": error,
            "seconds": round(time.perf_counter() - began, 1),
        }
        print(f"\n{json.dumps(row)}", flush=True)
    os._exit(0)  # skips the shutdown of the fake device


if __name__ == "__main__":
    main()
