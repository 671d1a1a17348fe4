"""Properties of this machine, read with the standard library alone."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = (
    "mindspore",
    "numpy",
    "scipy",
    "scikit-learn",
    "tokenizers",
    "safetensors",
    "tfrecord",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "torch",
    "transformers",
)
# Instruction sets that determine the speed of matrix products, of x86-64 and 64-bit Arm.
INSTRUCTIONS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimddp",
    "sve",
    "bf16",
    "i8mm",
)
SETTINGS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "ONEDNN_DEFAULT_FPMATH_MODE", "DEVICE_ID", "RANK_SIZE")


def describe_machine() -> dict[str, str]:
    """{property: value} in printing order."""
    return {
        "platform": f"{platform.platform()}, {platform.machine()}",
        "python": f"{platform.python_version()}, {sys.executable}",
        "packages": ", ".join(filter(None, map(_version, PACKAGES))),
        "processor": _cpuinfo("model name") or platform.processor() or "unknown",
        "cores": f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}",
        "instructions": " ".join(instructions()) or "none of those looked for",
        "memory": _memory(),
        "disk": f"{shutil.disk_usage(Path.cwd()).free / 1e9:.1f} GB free in {Path.cwd()}",
        "compiler": _compiler(),
        "environment": ", ".join(f"{name}={os.environ[name]}" for name in SETTINGS if name in os.environ)
        or "none of " + ", ".join(SETTINGS),
    }


def _version(package: str) -> str | None:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpuinfo(key: str) -> str:
    """The first value of a key of /proc/cpuinfo, or an empty string."""
    for line in _lines("/proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def instructions() -> list[str]:
    """The INSTRUCTIONS that the processor supports."""
    supported = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    return [name for name in INSTRUCTIONS if name in supported]


def _memory() -> str:
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in _lines("/proc/meminfo")}
    if not kilobytes:
        return "unknown"
    return f"{kilobytes['MemAvailable'] / 1e6:.1f} GB free of {kilobytes['MemTotal'] / 1e6:.1f} GB"


def _compiler() -> str:
    path = shutil.which("g++") or shutil.which("c++")
    if not path:
        return "none (g++)"
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return version.partition("\n")[0] or path


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
