"""Runs a command of the project until its first graph is compiled.

python -m tests.device.compile_only SCRIPT ARGUMENTS...   or   -m MODULE ARGUMENTS...

Prints "compiled TrainStep for GPU" and exits with 0; exits with 1 if no graph compiles.
"""

import os
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn
from unittest import mock

import mindspore as ms
from mindspore import nn
from mindspore.graph import api


class Compiled(BaseException):
    """A graph was compiled. A BaseException, so that error handlers do not catch it."""


def _stop(executor: object, network: nn.Cell, *_: object, **__: object) -> NoReturn:
    print(f"compiled {type(network).__name__} for {ms.get_context('device_target')}", flush=True)
    raise Compiled


def _glob_with_gpu(
    folder: Path, pattern: str, glob: Callable[[Path, str], Iterator[Path]] = Path.glob
) -> Iterator[Path]:
    """Path.glob on a machine with one GPU: the project checks device files before it calls MindSpore."""
    if str(folder) == "/dev":
        return iter([Path("/dev/nvidia0")] if "nvidia" in pattern else [])
    return glob(folder, pattern)


def main() -> None:
    """Run the command line."""
    api._CellGraphExecutor.__call__ = _stop
    mock.patch.object(Path, "glob", _glob_with_gpu).start()
    sys.argv = sys.argv[1:]
    code = 1
    try:
        if sys.argv[0] == "-m":
            sys.argv = sys.argv[1:]
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except Compiled:
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(code)  # skips the shutdown of the fake device


if __name__ == "__main__":
    main()
