"""The C++ kernels compiled on first use, into a cache folder keyed by sources, compiler, flags and CPU."""

import ctypes
import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..files import atomic_path

SOURCES = Path(__file__).resolve().parent / "cpp"
# No -ffast-math: it would let the compiler ignore NaN and infinity, by which an overflow is detected. The two
# -fno flags give up errno and floating-point exceptions only.
FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-shared",
    "-fPIC",
)
# Compilers take half the width of such a processor unless told; GELU is 1.3 times slower then.
WIDE_FLAGS = {"x86_64": ("-mprefer-vector-width=512",)}
NAME = "mindspore-bert-compression"  # of the folder in the cache
LONGEST_BUILD = 300  # seconds


class KernelsUnavailable(Exception):
    """The kernels cannot be had here; the message says why, as the rest of a sentence."""


def library(folder=None):
    """Path of the compiled kernels, built now unless the same were built before.

    `folder` is the cache (default: that of the user). Of two processes that ask at once one builds and the
    other waits. Raises KernelsUnavailable.
    """
    compiler = shlex.split(os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++") or "")
    if not compiler:
        raise KernelsUnavailable("no C++ compiler (g++) was found")
    folder = Path(folder) if folder else cache_folder()
    target = folder / f"kernels-{_key(compiler)}.so"
    if target.is_file():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_file():
                _compile(compiler, target)
    except OSError as error:
        raise KernelsUnavailable(f"the kernels could not be built in {folder} ({error})") from None
    return target


def cache_folder():
    """Where compiled kernels are kept: in the user's cache, or the temporary folder if home is read-only.

    Raises KernelsUnavailable where neither can be used.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    # Without a home the ~ is left; MindSpore is told library:kernel, so that no colon may be in the path.
    if not base.is_absolute() or ":" in str(base) or not _can_be_written(base / NAME):
        base = _own_temporary_folder()
    return base / NAME


def _can_be_written(folder):
    # Asked for and made: root may write anywhere, and yet cannot make a folder below /proc.
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not os.access(existing, os.W_OK):
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return True


def _own_temporary_folder():
    """A folder in the temporary one, whose name anybody can guess and take: kernels of others are not run."""
    folder = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat().st_uid
    except OSError as error:
        raise KernelsUnavailable(f"there is no folder to build them in ({error})") from None
    if owner != os.getuid():
        raise KernelsUnavailable(f"{folder} belongs to another user")
    return folder


def check_loads(path):
    """Raise KernelsUnavailable where a library cannot be loaded, as from a disk that is mounted noexec."""
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelsUnavailable(f"the kernels cannot be loaded ({error})") from None


def sources():
    """The C++ files, in a fixed order."""
    return sorted(SOURCES.glob("*.cpp"))


def flags():
    """The compiler's flags on this kind of machine."""
    return (*FLAGS, *WIDE_FLAGS.get(platform.machine(), ()))


def _key(compiler):
    digest = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    for text in (*flags(), _version(compiler), platform.machine(), _processor()):
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def _version(compiler):
    try:
        answer = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise KernelsUnavailable(f"the compiler {compiler[0]} does not run ({error})") from None
    return answer.stdout.partition("\n")[0]


def _processor():
    """What -march=native depends on: the model and the instructions of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("vendor_id", "model name", "flags", "Features", "CPU part")
    facts = {line for line in lines if line.split("\t")[0].strip(" :") in wanted}
    return "\n".join(sorted(facts))


def _compile(compiler, target):
    with atomic_path(target) as temporary:
        command = [*compiler, *flags(), *map(str, sources()), "-o", str(temporary)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=LONGEST_BUILD,
                check=False,
                env={**os.environ, "LC_ALL": "C"},  # its complaints are looked through for "error"
            )
        except subprocess.TimeoutExpired:
            raise KernelsUnavailable(f"{compiler[0]} took more than {LONGEST_BUILD} s") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
            raise KernelsUnavailable(f"{compiler[0]} could not build the kernels ({lines[0].strip()})")
