"""Launch faults and rank tables: dry runs, fake and real ranks on the CPU."""

import copy
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests import tiny

from ..forks import Ended, forked
from ..inputs import Inputs
from ..outcomes import Case, Settings
from ..sessions import outputs, start
from ..stages import STAGES

FIGURE = "launches"
SECONDS = 300
SLICE = ("device_ip missing", "a second server without devices", "version 2.0", "no number of processes")
JOB = """
import os, signal, sys, time
def save(number, frame):
    sys.exit(128 + number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, save)
print("started", flush=True)
code = os.environ.get("FAIL_" + os.environ.get("RANK_ID", ""))
if code:
    os.kill(os.getpid(), 9) if code == "9" else sys.exit(int(code))
time.sleep(float(os.environ.get("SECONDS_TO_RUN", "0")))
"""
TWO = {
    "version": "1.0",
    "server_count": "1",
    "server_list": [
        {
            "server_id": "10.155.111.140",
            "device": [
                {"device_id": "0", "device_ip": "192.1.27.6", "rank_id": "0"},
                {"device_id": "1", "device_ip": "192.2.27.6", "rank_id": "1"},
            ],
            "host_nic_ip": "reserve",
        }
    ],
    "status": "completed",
}


def cases(settings: Settings) -> Iterator[Case]:
    """Rank tables, launchers' faults, then runs of two ranks."""
    for name, change in TABLES.items():
        if not settings.slice or name in SLICE:
            yield Case(f"rank table: {name}", partial(_table, settings, change))
    if not settings.slice:
        yield Case("rank table: intact", partial(_intact, settings))
    for name, check in LAUNCHES.items():
        if not settings.slice or name in SLICE:
            yield Case(f"launcher: {name}", partial(check, settings))


def device(table: dict, number: int = 0) -> dict:
    """A device of a table."""
    return table["server_list"][0]["device"][number]


def changed(number: int = 0, **values: object) -> Callable[[dict], None]:
    """Changes values of a device."""
    return lambda table: device(table, number).update(values)


def without(name: str) -> Callable[[dict], None]:
    """Removes a key of a device."""
    return lambda table: device(table).pop(name)


def server(**values: object) -> Callable[[dict], None]:
    """Adds a server, or changes the first with `first`."""
    return lambda table: table["server_list"].append({"server_id": "10.0.0.9", "device": [], **values})


TABLES: dict[str, Callable[[dict], object]] = {
    "device_id 10^30": changed(device_id=str(10**30)),
    "device_id 99": changed(device_id="99"),
    "device_id -1": changed(device_id="-1"),
    "device_id missing": without("device_id"),
    "device_id a word": changed(device_id="first"),
    "device_id twice": changed(1, device_id="0"),
    "device_ip missing": without("device_ip"),
    "device_ip empty": changed(device_ip=""),
    "device_ip a list": changed(device_ip=["192.1.27.6"]),
    "device_ip a number": changed(device_ip=5),
    "device_ip 300.1.1.1": changed(device_ip="300.1.1.1"),
    "device_ip a name": changed(device_ip="localhost"),
    "device_ip twice": changed(1, device_ip="192.1.27.6"),
    "rank_id missing": without("rank_id"),
    "rank_id 5": changed(rank_id="5"),
    "rank_id twice": changed(1, rank_id="0"),
    "rank_id 0.5": changed(rank_id=0.5),
    "rank_id true": changed(1, rank_id=True),
    "rank_id of 5,000 digits": changed(rank_id="9" * 5000),
    "version 2.0": lambda table: table.update(version="2.0"),
    "status incomplete": lambda table: table.update(status="initializing"),
    "status missing": lambda table: table.pop("status"),
    "no servers": lambda table: table.update(server_list=[]),
    "servers a word": lambda table: table.update(server_list="all"),
    "a second server without devices": server(),
    "a server twice": server(server_id="10.155.111.140"),
    "a server without a name": lambda table: table["server_list"][0].pop("server_id"),
    "devices null": lambda table: table["server_list"][0].update(device=None),
    "devices a word": lambda table: table["server_list"][0].update(device="01"),
    "one device for two": lambda table: table["server_list"][0]["device"].pop(),
}


def _checked(settings: Settings, table: dict) -> Ended:
    from src.tools.rank_table import main

    file = settings.folder / "hccl.json"
    file.write_text(json.dumps(table))
    return forked(lambda: main(tiny.flags(rank_table=file, device_num=2)))


def _table(settings: Settings, change: Callable[[dict], object]) -> Iterator[tuple[str, str | None]]:
    table = copy.deepcopy(TWO)
    change(table)
    ended = _checked(settings, table)
    yield "refused", ended.problem() or (None if ended.code == 2 else "it is accepted")


def _intact(settings: Settings) -> Iterator[tuple[str, str | None]]:
    ended = _checked(settings, TWO)
    yield "accepted", None if (ended.code, ended.out) == (0, "0 0\n1 1\n") else str(ended)


class Launch:
    """launch.sh in a folder of its own, with a fake job."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.folder = settings.folder / f"launch-{name}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / "job.py").write_text(JOB)
        (self.folder / "two.json").write_text(json.dumps(TWO))
        self.script = Path.cwd() / "scripts" / "launch.sh"

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen:
        """Start it in a session of its own."""
        command = ["bash", self.script, *arguments]
        return start(command, self.folder, **{"BIND_CORES": "false", **environment})

    def problem(
        self, process: subprocess.Popen, code: int | None, words: str = "", lines: int = 0
    ) -> str | None:
        """What is wrong with its end: another exit code, other words, more lines on stderr."""
        ended = outputs(process, SECONDS)
        if ended is None:
            return "it does not end"
        out, err = ended
        said = (err.strip() or out.strip()).splitlines()
        if process.returncode != code:
            return f"exit code {process.returncode} instead of {code}: {said[-1][:200] if said else ''}"
        if words not in err + out:
            return f'"{words}" is not said: {said[-1][:200] if said else ""}'
        if lines and len(err.strip().splitlines()) > lines:
            return f"{len(err.strip().splitlines())} lines: {err.strip()[:300]}"
        return self.processes()

    def processes(self) -> str | None:
        """Whether processes of the folder are left."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            left = [path for path in Path("/proc").glob("[0-9]*/cwd") if _leads_to(path, self.folder)]
            if not left:
                return None
            time.sleep(0.1)
        return f"{len(left)} processes are left"


def _leads_to(link: Path, folder: Path) -> bool:
    try:
        return Path(os.readlink(link)) == folder
    except OSError:
        return False


def _arguments(*arguments: str, words: str = "error: ") -> Callable[[Settings], Iterator[tuple]]:
    def check(settings: Settings) -> Iterator[tuple[str, str | None]]:
        launch = Launch(settings, "arguments")
        yield " ".join(arguments)[:80], launch.problem(launch.start(*arguments), 2, words, lines=1)

    return check


def _failing_rank(code: str, expected: int) -> Callable[[Settings], Iterator[tuple]]:
    def check(settings: Settings) -> Iterator[tuple[str, str | None]]:
        launch = Launch(settings, "failing")
        arguments = ("ascend", 2, "two.json", "job.py")
        process = launch.start(*arguments, SECONDS_TO_RUN="1000", FAIL_1=code)
        yield f"rank 1 ends with {code}", launch.problem(process, expected, "LOG1 ended with exit code")

    return check


def _signal(number: int) -> Callable[[Settings], Iterator[tuple]]:
    def check(settings: Settings) -> Iterator[tuple[str, str | None]]:
        for arguments in (("standalone", "job.py"), ("ascend", 2, "two.json", "job.py")):
            launch = Launch(settings, "signal")
            process = launch.start(*arguments, SECONDS_TO_RUN="1000")
            logs = ["log.txt"] if arguments[0] == "standalone" else ["LOG0/log.txt", "LOG1/log.txt"]
            while not all((launch.folder / log).exists() for log in logs) or not all(
                "started" in (launch.folder / log).read_text() for log in logs
            ):
                time.sleep(0.05)
            process.send_signal(number)
            yield f"{arguments[0]}, {signal.Signals(number).name}", launch.problem(process, 128 + number)

    return check


def _two_ranks(settings: Settings, launch: Launch, **environment: str) -> subprocess.Popen:
    inputs = Inputs(settings.folder / "inputs")
    flags = STAGES[-1].flags(inputs, launch.folder / "out", 1)
    script = Path.cwd() / "run_task_distill.py"
    return launch.start("cpu", 2, script, *flags, **environment)


def _busy_port(settings: Settings) -> Iterator[tuple[str, str | None]]:
    launch = Launch(settings, "port")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        yield (
            "MASTER_PORT in use",
            launch.problem(_two_ranks(settings, launch, MASTER_PORT=port), 2, port, lines=1),
        )


def _wrong_port(settings: Settings) -> Iterator[tuple[str, str | None]]:
    for port in ("0", "99999", "http", "-5"):
        launch = Launch(settings, "port")
        yield (
            f"MASTER_PORT {port}",
            launch.problem(_two_ranks(settings, launch, MASTER_PORT=port), 2, lines=1),
        )


def _no_records(settings: Settings) -> Iterator[tuple[str, str | None]]:
    launch = Launch(settings, "records")
    inputs = Inputs(settings.folder / "inputs")
    flags = [*STAGES[-1].flags(inputs, launch.folder / "out", 1), "--train_data_dir=none"]
    process = launch.start("cpu", 2, Path.cwd() / "run_task_distill.py", *flags, MASTER_PORT=tiny.free_port())
    yield "records missing", launch.problem(process, 2, "none does not exist")


def _killed_rank(settings: Settings) -> Iterator[tuple[str, str | None]]:
    launch = Launch(settings, "killed")
    process = _two_ranks(settings, launch, MASTER_PORT=tiny.free_port())
    log = launch.folder / "LOG1" / "log.txt"
    while process.poll() is None and not (log.exists() and "two ranks" in log.read_text()):
        found = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _is_rank(path, launch.folder)]
        if found:
            time.sleep(1)
            os.kill(int(found[-1].parent.name), signal.SIGKILL)
            break
        time.sleep(0.05)
    yield "a rank killed", launch.problem(process, 137, "ended with exit code 137")


def _is_rank(path: Path, folder: Path) -> bool:
    try:
        words = path.read_bytes().split(b"\0")
    except OSError:
        return False
    return (
        b"run_task_distill.py" in b" ".join(words)
        and str(folder).encode() in b" ".join(words)
        and b"-u" in words
    )


def _no_mpirun(settings: Settings) -> Iterator[tuple[str, str | None]]:
    launch = Launch(settings, "mpirun")
    tools = launch.folder / "tools"
    tools.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for tool in Path(folder).glob("*") if Path(folder).is_dir() else ():
            if tool.name != "mpirun" and not (tools / tool.name).exists():
                (tools / tool.name).symlink_to(tool)
    process = launch.start("gpu", 2, "job.py", PATH=str(tools))
    yield "mpirun missing", launch.problem(process, 2, "install", lines=1)


LAUNCHES: dict[str, Callable[[Settings], Iterator[tuple]]] = {
    "no number of processes": _arguments("cpu", "job.py"),
    "0 processes": _arguments("cpu", "0", "job.py"),
    "an unknown way": _arguments("tpu", "2", "job.py"),
    "no script": _arguments("cpu", "2"),
    "a script that does not exist": _arguments("standalone", "none.py"),
    "no rank table": _arguments("ascend", "2", "job.py"),
    "a rank table that does not exist": _arguments("ascend", "2", "none.json", "job.py"),
    "a rank table of another size": _arguments("ascend", "3", "two.json", "job.py"),
    "an unset flag": _arguments("standalone", "job.py", "--train_data_dir", "<unset>"),
    "a module that does not exist": _arguments("standalone", "-m", "src.tools.none"),
    "a failing rank": _failing_rank("7", 7),
    "a killed rank": _failing_rank("9", 137),
    "SIGINT": _signal(signal.SIGINT),
    "SIGTERM": _signal(signal.SIGTERM),
    "SIGHUP": _signal(signal.SIGHUP),
    "a busy port": _busy_port,
    "ports that are none": _wrong_port,
    "missing records": _no_records,
    "a killed rank of a run": _killed_rank,
    "no mpirun": _no_mpirun,
}
