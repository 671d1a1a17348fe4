"""How fast this machine trains students of the model: a few steps of the real stage, read from its log."""

from __future__ import annotations

import dataclasses
import re
import resource
import shutil

from ....errors import UserError
from ....train.throughput import GIGA, forward_flops
from ...training.run_folder import CONFIG_FILE
from ..steps.rows import Rows
from ..steps.runner import Runner, Step
from ..steps.workspace import Workspace
from .ladder import BATCH, Base

MEASUREMENT = "measurement"
TRIAL = "measure"
SECONDS = 8.0  # of training steps
GUESSED_RATE = 80.0 * GIGA  # FLOP/s, which only decides how many steps are measured
MIN_STEPS, MAX_STEPS = 4, 24
COMPILED = re.compile(r"^compiled the graph of length \d+ in ([\d.]+) s \((.*)\)$", re.MULTILINE)
THROUGHPUT = re.compile(r"^throughput: ([\d.]+) examples/s.*?, ([\d.]+) GFLOP/s", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Of this machine, by a few steps of distillation and one export in float32.

    flops_per_second  of training steps; compile_seconds of a training graph
    startup_seconds   of a training stage before and after its steps
    export_seconds    of the export in float32, its verification included
    memory_gb         peak memory of this process; free_gb disk space
    """

    flops_per_second: float
    compile_seconds: float
    startup_seconds: float
    export_seconds: float
    memory_gb: float
    free_gb: float


def measure(
    runner: Runner, workspace: Workspace, rows: Rows, student: Base | None, export_step: Step
) -> Measurement:
    """Run the trial; what was measured before is taken from the journal. Raises UserError where it fails.

    Without a `student` (of a model of one layer) nothing will be trained, and nothing is tried.
    """
    training = _trial(runner, workspace, rows, student) if student else (GUESSED_RATE, 0.0, 0.0)
    known = runner.journal.get(MEASUREMENT)
    if known:
        return Measurement(**{field.name: known[field.name] for field in dataclasses.fields(Measurement)})
    found = Measurement(
        *training,
        runner.journal.seconds_of(export_step.name),
        round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        round(shutil.disk_usage(workspace.folder).free / 1e9, 2),
    )
    runner.journal.put(MEASUREMENT, dataclasses.asdict(found))
    return found


def _trial(runner: Runner, workspace: Workspace, rows: Rows, student: Base) -> tuple[float, float, float]:
    length, distill = rows.datasets["train"].max_seq_length, student.steps[-1]
    count = rows.datasets["train"].rows
    per_row = 3 * forward_flops(student.config, length)
    steps = round(min(max(SECONDS * GUESSED_RATE / (BATCH * per_row), MIN_STEPS), MAX_STEPS))
    folder = workspace.model(TRIAL)
    flags = {
        **distill.flags,
        "td_phase1_epoch_size": -(-steps * BATCH // count) + 1,
        "td_phase2_epoch_size": 0,
        "train_steps": steps,
        "length_buckets": "off",
        "teacher_cache": "off",
        "matmul_precision": "fp32",  # as the student's products, which are most of a plan
        "do_eval": False,
        "output_dir": folder,
    }
    # What it writes is of no use: its weights are deleted with its checkpoints.
    step = Step(TRIAL, "task_distill", flags, folder / CONFIG_FILE, 25.0, folder, warns=False)
    if failed := runner.run(step):
        raise UserError(f"a few trial steps of a student failed: {failed}")
    log = workspace.log(TRIAL).read_text("utf-8", "replace")
    return parse_log(log, steps * BATCH, runner.journal.seconds_of(TRIAL))


def parse_log(log: str, examples: int, seconds: float) -> tuple[float, float, float]:
    """(FLOP/s, seconds to compile a training graph, other seconds) from the log of a trial over `examples`
    rows that took `seconds`. Raises UserError without figures."""
    compiled, speeds = COMPILED.findall(log), THROUGHPUT.findall(log)
    steps = [float(time) for time, name in compiled if name == "train step"]
    if not (steps and speeds):
        raise UserError("the trial steps printed no throughput:\n" + "\n".join(log.splitlines()[-5:]))
    rate, work = float(speeds[-1][1]) * GIGA, examples / max(float(speeds[-1][0]), 1e-9)
    startup = seconds - work - sum(float(time) for time, _ in compiled)
    return max(rate, 1e6), sum(steps) / len(steps), max(startup, 0.5)
