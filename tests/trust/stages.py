"""The training stages on tiny models: command lines, and what of a run must be identical."""

import ast
import dataclasses
import fcntl
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests import tiny

from . import injector
from .forks import Ended, forked
from .inputs import Inputs
from .outcomes import Settings, snapshot

# Six steps make an epoch of the 40 rows: a checkpoint is due at the last of them, which is evaluated too.
COMMON = {
    "batch_size": 7,
    "learning_rate": 2e-3,
    "length_buckets": "off",
    "logging_step": 1,
    "save_ckpt_step": 3,
}
SIZES = {"num_hidden_layers": 1, "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 40}
DROPOUT = {"hidden_dropout_prob": 0.1} if shutil.which("g++") else {}
TWO_RANKS = "two ranks"
SECONDS = 900


@dataclasses.dataclass(frozen=True)
class Stage:
    """A stage: its script, and its flags for an output folder and a number of epochs."""

    name: str
    script: str
    flags: Callable[[Inputs, Path, int], list[str]]
    ranks: int = 1

    def main(self, arguments: list[str]) -> None:
        """Run the stage in this process."""
        importlib.import_module(self.script).main(arguments)


def finetune(inputs: Inputs, output: Path, epochs: int) -> list[str]:
    """Flags of fine-tuning."""
    return _flags(inputs, output, load_pretrained_path=inputs.model(), epoch_size=epochs, **DROPOUT)


def task_distill(inputs: Inputs, output: Path, epochs: int) -> list[str]:
    """Flags of task distillation, with a teacher cache."""
    more = {"td_phase1_epoch_size": max(epochs - 1, 1), "td_phase2_epoch_size": epochs, **SIZES, **DROPOUT}
    return _flags(inputs, output, load_teacher_ckpt_path=inputs.model(), **more)


def two_ranks(inputs: Inputs, output: Path, epochs: int) -> list[str]:
    """Flags of task distillation over two ranks."""
    return [*task_distill(inputs, output, epochs), "--batch_size=4", "--device_target=CPU"]


def general_distill(inputs: Inputs, output: Path, epochs: int) -> list[str]:
    """Flags of general distillation."""
    places = {"load_teacher_ckpt_path": inputs.model(), "data_dir": inputs.corpus(), "output_dir": output}
    return tiny.flags(**places, epoch_size=epochs, **SIZES, **COMMON, **DROPOUT)


def q8bert(inputs: Inputs, output: Path, epochs: int) -> list[str]:
    """Flags of quantization-aware training."""
    more = {"epoch_num": epochs, "eval_ckpt_step": 4, "calibration_steps": 1}
    return _flags(inputs, output, load_ckpt_path=inputs.model(), **more)


def _flags(inputs: Inputs, output: Path, **values: object) -> list[str]:
    records = inputs.records()
    places = {"train_data_dir": records, "eval_data_dir": records, "output_dir": output}
    return tiny.flags(task_name="SST-2", **places, **COMMON, **values)


STAGES = (
    Stage("finetune", "run_finetune", finetune),
    Stage("task distillation", "run_task_distill", task_distill),
    Stage("general distillation", "run_general_distill", general_distill),
    Stage("Q8BERT", "run_q8bert_train", q8bert),
    Stage(TWO_RANKS, "run_task_distill", two_ranks, ranks=2),
)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of a stage in a folder of its own, which may be killed and resumed."""

    stage: Stage
    inputs: Inputs
    folder: Path
    epochs: int

    @property
    def output(self) -> Path:
        """The run's output folder."""
        return self.folder / "out"

    def start(self, call: int = 0, error: int = injector.KILL) -> Ended:
        """Start or resume the run, with a fault at a call (0: none)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = self.stage.flags(self.inputs, self.output, self.epochs)
        if (self.output / "run_config.json").exists():
            arguments.append("--resume")
        elif self.output.exists():
            arguments.append("--overwrite_output_dir")
        if self.stage.ranks > 1:
            return self._launched(arguments, call, error)

        def run() -> None:
            if injector.is_loaded():
                injector.arm(self.folder, call, error)
            self.stage.main(arguments)
            if injector.is_loaded():
                (self.folder.with_name(f"{self.folder.name}.calls")).write_text(str(injector.calls()))

        return forked(run, seconds=SECONDS)

    def calls(self) -> int:
        """Calls of the last start that ended; two ranks make about as many as one."""
        return int(self.folder.with_name(f"{self.folder.name}.calls").read_text())

    def _launched(self, arguments: list[str], call: int, error: int) -> Ended:
        scripts = Path.cwd() / "scripts" / "launch.sh"
        command = ["bash", str(scripts), "cpu", str(self.stage.ranks), f"{self.stage.script}.py", *arguments]
        place = self.folder.with_name(f"{self.folder.name}-logs")
        place.mkdir(exist_ok=True)
        trace = self.folder.with_name(f"{self.folder.name}.trace")
        trace.unlink(missing_ok=True)
        environment = {**os.environ, "PYTHON": sys.executable, "MASTER_PORT": tiny.free_port()}
        environment |= {**injector.variables(self.folder, call, error), "FAULT_TRACE": str(trace)}
        process = subprocess.Popen(
            command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        out, err = process.communicate(timeout=SECONDS)
        if trace.exists():
            lines = trace.read_text(errors="replace").splitlines()
            self.folder.with_name(f"{self.folder.name}.calls").write_text(str(len(lines)))
        return Ended(process.returncode, out, err)

    def result(self) -> dict[str, object]:
        """All that must be identical: model folders, losses, evaluations."""
        models = {
            f"{name}/{file}": digest
            for name in ("phase1", "best", "last")
            for file, digest in snapshot(self.output / name).items()
        }
        losses = [json.loads(line) for line in (self.output / "losses.jsonl").read_text().splitlines()]
        for entry in losses:
            entry.pop("examples_per_second")
        found = map(_evaluation, (self.output / "log.txt").read_text().splitlines())
        evaluations = {(entry["epoch"], entry["step"]): entry for entry in found if entry}
        return {**models, "losses.jsonl": losses, "evaluations": evaluations}


def _evaluation(line: str) -> dict | None:
    try:
        return json.loads(line) if line.startswith("{") else None
    except json.JSONDecodeError:
        return None


def difference(actual: dict[str, object], expected: dict[str, object]) -> str | None:
    """The first part of a result that differs, or None."""
    for name in sorted({*actual, *expected}):
        if actual.get(name) != expected.get(name):
            return f"{name} differs from that of the unbroken run"
    return None


def unbroken(settings: Settings, stage: Stage, epochs: int) -> tuple[dict[str, object], str | None, int]:
    """(result, problem, calls) of an unbroken run, made twice, once for all workers.

    The problem is that the two runs differ.
    """
    shared = settings.folder.parent
    inputs = Inputs(settings.folder / "inputs")
    file = shared / f"unbroken-{stage.name}-{epochs}.json"
    with open(shared / f"unbroken-{stage.name}.lock", "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        if not file.exists():
            results = []
            for number in (1, 2):
                run = Run(stage, inputs, settings.folder / f"unbroken-{stage.name}-{number}", epochs)
                ended = run.start()
                if ended.code:
                    raise RuntimeError(f"an unbroken run of {stage.name} fails: {ended.err[-500:]}")
                results.append(run.result())
            problem = difference(results[1], results[0])
            file.write_text(repr((results[0], problem, run.calls())))
    return ast.literal_eval(file.read_text())
