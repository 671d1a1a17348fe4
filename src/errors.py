"""Errors that a user can mend: one sentence on stderr, exit code 2, no traceback."""

import difflib
import errno
import os
import sys

from .commands import INSTALL_ALL, PACKAGE

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk full, quota used up, file larger than allowed
SHOWN = 5  # weights named in a message; the rest are counted
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class UserError(Exception):
    """Something outside the program is wrong: the message says what, where, and what to do about it."""


class Interrupted(Exception):
    """A stage stopped on Ctrl+C after it had saved its state; the message says how to go on."""


def is_no_room(error):
    """Whether an exception says that a file could not grow; libraries in Rust tell it in their text."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    return any(f"(os error {number})" in str(error) for number in NO_ROOM)


def did_you_mean(name, known):
    """`; did you mean "x"?` for the nearest of `known`, or an empty string when nothing is near."""
    by_key = {str(k).lower(): str(k) for k in known}
    near = difflib.get_close_matches(str(name).lower(), by_key, n=1, cutoff=0.5)
    return f'; did you mean "{by_key[near[0]]}"?' if near else ""


def listed(names, shown):
    """The first `shown` names with commas between; how many more there are is said."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def describe_mismatch(offered, expected):
    """What keeps weights `offered` {name: shape} from being those `expected`, in words; empty where nothing.

    The missing names, the unexpected ones (with the nearest missing one) and those of another shape.
    """
    missing = sorted(set(expected) - set(offered))
    unexpected = sorted(set(offered) - set(expected))
    misshapen = [
        f"{name} {offered[name]} instead of {shape}"
        for name, shape in sorted(expected.items())
        if name in offered and offered[name] != shape
    ]
    near = did_you_mean(unexpected[0], missing) if unexpected else ""
    told = (
        (missing, "weights are missing", ""),
        (unexpected, "are unexpected", near),
        (misshapen, "have another shape", ""),
    )
    return "; ".join(
        f"{len(names)} {what} ({listed(names, SHOWN)}{more})" for names, what, more in told if names
    )


def run_main(main):
    """Call `main()` as the whole program and turn its outcome into an exit code (0, 2 or 130)."""
    # MindSpore reads its log level when it is loaded; its warnings speak of graphs, not to users.
    os.environ.setdefault("GLOG_v", "3")
    # OpenMP too reads its wish once: threads that wait busily take the processor from those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        _to_the_last_line(main)
    except UserError as error:
        sys.exit(_say(f"error: {error}", EXIT_USER_ERROR))
    except Interrupted as stop:
        sys.exit(_say(str(stop), EXIT_INTERRUPTED))
    except KeyboardInterrupt:
        sys.exit(_say("interrupted", EXIT_INTERRUPTED))
    except ModuleNotFoundError as error:
        sys.exit(_say(_not_installed(error), EXIT_USER_ERROR))
    except BrokenPipeError:
        # The reader of our output (head, less) went away: not an error of this program.
        sys.stdout = None
        sys.exit(EXIT_INTERRUPTED)
    except UnicodeEncodeError as error:
        if error.encoding.lower().replace("-", "") == "utf8":
            raise
        text = ascii(error.object[error.start : error.end])
        where = f"cannot be written as {error.encoding}; set PYTHONIOENCODING=utf-8"
        sys.exit(_say(f"error: {text} {where}", EXIT_USER_ERROR))
    except OSError as error:
        if not is_no_room(error) and error.errno not in FORBIDDEN:
            raise
        what = "no room on the disk" if is_no_room(error) else "no right to read or write"
        place = f" for {error.filename}" if error.filename else ""
        sys.exit(_say(f"error: {what}{place} ({error.strerror})", EXIT_USER_ERROR))


def _to_the_last_line(main):
    """Call `main` and bring out what it printed: at the exit of Python it is too late for an error."""
    try:
        main()
    except SystemExit:  # of --help
        print(end="", flush=True)
        raise
    print(end="", flush=True)


def _not_installed(error):
    module = (error.name or PACKAGE).partition(".")[0]
    if module == PACKAGE:
        raise error
    return f"error: {module} is not installed; {INSTALL_ALL}"


def _say(message, code):
    print(message, file=sys.stderr, flush=True)
    return code
