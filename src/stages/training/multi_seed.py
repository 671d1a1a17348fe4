"""One training stage over several seeds: a process for each, then mean, standard deviation and the best.

Each run is identical to that of `--seed` alone, since it starts in a fresh process.
"""

import contextlib
import dataclasses
import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from types import FrameType

from ...commands import restart_command
from ...config.cli import Resolved
from ...config.distill_config import cache_root
from ...config.seeds_config import seeds_of
from ...config.train_config import TrainConfig
from ...distill.teacher_cache import caches_of, delete_caches
from ...errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, UserError
from ...files import leftovers_of, remove_leftovers, restore_replaced, set_aside, write_json, write_text
from ...json_reader import read_object
from ...output_dir import MARKER, check_output_dir, delete_owned, fresh_output_dir, is_unused
from ...signals import interruptible
from ...tasks import TaskSpec
from .run_folder import CONFIG_FILE, FREE_ON_RESUME, MEASURED, check_same_config, inputs_of, measured_in
from .run_folder import WRITTEN as RUN_FILES
from .seed_summary import (
    SPEEDS,
    Result,
    check_comparable,
    format_summary,
    measured_task,
    paired,
    read_summary,
    summary,
)

LOG = logging.getLogger(__name__)
SEEDS_FILE, TABLE_FILE = "seeds.json", "seeds.txt"
WRITTEN = (SEEDS_FILE, TABLE_FILE, *(f"seed_[0-9]*/{file}" for file in (MARKER, *RUN_FILES)))
THROUGHPUT = re.compile(r"^throughput: ([\d.]+) examples/s, (\d+) real tokens/s", re.MULTILINE)
# Flags that are set for each run.
RUN_FLAGS = ("seed", "seeds", "seeds_against", "output_dir", *FREE_ON_RESUME)
# Forwarded to the run: the signals that it handles, and the end of its terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
WAIT_SECONDS = 1.0
# Exit codes of runs that printed the reason.
EXPLAINED = (EXIT_USER_ERROR, *(128 + number for number in SIGNALS))


@dataclasses.dataclass(frozen=True)
class SeedRuns:
    """A stage to repeat: its name, what starts it in Python, its command line, task and config."""

    stage: str
    start: Sequence[str]
    arguments: list[str]
    task: TaskSpec
    config: TrainConfig

    @property
    def folder(self) -> Path:
        """The folder of the runs, each in seed_<seed>/."""
        return Path(self.config.output_dir or f"output/{self.stage}_{self.task.name}_seeds")

    def folder_of(self, seed: int) -> Path:
        """The output folder of one run."""
        return self.folder / f"seed_{seed}"

    def command(self, seed: int) -> list[str]:
        """The command line of one run: the user's, then the run's own flags, which override it."""
        folder = self.folder_of(seed)
        own = {
            "seed": seed,
            "seeds": "",
            "seeds_against": "",
            "output_dir": folder,
            "overwrite_output_dir": "false",
            "resume": str((folder / CONFIG_FILE).is_file()).lower(),
        }
        if hasattr(self.config, "teacher_cache_dir"):
            # A teacher's outputs do not depend on the seed: all runs share the cache of a single run.
            own["teacher_cache_dir"] = cache_root(self.config, self.folder)
            own["keep_teacher_cache"] = "true"
        flags = [f"--{name}={value}" for name, value in own.items()]
        return [sys.executable, *self.start, *self.arguments, *flags]


def repeat(
    stage: str, start: Sequence[str], argv: Sequence[str] | None, task: TaskSpec, resolved: Resolved
) -> Result:
    """Run a stage with the command line `argv` (None: this process's) once for each of --seeds.

    `start` are the arguments of Python that start the stage: a script, or `-m` and a module.

    Prints a table and writes it to seeds.txt and seeds.json; returns the content of the latter. Raises
    UserError before the first run, SystemExit with the exit code of a run that failed.
    """
    config = resolved.config
    runs = SeedRuns(stage, start, list(sys.argv[1:] if argv is None else argv), task, config)
    seeds, other = seeds_of(config.seeds), None
    if config.seeds_against:
        file = Path(config.seeds_against) / SEEDS_FILE
        other = read_summary(file)
        check_comparable(other, file, measured_task(task, [other["metric"]]), seeds)
    results = _finished(runs, seeds) if config.resume else {}
    with interruptible():
        if not config.resume:
            _make_room(runs)
        try:
            for place, seed in enumerate(seeds, 1):
                known = " is finished, skipped" if seed in results else ""
                print(f"== seed {seed} ({place} of {len(seeds)}): {runs.folder_of(seed)}{known}", flush=True)
                if seed not in results:
                    _run(runs, seed, next(iter(results), None))
                    results[seed] = _result(runs, seed)
                    _write(runs, summary(stage, task, results))
                if other:  # only an evaluation tells whether its rows have labels
                    check_comparable(other, file, measured_task(task, results[seed]), seeds)
        finally:
            _settle(runs.folder)
    result = summary(stage, task, {seed: results[seed] for seed in seeds})
    _write(runs, result)
    if other:
        result["against"] = paired(result, other, config.seeds_against)
        _write(runs, result)
    print(f"\n{format_summary(result)}")
    if hasattr(config, "keep_teacher_cache") and not config.keep_teacher_cache:
        root = cache_root(config, runs.folder)
        try:
            delete_caches(cache for seed in seeds for cache in caches_of(root, runs.folder_of(seed)))
        except OSError as error:
            LOG.warning("a teacher cache in %s cannot be deleted: %s", root, error)
    return result


def _finished(runs: SeedRuns, seeds: Sequence[int]) -> dict[int, Result]:
    """{seed: result} of the finished runs, once all started runs are known to have the same flags."""
    begun = [seed for seed in seeds if (runs.folder_of(seed) / CONFIG_FILE).is_file()]
    if not begun:
        raise UserError(f"--resume: {runs.folder} holds none of the runs {runs.config.seeds}")
    for seed in begun:
        check_same_config(runs.folder_of(seed), runs.config, RUN_FLAGS)
    file = runs.folder / SEEDS_FILE
    known = read_summary(file)["seeds"] if file.is_file() else {}
    requested = [str(seed) for seed in seeds]
    left_out = [seed for seed in known if seed not in requested and runs.folder_of(seed).is_dir()]
    if left_out:
        raise UserError(
            f"--resume: {file} holds the seeds {', '.join(known)}, and --seeds {','.join(requested)} omits "
            f"{left_out[0]}; name all of them (more may follow), or delete {runs.folder_of(left_out[0])}"
        )
    return {seed: known[str(seed)] for seed in begun if str(seed) in known}


def _make_room(runs: SeedRuns) -> None:
    """Set aside what --overwrite_output_dir deletes: a refused first run restores it."""
    folder, config = runs.folder, runs.config
    if leftovers_of(Path(os.path.realpath(folder))):  # of a killed command
        _settle(folder)
    check_output_dir(folder, config.overwrite_output_dir, [*inputs_of(config), config.seeds_against])
    if not is_unused(folder):
        set_aside(folder)
    fresh_output_dir(folder, written=WRITTEN)


def _settle(folder: Path) -> None:
    """Restore what was set aside where no run wrote anything, else delete it."""
    folder = Path(os.path.realpath(folder))
    if folder.is_dir() and is_unused(folder):
        delete_owned(folder)
    restore_replaced(folder)
    remove_leftovers(folder, delete_owned)


def _run(runs: SeedRuns, seed: int, finished: int | None) -> None:
    # An interrupted run prints this command as the one to resume, not its own.
    own = {"RESUME_COMMAND": os.environ.get("RESUME_COMMAND") or shlex.join(restart_command())}
    if finished is not None:  # what the first run has measured is chosen for all of them
        own[MEASURED] = json.dumps(measured_in(runs.folder_of(finished)))
    code = run_to_end(runs.command(seed), {**os.environ, **own})
    if code and code not in EXPLAINED:
        where = f"seed {seed} ended with exit code {code}; --resume continues from its last checkpoint"
        print(where, file=sys.stderr)
    if code:
        raise SystemExit(code)


def run_to_end(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command, forwarding signals to it. Returns its exit code, 128 + N where signal N ended it."""
    process: subprocess.Popen | None = None
    early: list[int] = []
    received: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    forwarded = [number for number in SIGNALS if not (nohup and number == signal.SIGHUP)]
    before = {number: signal.signal(number, forward) for number in forwarded}
    try:
        # A session of its own: a terminal's Ctrl+C reaches it once, through this process.
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        for number in early:
            process.send_signal(number)
        code: int | None = None
        while code is None:
            # A signal that arrives just before a blocking wait would be handled only when the child ends.
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=WAIT_SECONDS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    code = code if code >= 0 else 128 - code
    # While a graph runs MindSpore turns SIGINT into SIGTERM.
    return EXIT_INTERRUPTED if received[:1] == [signal.SIGINT] and code == 128 + signal.SIGTERM else code


def _result(runs: SeedRuns, seed: int) -> Result:
    """The metrics and folder of a run's best model, and the speed at the end of its log."""
    folder = runs.folder_of(seed) / "best"
    if not folder.is_dir():
        raise UserError(
            f"seed {seed} was never evaluated: there is no {folder}; evaluate with --do_eval true"
        )
    log = runs.folder_of(seed) / "log.txt"
    speeds = THROUGHPUT.findall(log.read_text(encoding="utf-8")) if log.is_file() else []
    speed = dict(zip(SPEEDS, map(float, speeds[-1]), strict=True)) if speeds else {}
    return {**read_object(folder / "metrics.json", {str: Real}), **speed, "folder": str(folder)}


def _write(runs: SeedRuns, result: Result) -> None:
    write_json(runs.folder / SEEDS_FILE, result)
    write_text(runs.folder / TABLE_FILE, format_summary(result) + "\n")
