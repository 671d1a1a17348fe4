"""Reads files of unknown origin in child processes with limits, so that a crash or a hang is one result.

python tests/reading.py MODULES READER FILE ...: one line of JSON a file, {outcome, message, megabytes}.
MODULES (with commas) are imported first, so that no child does. `outcome` is "read", "refused" (a UserError),
the name of another exception, or that of a signal.
"""

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS, BYTES = 20, 3 << 30


def outcomes(reader, paths, modules=""):
    """The outcomes of `reader` ("src.weights.reader:read_weights") for `paths`, each in its own process."""
    command = [sys.executable, __file__, modules, reader, *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _outcome(function, path):
    from src.errors import UserError

    try:
        function(path)
        return {"outcome": "read", "message": ""}
    except UserError as error:
        return {"outcome": "refused", "message": str(error)}
    except BaseException as error:
        return {"outcome": type(error).__name__, "message": str(error)[:300]}


def _read_in_child(function, path):
    """The outcome of one file, and by how much the peak memory of the child exceeds that of its parent."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        signal.alarm(SECONDS)
        os.write(sender, json.dumps(_outcome(function, path)).encode())
        os._exit(0)
    os.close(sender)
    with open(receiver) as answer:
        text = answer.read()
    _, status, usage = os.wait4(child, 0)
    result = (
        json.loads(text) if text else {"outcome": signal.Signals(os.WTERMSIG(status)).name, "message": ""}
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**result, "megabytes": max(0, usage.ru_maxrss - before) // 1024}


def main(modules, reader, *paths):
    """Print the outcome of each file."""
    sys.path.insert(0, str(ROOT))
    for module in filter(None, modules.split(",")):
        importlib.import_module(module)
    module, name = reader.split(":")
    function = getattr(importlib.import_module(module), name)
    for path in paths:
        print(json.dumps(_read_in_child(function, Path(path))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
