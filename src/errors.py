"""User errors: one sentence on stderr and exit code 2, without a traceback."""

import difflib
import errno
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from . import signals
from .commands import INSTALL_ALL, PACKAGE

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, quota exceeded, file size limit
PERMISSION_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
SHOWN_NAMES = 5

Shape = tuple[int, ...]


class UserError(Exception):
    """A problem that the user can fix: the message says what is wrong, where, and what to do."""


class Interrupted(Exception):
    """A stage stopped on a signal after saving its state; the message says how to resume."""

    def __init__(self, message: str, exit_code: int = EXIT_INTERRUPTED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def is_disk_full(error: Exception) -> bool:
    """Whether an exception means that a file could not grow; Rust libraries put the errno into the text."""
    if isinstance(error, OSError):
        return error.errno in DISK_FULL
    return any(f"(os error {number})" in str(error) for number in DISK_FULL)


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """`; did you mean "x"?` for the closest of `known`, or an empty string when none is close."""
    by_key = {str(k).lower(): str(k) for k in known}
    close = difflib.get_close_matches(str(name).lower(), by_key, n=1, cutoff=0.5)
    return f'; did you mean "{by_key[close[0]]}"?' if close else ""


def join_names(names: Sequence[str], limit: int) -> str:
    """The first `limit` names separated by commas, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def describe_mismatch(actual: Mapping[str, Shape], expected: Mapping[str, Shape]) -> str:
    """How the weights `actual` {name: shape} differ from those `expected`; empty when they match.

    Lists missing names, unexpected names (with the closest missing one) and wrong shapes.
    """
    missing = sorted(set(expected) - set(actual))
    unexpected = sorted(set(actual) - set(expected))
    wrong_shapes = [
        f"{name} {actual[name]} instead of {shape}"
        for name, shape in sorted(expected.items())
        if name in actual and actual[name] != shape
    ]
    suggestion = did_you_mean(unexpected[0], missing) if unexpected else ""
    differences: Collection[tuple[list[str], str, str]] = (
        (missing, "weights are missing", ""),
        (unexpected, "are unexpected", suggestion),
        (wrong_shapes, "have another shape", ""),
    )
    return "; ".join(
        f"{len(names)} {what} ({join_names(names, SHOWN_NAMES)}{suggestion})"
        for names, what, suggestion in differences
        if names
    )


def run_main(main: Callable[[], object]) -> None:
    """Call `main()` as the whole program; the exit code is 0, 2, or 128 + the number of a signal."""
    # MindSpore reads its log level on import; its warnings are about graphs and do not help users.
    os.environ.setdefault("GLOG_v", "3")
    # OpenMP also reads its setting once: busy-waiting threads take cores from working ones.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        _run_and_flush(main)
    except UserError as error:
        sys.exit(_print_error(f"error: {error}", EXIT_USER_ERROR))
    except Interrupted as stop:
        sys.exit(_print_error(str(stop), signals.exit_code(stop.exit_code)))
    except KeyboardInterrupt:
        sys.exit(_print_error("interrupted", signals.exit_code(EXIT_INTERRUPTED)))
    except ModuleNotFoundError as error:
        sys.exit(_print_error(_not_installed(error), EXIT_USER_ERROR))
    except BrokenPipeError:
        # The reader of the output (head, less) has exited: not an error of this program.
        sys.stdout = None
        sys.exit(EXIT_INTERRUPTED)
    except UnicodeEncodeError as error:
        if error.encoding.lower().replace("-", "") == "utf8":
            raise
        text = ascii(error.object[error.start : error.end])
        reason = f"cannot be written as {error.encoding}; set PYTHONIOENCODING=utf-8"
        sys.exit(_print_error(f"error: {text} {reason}", EXIT_USER_ERROR))
    except OSError as error:
        if not is_disk_full(error) and error.errno not in PERMISSION_DENIED:
            raise
        problem = "no space left on the disk" if is_disk_full(error) else "permission denied"
        target = f" for {error.filename}" if error.filename else ""
        sys.exit(_print_error(f"error: {problem}{target} ({error.strerror})", EXIT_USER_ERROR))


def _run_and_flush(main: Callable[[], object]) -> None:
    """Call `main` and flush its output while errors can still be reported."""
    try:
        main()
    except SystemExit:  # from --help
        print(end="", flush=True)
        raise
    except Exception as error:
        # MindSpore turns a KeyboardInterrupt in a compilation into an exception of its own.
        if signals.was_raised() and not isinstance(error, Interrupted):
            raise KeyboardInterrupt from None
        raise
    print(end="", flush=True)


def _not_installed(error: ModuleNotFoundError) -> str:
    module = (error.name or PACKAGE).partition(".")[0]
    if module == PACKAGE:
        raise error
    return f"error: {module} is not installed; {INSTALL_ALL}"


def _print_error(message: str, code: int) -> int:
    print(message, file=sys.stderr, flush=True)
    return code
