"""Compile the C++ kernels on first use into a cache keyed by sources, compiler, flags and CPU."""

import ctypes
import fcntl
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from ..digests import sha256
from ..errors import WriteError
from ..files import atomic_path
from .permissions import why_unsafe

LOG = logging.getLogger(__name__)
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
KEY_LETTERS = 16  # of the digests in the name of a library


class KernelsUnavailable(Exception):
    """The kernels cannot be built or loaded; the message is the reason, to complete a sentence."""


def library_path(folder: Path | str | None = None) -> Path:
    """Path of the compiled kernels; compiles them unless they are in the cache `folder`.

    The default is the user's cache. Of two concurrent processes one compiles and the other waits. A library
    that other users could have written, or whose content does not have the digest in its name, is not used
    but compiled anew. Raises KernelsUnavailable.
    """
    compiler = shlex.split(os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++") or "")
    if not compiler:
        raise KernelsUnavailable("no C++ compiler (g++) was found")
    folder = Path(folder) if folder else cache_folder()
    key = _cache_key(compiler)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return _find(folder, key) or _build(folder, key, compiler)
    except (OSError, WriteError) as error:
        raise KernelsUnavailable(f"the kernels could not be built in {folder} ({error})") from None


def _find(folder: Path, key: str) -> Path | None:
    """The intact library of a key in the cache; damaged ones are deleted: loaded, they end the process."""
    for path in sorted(folder.glob(f"kernels-{key}-*.so")):
        digest = path.stem.rpartition("-")[2]
        is_file = stat.S_ISREG(path.lstat().st_mode)
        if is_file and not why_unsafe(path) and sha256(path)[:KEY_LETTERS] == digest:
            return path
        path.unlink()
    return None


def _build(folder: Path, key: str, compiler: list[str]) -> Path:
    """Compile the library of a key; its final name holds its digest."""
    built = folder / f"kernels-{key}.so"
    _compile(compiler, built)
    built.chmod(0o755)
    return built.replace(folder / f"kernels-{key}-{sha256(built)[:KEY_LETTERS]}.so")


def cache_folder() -> Path:
    """The folder of compiled kernels: in the user's cache, or in the temporary folder if that cannot be used.

    It cannot where it is read-only, or where other users could replace files in it, which is logged. Raises
    KernelsUnavailable if neither can be used.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    # Without a home the ~ stays. MindSpore takes "library:kernel", so the path must not contain a colon.
    if not base.is_absolute() or ":" in str(base) or not _is_writable(base / CACHE_NAME):
        return _private_temporary_folder() / CACHE_NAME
    reason = why_unsafe(base / CACHE_NAME)
    if not reason:
        return base / CACHE_NAME
    folder = _private_temporary_folder() / CACHE_NAME
    _warn_once(f"kernels: not loaded from {base / CACHE_NAME} but from {folder}, since {reason}")
    return folder


@functools.cache
def _warn_once(text: str) -> None:
    LOG.warning("%s", text)


def _is_writable(folder: Path) -> bool:
    # Checks the permission and creates the folder: root may write anywhere but cannot create one in /proc.
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not os.access(existing, os.W_OK):
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.is_symlink() and folder.stat().st_uid == os.getuid():
            folder.chmod(0o700)  # earlier versions created it with the umask's mode
    except OSError:
        return False
    return True


def _private_temporary_folder() -> Path:
    """A folder of this user in the temporary one; its name can be guessed, so its owner is checked."""
    folder = Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        reason = why_unsafe(folder)
    except OSError as error:
        raise KernelsUnavailable(f"there is no folder to build them in ({error})") from None
    if reason:
        raise KernelsUnavailable(reason)
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
