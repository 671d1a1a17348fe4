"""Compile the C++ kernels on first use into a cache keyed by sources, compiler, flags and CPU."""

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

from ..errors import WriteError
from ..files import atomic_path

SOURCES = Path(__file__).resolve().parent / "cpp"
# No -ffast-math: it assumes that NaN and infinity do not occur, by which overflows are detected. The two
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
# By default compilers use half the vector width of such a CPU; GELU then takes 1.3 times as long.
WIDE_FLAGS = {"x86_64": ("-mprefer-vector-width=512",)}
CACHE_NAME = "mindspore-bert-compression"
TIMEOUT = 300  # seconds of a build


class KernelsUnavailable(Exception):
    """The kernels cannot be built or loaded; the message is the reason, to complete a sentence."""


def library_path(folder: Path | str | None = None) -> Path:
    """Path of the compiled kernels; compiles them unless they are in the cache `folder`.

    The default is the user's cache. Of two concurrent processes one compiles and the other waits. Raises
    KernelsUnavailable.
    """
    compiler = shlex.split(os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++") or "")
    if not compiler:
        raise KernelsUnavailable("no C++ compiler (g++) was found")
    folder = Path(folder) if folder else cache_folder()
    target = folder / f"kernels-{_cache_key(compiler)}.so"
    if target.is_file():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_file():
                _compile(compiler, target)
    except (OSError, WriteError) as error:
        raise KernelsUnavailable(f"the kernels could not be built in {folder} ({error})") from None
    return target


def cache_folder() -> Path:
    """The folder of compiled kernels: in the user's cache, or in the temporary folder if home is read-only.

    Raises KernelsUnavailable if neither is writable.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    # Without a home the ~ stays. MindSpore takes "library:kernel", so the path must not contain a colon.
    if not base.is_absolute() or ":" in str(base) or not _is_writable(base / CACHE_NAME):
        base = _private_temporary_folder()
    return base / CACHE_NAME


def _is_writable(folder: Path) -> bool:
    # Checks the permission and creates the folder: root may write anywhere but cannot create one in /proc.
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not os.access(existing, os.W_OK):
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return True


def _private_temporary_folder() -> Path:
    """A folder of this user in the temporary one; its name can be guessed, so its owner is checked."""
    folder = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat().st_uid
    except OSError as error:
        raise KernelsUnavailable(f"there is no folder to build them in ({error})") from None
    if owner != os.getuid():
        raise KernelsUnavailable(f"{folder} belongs to another user")
    return folder


def check_loads(path: Path | str) -> None:
    """Raise KernelsUnavailable if a library cannot be loaded, as from a disk mounted noexec."""
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelsUnavailable(f"the kernels cannot be loaded ({error})") from None


def sources() -> list[Path]:
    """The C++ files, in a fixed order."""
    return sorted(SOURCES.glob("*.cpp"))


def flags() -> tuple[str, ...]:
    """The compiler's flags on this kind of machine."""
    return (*FLAGS, *WIDE_FLAGS.get(platform.machine(), ()))


def _cache_key(compiler: list[str]) -> str:
    digest = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    for text in (*flags(), _version(compiler), platform.machine(), _processor()):
        digest.update(text.encode())
    return digest.hexdigest()[:16]


def _version(compiler: list[str]) -> str:
    try:
        done = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise KernelsUnavailable(f"the compiler {compiler[0]} does not run ({error})") from None
    return done.stdout.partition("\n")[0]


def _processor() -> str:
    """What -march=native depends on: model and instruction sets of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    keys = ("vendor_id", "model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.split("\t")[0].strip(" :") in keys}))


def _compile(compiler: list[str], target: Path) -> None:
    with atomic_path(target) as temporary:
        command = [*compiler, *flags(), *map(str, sources()), "-o", str(temporary)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
                env={**os.environ, "LC_ALL": "C"},  # the messages are searched for "error"
            )
        except subprocess.TimeoutExpired:
            raise KernelsUnavailable(f"{compiler[0]} took more than {TIMEOUT} s") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
            raise KernelsUnavailable(f"{compiler[0]} could not build the kernels ({lines[0].strip()})")
