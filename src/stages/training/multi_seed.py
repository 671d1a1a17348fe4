"""One training stage over several seeds: a process for each, then mean, spread and the best of them.

Each is the very run that `--seed` alone would have made, begun on clean memory.
"""

import dataclasses
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from ...commands import typed_again
from ...config.distill_config import FOLDER
from ...config.seeds_config import seeds_of
from ...errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, UserError
from ...files import read_json, write_json, write_text
from ...output_dir import MARKER, check_output_dir, delete_owned, fresh_output_dir, is_unused
from .run_folder import CONFIG_FILE, FREE_ON_RESUME, check_same_config, inputs_of
from .run_folder import WRITTEN as RUN_FILES
from .seed_summary import SPEEDS, check_comparable, paired, read_summary, summary, written

SEEDS_FILE, TABLE_FILE = "seeds.json", "seeds.txt"
WRITTEN = (SEEDS_FILE, TABLE_FILE, *(f"seed_[0-9]*/{file}" for file in (MARKER, *RUN_FILES)))
THROUGHPUT = re.compile(r"^throughput: ([\d.]+) examples/s, (\d+) real tokens/s", re.MULTILINE)
# Flags that each run gets from here.
OF_A_RUN = ("seed", "seeds", "seeds_against", "output_dir", *FREE_ON_RESUME)
# Forwarded to the run: the signals that it handles, and the end of its terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
EXPLAINED = (EXIT_USER_ERROR, EXIT_INTERRUPTED)  # codes of a run that has said why, and how to go on


@dataclasses.dataclass(frozen=True)
class Repeated:
    """A stage to repeat: its name, what starts it in Python, its command line, task and config."""

    stage: str
    start: Sequence[str]
    arguments: list
    task: object
    config: object

    @property
    def folder(self):
        """Where the runs go, each into seed_<seed>/."""
        return Path(self.config.output_dir or f"output/{self.stage}_{self.task.name}_seeds")

    def folder_of(self, seed):
        """The output folder of one run."""
        return self.folder / f"seed_{seed}"

    def command(self, seed):
        """The command line of one run: the user's, and after it, where it wins, what is the run's own."""
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
            # A teacher says the same whatever the seed: one cache, where a single run would have it.
            own["teacher_cache_dir"] = self.config.teacher_cache_dir or self.folder.parent / FOLDER
        flags = [f"--{name}={value}" for name, value in own.items()]
        return [sys.executable, *self.start, *self.arguments, *flags]


def repeat(stage, start, argv, task, resolved):
    """Run a stage with the command line `argv` (None: this process's) once for each of --seeds.

    `start` are the arguments of Python that start the stage: a script, or `-m` and a module.

    Prints a table and writes it to seeds.txt and seeds.json; returns what the latter holds. Raises UserError
    before anything runs for what is wrong here, SystemExit with the exit code of a run that failed.
    """
    config = resolved.config
    repeated = Repeated(stage, start, list(sys.argv[1:] if argv is None else argv), task, config)
    seeds, other = seeds_of(config.seeds), None
    if config.seeds_against:
        file = Path(config.seeds_against) / SEEDS_FILE
        other = read_summary(file)
        check_comparable(other, file, task, seeds)
    results = _finished(repeated, seeds) if config.resume else {}
    aside = None if config.resume else _make_room(repeated)
    try:
        for place, seed in enumerate(seeds, 1):
            known = " is finished, skipped" if seed in results else ""
            print(f"== seed {seed} ({place} of {len(seeds)}): {repeated.folder_of(seed)}{known}", flush=True)
            if seed not in results:
                _run(repeated, seed)
                results[seed] = _result(repeated, seed)
                _keep(repeated, summary(stage, task, results))
    finally:
        if not config.resume:
            _settle(repeated.folder, aside)
    result = summary(stage, task, {seed: results[seed] for seed in seeds})
    _keep(repeated, result)
    if other:
        result["against"] = paired(result, other, config.seeds_against)
        _keep(repeated, result)
    print(f"\n{written(result)}")
    return result


def _finished(repeated, seeds):
    """{seed: result} of the runs that have ended, after a check that all of them had the flags of now."""
    begun = [seed for seed in seeds if (repeated.folder_of(seed) / CONFIG_FILE).is_file()]
    if not begun:
        raise UserError(
            f"--resume: {repeated.folder} holds none of the runs {repeated.config.seeds} to go on with"
        )
    for seed in begun:
        check_same_config(repeated.folder_of(seed), repeated.config, OF_A_RUN)
    file = repeated.folder / SEEDS_FILE
    known = read_summary(file)["seeds"] if file.is_file() else {}
    asked = [str(seed) for seed in seeds]
    left_out = [seed for seed in known if seed not in asked and repeated.folder_of(seed).is_dir()]
    if left_out:
        raise UserError(
            f"--resume: {file} holds the seeds {', '.join(known)}, and --seeds {','.join(asked)} leaves out "
            f"{left_out[0]}; name all of them (more may follow), or delete {repeated.folder_of(left_out[0])}"
        )
    return {seed: known[str(seed)] for seed in begun if str(seed) in known}


def _make_room(repeated):
    """Move what --overwrite_output_dir will delete aside: a first run that is refused must not cost it."""
    folder, config = repeated.folder, repeated.config
    inputs = [*inputs_of(config), config.seeds_against]
    check_output_dir(folder, config.overwrite_output_dir, inputs)
    aside = None
    if not is_unused(folder):
        aside = folder.with_name(f"{folder.name}.before")
        if aside.exists():  # of a run that was killed, or not of this program at all
            raise UserError(f"{aside} is in the way of what {folder} holds now; move or delete it")
        folder.rename(aside)
    fresh_output_dir(folder, written=WRITTEN)
    return aside


def _settle(folder, aside):
    # A run that is refused writes nothing: then all is to be as before.
    refused = is_unused(folder)
    if refused:
        delete_owned(folder)
    if aside and refused:
        aside.rename(folder)
    elif aside:
        delete_owned(aside)


def _run(repeated, seed):
    # What an interrupted run tells its user to type is this command, not its own.
    typed = os.environ.get("RESUME_COMMAND") or shlex.join(typed_again())
    code = run_to_end(repeated.command(seed), {**os.environ, "RESUME_COMMAND": typed})
    if code and code not in EXPLAINED:
        where = f"seed {seed} ended with exit code {code}; --resume goes on from its last checkpoint"
        print(where, file=sys.stderr)
    if code:
        raise SystemExit(code)


def run_to_end(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command, forwarding signals to it. Returns its exit code, 128 + N where signal N ended it."""
    process: subprocess.Popen | None = None
    early: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
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
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _result(repeated, seed):
    """The metrics of the best model of a run and where it is, and the speed that the run's log ends with."""
    folder = repeated.folder_of(seed) / "best"
    if not folder.is_dir():
        raise UserError(f"seed {seed} was never evaluated: there is no {folder} and nothing to compare")
    log = repeated.folder_of(seed) / "log.txt"
    told = THROUGHPUT.findall(log.read_text(encoding="utf-8")) if log.is_file() else []
    speed = dict(zip(SPEEDS, map(float, told[-1]), strict=True)) if told else {}
    return {**read_json(folder / "metrics.json"), **speed, "folder": str(folder)}


def _keep(repeated, result):
    write_json(repeated.folder / SEEDS_FILE, result)
    write_text(repeated.folder / TABLE_FILE, written(result) + "\n")
