"""User errors: one sentence on stderr and exit code 2, without a traceback."""

import difflib
import errno
import itertools
import os
import re
import secrets
import shutil
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from . import signals
from .commands import INSTALL_ALL, PACKAGE

EXIT_BUG = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, quota exceeded, file size limit
PERMISSION_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
QUOTED_ERRNO = re.compile(r"\(os error (\d{1,4})\)")
SHOWN_NAMES = 5
# Set in the processes of a distributed run: by the launchers and msrun, for a rank table, by mpirun.
RANK_VARIABLES = ("MS_ROLE", "RANK_ID", "OMPI_COMM_WORLD_RANK")
TRACEBACK = "--traceback"  # a flag of every command
# Also set by run_main for the processes that it starts.
TRACEBACK_VARIABLE = "BERT_COMPRESSION_TRACEBACK"
MAX_WORD, MAX_MESSAGE, MAX_CANDIDATES = 400, 2000, 1000
LONG_WORD = re.compile(rf"\S{{{MAX_WORD + 1},}}")
# Control characters, separators of lines, marks of text direction, halves of surrogate pairs.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

Shape = tuple[int, ...]


class UserError(Exception):
    """A problem that the user can fix: the message says what is wrong, where, and what to do.

    Messages quote files of unknown origin, so they are made fit to print (see `printable`).
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class WriteError(UserError):
    """A file or folder could not be written; the message says which and why."""


class Interrupted(Exception):
    """A stage stopped on a signal after saving its state; the message says how to resume."""

    def __init__(self, message: str, exit_code: int = EXIT_INTERRUPTED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def printable(text: str) -> str:
    """`text` on one line: control characters are escaped, long words and long texts cut in the middle."""
    text = CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
    return _cut(LONG_WORD.sub(lambda match: _cut(match[0], MAX_WORD), text), MAX_MESSAGE)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]}...({len(text):,} characters)...{text[-limit // 4 :]}"


def reason_of(error: BaseException) -> str:
    """An exception as part of a sentence: the first line of its message, else its type."""
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def system_error(error: BaseException) -> OSError | None:
    """The OSError that an exception is, or whose errno it quotes, as those of Rust libraries do."""
    if isinstance(error, OSError):
        return error
    quoted = QUOTED_ERRNO.search(str(error))
    return OSError(int(quoted[1]), os.strerror(int(quoted[1]))) if quoted else None


def describe_system_error(error: OSError) -> str:
    """Why the system refused, as part of a sentence."""
    if error.errno in DISK_FULL:
        return "no space left on the disk"
    if error.errno in PERMISSION_DENIED:
        return "permission denied"
    reason = reason_of(error)
    return reason[:1].lower() + reason[1:]


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """`; did you mean "x"?` for the closest of `known`, or an empty string when none is close."""
    # Keys of a file of unknown origin may be any number.
    by_key = {str(k).lower(): str(k) for k in itertools.islice(known, MAX_CANDIDATES)}
    close = difflib.get_close_matches(str(name).lower(), by_key, n=1, cutoff=0.5)
    return f'; did you mean "{by_key[close[0]]}"?' if close else ""


def join_names(names: Sequence[str], limit: int) -> str:
    """The first `limit` names separated by commas, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(printable, names[:limit])) + more


def describe_mismatch(actual: Mapping[str, Shape], expected: Mapping[str, Shape]) -> str:
    """How the weights `actual` {name: shape} differ from those `expected`; empty when they match.

    Lists missing names, unexpected names (with the closest missing one, or the flag that ignores them where
    nothing else differs) and wrong shapes.
    """
    missing = sorted(set(expected) - set(actual))
    unexpected = sorted(set(actual) - set(expected))
    wrong_shapes = [
        f"{name} {actual[name]} instead of {shape}"
        for name, shape in sorted(expected.items())
        if name in actual and actual[name] != shape
    ]
    suggestion = did_you_mean(unexpected[0], missing) if unexpected else ""
    if unexpected and not missing and not wrong_shapes:
        suggestion = "; --ignore_unexpected PATTERN reads the file without them"
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
    """Call `main()` as the whole program and turn its outcome into an exit code: 0, 1, 2, or 128 + a signal.

    Errors are one sentence on stderr; --traceback adds the traceback.
    """
    if TRACEBACK in sys.argv:
        sys.argv.remove(TRACEBACK)
        os.environ[TRACEBACK_VARIABLE] = "1"
    # MindSpore reads its log level on import; its warnings are about graphs and do not help users.
    os.environ.setdefault("GLOG_v", "3")
    # OpenMP also reads its setting once: busy-waiting threads take cores from working ones.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # MindSpore would choose protobuf's Python parser, for checkpoints of many gigabytes; it takes eight times
    # as long to read TFRecords.
    os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "upb")
    # MindSpore writes a graph that it could not compile to a file, by default below the working folder.
    graphs = os.path.join(os.environ.get("TMPDIR") or "/tmp", f"mindspore-{secrets.token_hex(8)}")
    os.environ.setdefault("MS_OM_PATH", graphs)
    try:
        _run_and_flush(main)
        signals.ignore_signals()
    except BrokenPipeError:
        # The reader of the output (head, less) has exited: not an error of this program.
        sys.stdout = None
        sys.exit(EXIT_INTERRUPTED)
    except (Exception, KeyboardInterrupt) as error:
        shown = isinstance(error, Exception) and not isinstance(error, Interrupted)
        if shown and os.environ.get(TRACEBACK_VARIABLE):
            traceback.print_exception(error)
        message, code = _outcome(error) or (_describe_bug(error), EXIT_BUG)
        signals.ignore_signals()
        print(message, file=sys.stderr, flush=True)
        if code in (EXIT_USER_ERROR, EXIT_BUG) and any(name in os.environ for name in RANK_VARIABLES):
            # MindSpore would wait for the other ranks, which wait for this one.
            sys.stdout.flush()
            os._exit(code)
        sys.exit(code)
    finally:
        if not os.environ.get(TRACEBACK_VARIABLE):
            shutil.rmtree(graphs, ignore_errors=True)


def _outcome(error: BaseException) -> tuple[str, int] | None:
    """(message, exit code) of an exception that is no bug of this program, else None."""
    if isinstance(error, UserError):
        return f"error: {error}", EXIT_USER_ERROR
    if isinstance(error, Interrupted):
        return str(error), signals.exit_code(error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", signals.exit_code(EXIT_INTERRUPTED)
    if isinstance(error, ModuleNotFoundError) and (error.name or PACKAGE).partition(".")[0] != PACKAGE:
        return f"error: {error.name} is not installed; {INSTALL_ALL}", EXIT_USER_ERROR
    if isinstance(error, UnicodeEncodeError) and error.encoding.lower().replace("-", "") != "utf8":
        text = ascii(error.object[error.start : error.end])
        reason = f"cannot be written as {error.encoding}; set PYTHONIOENCODING=utf-8"
        return f"error: {text} {reason}", EXIT_USER_ERROR
    refused = system_error(error)
    if refused is not None:
        problem, words = describe_system_error(refused), reason_of(refused)
        target = f" for {refused.filename}" if refused.filename else ""
        details = "" if words.lower() == problem.lower() else f" ({words})"
        return f"error: {printable(f'{problem}{target}{details}')}", EXIT_USER_ERROR
    return None


def _describe_bug(error: BaseException) -> str:
    """One sentence for an exception that nothing expected: what and where it is, and how to report it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {os.path.basename(frames[-1].filename)}, line {frames[-1].lineno}" if frames else ""
    problem = printable(f"unexpected {type(error).__name__}{place}: {reason_of(error)}")
    advice = (
        "report it with the traceback above and the command line"
        if os.environ.get(TRACEBACK_VARIABLE)
        else f"run the command again with {TRACEBACK} and report what it prints"
    )
    return f"error: {problem}; this may be a bug: {advice}"


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
