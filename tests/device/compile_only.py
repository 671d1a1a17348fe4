"""Run a command of the project and stop it when its first graph has been compiled.

python -m tests.device.compile_only SCRIPT ARGUMENTS...   or   -m MODULE ARGUMENTS...

Prints "compiled TrainStep for GPU" and exits with 0, or exits with 1 when no graph compiled.
"""

import os
import runpy
import sys
from pathlib import Path

import mindspore as ms
from mindspore.graph import api


class Compiled(BaseException):
    """The graph is there; a BaseException, so that nothing takes it for a failure."""


def _stop(executor, network, *_, **__):
    print(f"compiled {type(network).__name__} for {ms.get_context('device_target')}", flush=True)
    raise Compiled


def _device_file(folder, pattern, glob=Path.glob):
    """Path.glob on a machine with one GPU, for which the project looks before it asks the framework."""
    if str(folder) == "/dev":
        return iter([Path("/dev/nvidia0")] if "nvidia" in pattern else [])
    return glob(folder, pattern)


def main():
    """Compile as the command line says."""
    api._CellGraphExecutor.__call__ = _stop
    Path.glob = _device_file
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
    os._exit(code)  # what stands in for a device need not be shut down


if __name__ == "__main__":
    main()
