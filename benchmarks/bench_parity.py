"""python -m benchmarks.bench_parity: accuracy of teachers and students trained here and in PyTorch.

For each seed and each --settings both sides fine-tune the same pretrained model with the same new head, and
distill the teacher of this project into the same fresh student. Batches, learning rates, warm-up, decay,
clipping and losses are equal; dropout masks are not. PyTorch's side is transformers' BERT and
torch.optim.AdamW. Prints the task's metric of the last epoch, mean and standard error over the seeds.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from benchmarks.subjects.pytorch_training import distill, evaluate, finetune
from src.config import finetune_config, td_config
from src.config.bert_config import preset
from src.errors import UserError, run_main
from src.files import write_json
from src.json_reader import read_json
from src.machine import describe_machine
from src.metrics import best_of
from src.tasks import TaskSpec, find_task
from src.weights.huggingface import PROJECTION, tokenizer_files

SIDES = ("this project", "PyTorch")
IN_PYTORCH: dict[str, tuple[Callable, Callable]] = {
    "run_finetune.py": (finetune_config.resolve, finetune),
    "run_task_distill.py": (td_config.resolve, distill),
}


@dataclass(frozen=True)
class Settings:
    """What the runs of a comparison have in common."""

    task: TaskSpec
    data_dir: str
    pretrained: str
    student: str
    max_rows: int
    finetune_epochs: int
    phase_epochs: tuple[int, int]
    learning_rates: tuple[float, float, float]  # of fine-tuning, phase 1 and phase 2

    def flags(self, seed: int, eps: float, weight_decay: float) -> dict[str, Any]:
        """The flags that both training stages get."""
        places = {"train_data_dir": self.data_dir, "eval_data_dir": self.data_dir}
        optimizer = {"seed": seed, "eps": eps, "weight_decay": weight_decay, "max_rows": self.max_rows}
        return {"task_name": self.task.name, **places, **optimizer}


def main(argv: Sequence[str] | None = None) -> None:
    """Train both sides and print the table; results of an earlier run in --work_dir are kept."""
    flags = _parser().parse_args(argv)
    settings = Settings(
        find_task(flags.task_name),
        flags.data_dir,
        flags.pretrained,
        flags.student,
        flags.rows,
        flags.finetune_epochs,
        tuple(flags.phase_epochs),
        tuple(flags.learning_rates),
    )
    if settings.task.output_mode != "classification":
        raise UserError(
            f"{settings.task.name} is no classification task, for which this benchmark is written"
        )
    rows = []
    for text in flags.settings.split(";"):
        eps, decay = map(float, text.split(","))
        found = [_measure(settings, Path(flags.work_dir), seed, eps, decay) for seed in flags.seeds]
        for stage in ("teacher", "student"):
            rows.append(_row(f"{stage}, eps {eps:g}, decay {decay:g}", [each[stage] for each in found]))
    machine = describe_machine()
    print(f"\n{machine['processor']}, {machine['cores']} cores; {machine['packages']}\n")
    print(f"| {settings.task.best_metric}, {len(flags.seeds)} seeds | {' | '.join(SIDES)} | difference |")
    print("| --- | ---: | ---: | ---: |")
    for row in rows:
        cells = [f"{row[name]['mean']:.4f} ± {row[name]['error']:.4f}" for name in (*SIDES, "difference")]
        print(f"| {row['name']} | {' | '.join(cells)} |")
    if flags.json:
        write_json(flags.json, rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    add = parser.add_argument
    add("--task_name", default="SST-2", help="a classification task of GLUE")
    add("--data_dir", required=True, help="its records")
    add("--pretrained", required=True, help="folder of the pretrained model")
    add("--student", default="3L-312", help="preset of the student")
    add("--rows", type=int, default=4000, help="training rows (-1: all)")
    add("--seeds", type=int, nargs="+", default=[1, 2, 3])
    add(
        "--settings",
        default="1e-6,1e-4;1e-8,0.01",
        help="eps,weight_decay of each comparison, separated by ;",
    )
    add("--finetune_epochs", type=int, default=2)
    add("--phase_epochs", type=int, nargs=2, default=[4, 3])
    add("--learning_rates", type=float, nargs=3, default=[5e-5, 5e-4, 3e-4], help="fine-tuning, phases 1, 2")
    add("--work_dir", default="output/parity", help="folder of the runs")
    add("--json", default="", help="output file for the results")
    return parser


def _measure(
    settings: Settings, root: Path, seed: int, eps: float, decay: float
) -> dict[str, dict[str, float]]:
    """{teacher | student: {side: metric}} of one seed; read from its folder where it was measured before.

    Raises UserError where that was with other settings.
    """
    folder = root / f"{settings.task.name}-{eps:g}-{decay:g}-{seed}"
    described = str({**vars(settings), "task": settings.task.name})
    if (folder / "metrics.json").exists():
        before = read_json(folder / "metrics.json")
        if before.get("settings") != described:
            raise UserError(f"{folder} was measured with other settings; give another --work_dir")
        return before["metrics"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    start, student = folder / "start", folder / "student_start"
    _write_start(settings, start)
    common = settings.flags(seed, eps, decay)
    flags = {**common, "load_pretrained_path": start, "epoch_size": settings.finetune_epochs}
    flags |= {"learning_rate": settings.learning_rates[0], "output_dir": folder / "teacher"}
    found = {"teacher": _both("run_finetune.py", flags, settings.task)}
    teacher = folder / "teacher" / "last"
    _write_student(settings, teacher, student)
    epochs, rates = settings.phase_epochs, settings.learning_rates[1:]
    flags = {**common, "load_teacher_ckpt_path": teacher, "load_gd_ckpt_path": student}
    flags |= {"td_phase1_epoch_size": epochs[0], "td_phase2_epoch_size": epochs[1]}
    flags |= {"learning_rate": rates[0], "phase2_learning_rate": rates[1]}
    # As in PyTorch's reference, which follows the authors' code.
    flags |= {"loss_padding": "include", "matmul_precision": "fp32", "output_dir": folder / "student"}
    found["student"] = _both("run_task_distill.py", flags, settings.task)
    write_json(folder / "metrics.json", {"settings": described, "metrics": found})
    return found


def _both(script: str, values: Mapping[str, Any], task: TaskSpec) -> dict[str, float]:
    """{side: metric after the last epoch} of a training with the flags `values`."""
    arguments = [f"--{name}={value}" for name, value in values.items()]
    subprocess.run([sys.executable, script, *arguments], check=True, stdout=subprocess.DEVNULL)
    ours = best_of(task, read_json(Path(values["output_dir"]) / "last" / "metrics.json"))
    resolve, train = IN_PYTORCH[script]
    config = resolve(arguments)[1].config
    found = dict(zip(SIDES, (ours, evaluate(train(config), task, config)), strict=True))
    print(f"{values['output_dir']}: {found}", flush=True)
    return found


def _write_start(settings: Settings, folder: Path) -> None:
    """The pretrained model with a new head."""
    labels = dict(enumerate(settings.task.labels))
    names = {"id2label": labels, "label2id": {label: index for index, label in labels.items()}}
    model = BertForSequenceClassification.from_pretrained(
        settings.pretrained, **names, num_labels=len(labels), problem_type="single_label_classification"
    )
    _save(model, folder, settings.pretrained)


def _write_student(settings: Settings, teacher: Path, folder: Path) -> None:
    """A fresh student with a fresh projection to the teacher's width."""
    values = read_json(teacher / "config.json")
    sizes = preset(settings.student).to_json_dict()
    kept = ("id2label", "label2id", "problem_type", "vocab_size", "max_position_embeddings")
    config = BertConfig.from_dict({**sizes, **{name: values[name] for name in kept}})
    _save(BertForSequenceClassification(config), folder, teacher)
    weights = load_file(folder / "model.safetensors")
    projection = nn.Linear(config.hidden_size, values["hidden_size"])
    nn.init.normal_(projection.weight, std=0.02)
    nn.init.zeros_(projection.bias)
    weights |= {PROJECTION + name: value.detach() for name, value in projection.named_parameters()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _save(model: BertForSequenceClassification, folder: Path, source: str | Path) -> None:
    model.save_pretrained(folder)
    for file in tokenizer_files(Path(source)):
        shutil.copy(file, folder)


def _row(name: str, by_seed: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Mean and standard error over the seeds of both sides and of their difference."""
    columns = {side: [each[side] for each in by_seed] for side in SIDES}
    columns["difference"] = [ours - theirs for ours, theirs in zip(*columns.values(), strict=True)]
    row: dict[str, Any] = {"name": name, "by_seed": columns}
    for side, values in columns.items():
        error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        row[side] = {"mean": statistics.fmean(values), "error": error}
    return row


if __name__ == "__main__":
    run_main(main)
