"""Runs the steps of a plan: commands of this project, in this process, each with a log of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shlex
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ....commands import command_line
from ....errors import Interrupted, UserError, printable, reason_of
from ....signals import was_raised
from ...training.run_folder import CONFIG_FILE
from ..report_data import CommandRun
from .journal import INTERRUPTED, Journal
from .progress import Progress
from .workspace import Workspace

WARNING = "warning: "
SPENT = ("checkpoints", "last", "phase1")  # folders of a finished training run that nothing needs any more

Commands = Mapping[str, Callable[[Sequence[str]], object]]  # {name: main function}


@dataclasses.dataclass(frozen=True)
class Step:
    """A command: its `name`, the `command` of this project and its flags, and the folder or file it writes.

    `seconds` is the estimate; `run_folder` that of a training stage, which resumes by itself; `warns` says
    whether its warnings are of interest.
    """

    name: str
    command: str
    flags: Mapping[str, object]
    output: Path
    seconds: float = 0.0
    run_folder: Path | None = None
    warns: bool = True

    @property
    def arguments(self) -> list[str]:
        """The flags as a list of arguments; a tuple becomes several."""
        arguments: list[str] = []
        for name, value in self.flags.items():
            if isinstance(value, tuple):
                arguments += [f"--{name}", *map(str, value)]
            else:
                arguments.append(f"--{name}={str(value).lower() if isinstance(value, bool) else value}")
        return arguments

    @property
    def shown(self) -> str:
        """The command line to repeat it by hand."""
        return f"{command_line(self.command)} {shlex.join(self.arguments)}"


class Runner:
    """Runs steps that the journal does not have yet. `commands` are the main functions by name."""

    def __init__(self, workspace: Workspace, journal: Journal, commands: Commands) -> None:
        self.workspace, self.journal, self.commands = workspace, journal, commands
        self.progress = Progress()
        self.done: dict[str, CommandRun] = {}  # by step; several candidates share the training of a student
        self.planned: dict[str, float] = {}
        self.warnings: list[str] = []
        self._failed: dict[str, str] = {}
        # The handler of a step's own logger would stay with the log of the first step.
        handler = _CurrentError()
        handler.setFormatter(logging.Formatter(f"{WARNING}%(message)s"))
        logging.basicConfig(level=logging.WARNING, handlers=[handler])

    def run(self, step: Step) -> str | None:
        """Run a step, unless it is done or has failed before; returns why it failed, or None.

        Raises Interrupted or KeyboardInterrupt when a signal ended it; a training step has saved its state.
        """
        arguments = step.arguments
        if self.journal.is_done(step.name, arguments, step.output):
            self.progress.drop(step.name)
            self._finish(step)
            return None
        if step.name in self._failed:
            return self._failed[step.name]
        began = time.monotonic()
        resumed = self._resumes(step)
        self.journal.begin(step.name, arguments)
        flag = "--resume=true" if resumed else "--overwrite_output_dir=true"
        failed: str | None = INTERRUPTED
        try:
            with self.progress.step(step.name), self._log(step, resumed):
                failed = self._call(step.command, [*arguments, flag])
        finally:
            seconds = time.monotonic() - began
            self.journal.end(step.name, arguments, seconds, failed, step.output)
        self.progress.end(step.name, seconds)
        if failed:
            self._failed[step.name] = failed
        self._finish(step)
        return failed

    def _resumes(self, step: Step) -> bool:
        begun = self.journal.has_begun(step.name, step.arguments)
        return bool(begun and step.run_folder and (step.run_folder / CONFIG_FILE).is_file())

    def _call(self, command: str, argv: Sequence[str]) -> str | None:
        try:
            self.commands[command](argv)
        except UserError as error:
            print(f"error: {error}")
            return str(error)
        except (Interrupted, KeyboardInterrupt):
            raise
        except Exception as error:  # a candidate that fails does not end the run
            if was_raised():  # MindSpore turns a KeyboardInterrupt in a compilation into its own exception
                raise KeyboardInterrupt from None
            traceback.print_exc()
            return printable(f"unexpected {type(error).__name__}: {reason_of(error)}")
        return None

    @contextlib.contextmanager
    def _log(self, step: Step, resumed: bool) -> Iterator[None]:
        """Write what a step prints to its log."""
        path = self.workspace.log(step.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a" if resumed else "w", encoding="utf-8", errors="backslashreplace") as log:
            print(f"$ {step.shown}", file=log, flush=True)
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield

    def _finish(self, step: Step) -> None:
        """Note the command and its warnings, and delete what only an interrupted run needs."""
        self.planned[step.name] = step.seconds
        self.done[step.name] = CommandRun(step.name, step.shown, self.journal.seconds_of(step.name))
        log = self.workspace.log(step.name)
        for line in log.read_text("utf-8", "replace").splitlines() if step.warns and log.is_file() else ():
            text = line.removeprefix(WARNING)
            # Several steps say the same of the rows and the given model.
            told = text.startswith("dev ") and step.command != "prepare"  # a half of dev has half of its rows
            if line.startswith(WARNING) and not told and not any(w.endswith(text) for w in self.warnings):
                self.warnings.append(f"{step.name}: {text}")
        if step.run_folder and step.name not in self._failed:
            for name in SPENT:
                if step.run_folder / name != step.output:
                    shutil.rmtree(step.run_folder / name, ignore_errors=True)


class _CurrentError(logging.Handler):
    """Writes records to what sys.stderr is now."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)
