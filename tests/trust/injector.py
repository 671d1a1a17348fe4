"""The preloaded library of fault_injection.c: building it, and arming it in this process."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("fault_injection.c")
KILL = 0  # the errno that stands for kill -9


def build(folder: Path) -> Path | None:
    """Compile the library into `folder`; None where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("g++")
    if compiler is None or os.uname().sysname != "Linux":
        return None
    library = folder / "fault_injection.so"
    command = [compiler, "-x", "c", "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def is_loaded() -> bool:
    """Whether this process was started with the library."""
    return hasattr(ctypes.CDLL(None), "fault_arm")


def arm(folder: Path, call: int = 0, error: int = KILL) -> None:
    """Kill this process at a call that changes files below `folder`, or make it fail; 0: only count calls."""
    ctypes.CDLL(None).fault_arm(str(folder).encode(), ctypes.c_long(call), error)


def calls() -> int:
    """Calls since `arm`."""
    return int(ctypes.CDLL(None).fault_calls())


def variables(folder: Path, call: int = 0, error: int = KILL) -> dict[str, str]:
    """Environment variables that arm the library in a program from its start."""
    return {"FAULT_ROOT": str(folder), "FAULT_CALL": str(call), "FAULT_ERRNO": str(error)}
