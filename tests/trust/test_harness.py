"""The harness itself: a fault is where it was asked for, and what is wrong is found."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trust import injector
from tests.trust.forks import Ended
from tests.trust.outcomes import Outcome, Settings, is_hidden, table

ROOT = Path(__file__).resolve().parents[2]
# Seven calls: open, write, fsync, mkdir, rename, unlink (of the other file), rmdir.
PROGRAM = """
import os
file = os.open("a", os.O_WRONLY | os.O_CREAT)
os.write(file, b"0123456789")
os.fsync(file)
os.mkdir("folder")
os.rename("a", "b")
os.unlink("other")
os.rmdir("folder")
open("/dev/null", "w").write("not below the folder")
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    built = injector.build(tmp_path_factory.mktemp("library"))
    return built or pytest.skip("needs a C compiler")


@pytest.fixture
def run(library, tmp_path):
    (tmp_path / "other").touch()

    def run(call=0, error=injector.KILL):
        environment = {"LD_PRELOAD": str(library), **injector.variables(tmp_path, call, error)}
        trace = tmp_path.with_name("trace")
        trace.unlink(missing_ok=True)
        environment["FAULT_TRACE"] = str(trace)
        command = [sys.executable, "-S", "-c", PROGRAM]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return done, [line.split()[1].removesuffix("64") for line in trace.read_text().splitlines()]

    return run


def test_every_call_is_counted(run):
    done, calls = run()
    assert done.returncode == 0, done.stderr
    assert calls == ["open", "write", "fsync", "mkdir", "rename", "unlink", "rmdir"]


def test_a_killed_write_is_half_done(run, tmp_path):
    done, calls = run(2)
    assert done.returncode == -9 and calls == ["open", "write"]
    assert (tmp_path / "a").read_bytes() == b"01234"


@pytest.mark.parametrize("call, left", [(5, {"a", "folder", "other"}), (6, {"b", "folder", "other"})])
def test_a_kill_comes_before_the_call(run, tmp_path, call, left):
    assert run(call)[0].returncode == -9
    assert {path.name for path in tmp_path.iterdir()} == left


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES])
def test_an_error_of_the_system(run, error):
    done, calls = run(4, error)
    assert calls[-1] == "mkdir" and f"[Errno {error}]" in done.stderr


@pytest.mark.parametrize(
    "code, err, problem",
    [
        (2, "error: no such file\n", None),
        (0, "", None),
        (None, "", "hangs"),
        (-11, "", "SIGSEGV"),
        (1, 'Traceback (most recent call last):\n  File "a"\nKeyError: 1\n', "traceback: KeyError"),
        (1, "", "without one sentence"),
        (2, "error: one\nerror: two\n", "without one sentence"),
        (2, "error: one\n" + "more\n" * 9, "10 lines"),
    ],
)
def test_what_is_wrong_with_an_end(code, err, problem):
    found = Ended(code, "", err).problem()
    assert found is None if problem is None else problem in found


def test_the_table_counts():
    found = [Outcome("kills", "a", "1"), Outcome("kills", "a", "2", "lost"), Outcome("soak", "b", "1")]
    assert "unbroken run | 1 of 2 |" in table(found) and "left behind | 1 of 1 |" in table(found)


def test_draws_depend_on_the_seed_and_the_names():
    one, two = (Settings(Path(), Path(), seed).draw("saves", 1).random() for seed in (1, 2))
    assert one != two and one == Settings(Path(), Path(), 1).draw("saves", 1).random()


@pytest.mark.parametrize(
    "name, hidden",
    [
        (".best.abcd1234.part/config.json", True),
        (".a.json.abcd1234.old", True),
        ("best/config.json", False),
        (".bert_compression.json", False),
    ],
)
def test_temporary_names(name, hidden):
    assert is_hidden(name) is hidden
