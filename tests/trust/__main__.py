"""python -m tests.trust [PARTS]: inject faults into real commands; print the table of docs/reliability.md."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import injector
from .outcomes import Outcome, table

PARTS = ("saves", "errors", "files", "hostile", "launches", "kills", "interruptions", "soak")
NEEDS_INJECTOR = ("saves", "errors", "kills")
ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run the parts; returns the exit code: 1 where something failed."""
    parser = argparse.ArgumentParser(prog="bash scripts/run_trust.sh", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (default: 1)")
    parser.add_argument("--budget", type=float, default=1.0, help="share of the cases to try (default: 1)")
    parser.add_argument("--slice", action="store_true", help="the few cases that the default tests try")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--checkout", type=Path, default=ROOT, help="checkout under test (default: this one)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument(
        "--failures", type=int, default=20, help="failures to list of each part (default: 20)"
    )
    given = parser.parse_args()
    # A shell starts background jobs with SIGINT ignored, nohup with SIGHUP, and the cases would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {unknown.pop()}; there are {', '.join(PARTS)}")
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="trust-") as folder:
        library = injector.build(Path(folder))
        for part in given.parts or PARTS:
            if library is None and part in NEEDS_INJECTOR:
                print(f"{part}: skipped, there is no C compiler for the fault injection", flush=True)
                continue
            start = time.monotonic()
            own = list(run_part(part, Path(folder), library, given))
            found += own
            report(part, own, time.monotonic() - start, given)
    print(f"\n{table(found)}")
    return int(any(outcome.problem for outcome in found))


def run_part(part: str, folder: Path, library: Path | None, given: argparse.Namespace) -> Iterator[Outcome]:
    """Start the workers of a part and read their outcomes."""
    claims = folder / f"{part}-claims"
    claims.mkdir()
    workers = []
    for number in range(given.workers):
        own = folder / f"{part}-{number}"
        own.mkdir()
        command = [sys.executable, "-m", "tests.trust.worker", part, own, claims]
        command += [f"--seed={given.seed}", f"--budget={given.budget}", f"--only={given.only}"]
        command += ["--slice"] if given.slice else []
        workers.append((own, _start(command, given.checkout, own, library)))
    for own, worker in workers:
        code = worker.wait()
        file = own / "outcomes.jsonl"
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            yield Outcome(**json.loads(line))
        if code:
            said = (own / "worker.log").read_text(errors="replace").strip().splitlines()
            yield Outcome(part, "harness", "worker", f"exit code {code}: {said[-1] if said else ''}")


def _start(command: list, checkout: Path, folder: Path, library: Path | None) -> subprocess.Popen:
    paths = [str(checkout.resolve()), str(ROOT)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "GLOG_v": "3",
        "OMP_WAIT_POLICY": "passive",
        "PYTHON": sys.executable,
    }
    if library:
        environment["LD_PRELOAD"] = str(library)
    with open(folder / "worker.log", "wb") as log:
        return subprocess.Popen(
            list(map(str, command)),
            cwd=checkout,
            env=environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )


def report(part: str, found: list[Outcome], seconds: float, given: argparse.Namespace) -> None:
    """Print how many of a part passed, and the failures with the command that repeats each."""
    failed = [outcome for outcome in found if outcome.problem]
    print(f"{part}: {len(found) - len(failed):,} of {len(found):,} passed in {seconds:.0f} s", flush=True)
    for outcome in failed[: given.failures]:
        print(f"  {outcome.case}, {outcome.tried}: {outcome.problem}")
        print(f"    bash scripts/run_trust.sh {part} --seed {given.seed} --only '{outcome.case}'")
    if len(failed) > given.failures:
        print(f"  and {len(failed) - given.failures} more (--failures N lists more)")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
