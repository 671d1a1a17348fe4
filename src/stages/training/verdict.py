"""What a finished run means: student, teacher and majority class on dev, and warnings with advice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy import stats

from ...data.dataloader import BucketDataLoader
from ...data.dataset import TokenizedDataset
from ...infer.predictor import LogitsCell, predict_logits
from ...metrics import AGREEMENT, best_of, share_of
from ...tasks import IGNORE_INDEX, TaskSpec
from ...train.curves.loss_plot import LOG_FILE, Entry, panels_of, read_log
from ..evaluation.evaluator import EpochEvaluation, dataset_interval, dataset_metrics
from ..preparation.checks import label_warnings, record_warnings

if TYPE_CHECKING:
    from .run import Run
    from .teacher import Teacher

KEPT = 0.97  # share of the teacher's metric below which the verdict says what to try next
SIGNIFICANCE = 0.01
MIN_ENTRIES = 10  # lines of a log in which a trend can be seen
FLAT, FALLING = 0.02, 0.12
NEXT = {
    "teacher_layers": "more layers (--num_hidden_layers), more epochs, or more text (docs/augment.md)",
    "pruned": "more heads, neurons or layers (src.tools.prune), more epochs, or more text (docs/augment.md)",
    "random": "the teacher's layers as the start (omit --student_preset and sizes), or a general student "
    "(--load_gd_ckpt_path)",
    "general": "more epochs, higher learning rates, or the teacher's layers as the start (omit "
    "--load_gd_ckpt_path)",
    "phase1": "more epochs (--td_phase2_epoch_size), or a higher --phase2_learning_rate",
    "quantized": "more epochs (--epoch_num), --per_channel true, or more bits",
}


@dataclasses.dataclass(frozen=True)
class TeacherResult:
    """The teacher's best_metric on the dev rows, its interval, and whether it contradicts their labels."""

    value: float
    interval: tuple[float, float]
    contradicts: bool


def evaluate_teacher(
    run: Run, teacher: Teacher | None, evaluation: EpochEvaluation | None, epochs: int
) -> TeacherResult | None:
    """Evaluate the teacher once on the student's first dev split; logged.

    None without a teacher or an evaluation, and where nothing is trained.
    """
    if teacher is None or evaluation is None or not (epochs and run.config.train_steps):
        return None
    loader, task = next(iter(evaluation.evaluator.loaders.values())), run.task
    if task.best_metric == AGREEMENT:
        return TeacherResult(1.0, (1.0, 1.0), False)
    cell = LogitsCell(teacher.network)
    predict = partial(predict_logits, cell, graph=run.meter.compiled(cell, "evaluation of the teacher"))
    dataset, logits = loader.dataset, predict(loader)
    value, interval = dataset_interval(task, dataset, logits)
    precision = " in bf16" if teacher.device.precision == "bf16" else ""
    run.logger.info(f"teacher{precision}: {task.best_metric} {value:.4f} on {dataset.rows} dev rows")
    return TeacherResult(value, interval, contradicts_labels(task, logits, cast(np.ndarray, dataset.labels)))


def contradicts_labels(task: TaskSpec, logits: np.ndarray, labels: np.ndarray) -> bool:
    """Whether predictions agree with the labels less often than independent ones would (p < 0.01).

    Shapes as in a TokenizedDataset: logits [rows, C] or [T, C]. False for several labels a row.
    """
    if task.output_mode == "regression":
        correlation, p = stats.spearmanr(logits.reshape(-1), labels)
        return bool(correlation < 0 and p < SIGNIFICANCE)
    if task.output_mode == "multi_label":
        return False
    known = labels != IGNORE_INDEX
    predicted, true = logits.argmax(axis=-1)[known], labels[known]
    shares = [np.bincount(each, minlength=len(task.labels)) / len(true) for each in (predicted, true)]
    chance = min(float(shares[0] @ shares[1]), 1.0)
    agreed = int((predicted == true).sum())
    return bool(stats.binomtest(agreed, len(true), chance, "less").pvalue < SIGNIFICANCE)


def majority_metric(task: TaskSpec, dataset: TokenizedDataset) -> float:
    """The best_metric of one prediction for all rows: the most frequent class (of each label, or of the
    tokens), or the mean score."""
    labels = cast(np.ndarray, dataset.labels)
    if task.output_mode == "regression":
        constant = np.array([labels.mean()])
    elif task.output_mode == "multi_label":
        constant = labels.mean(axis=0) - 0.5
    else:
        constant = np.bincount(labels[labels != IGNORE_INDEX], minlength=len(task.labels))
    logits = np.broadcast_to(constant.astype(np.float32), (len(labels), len(constant)))
    return best_of(task, dataset_metrics(task, dataset, logits))


def conclude(
    run: Run,
    evaluation: EpochEvaluation | None = None,
    teacher: TeacherResult | None = None,
    start: str = "",
) -> None:
    """Log the verdict and the warnings of a run, once its models are written.

    `start` is a key of NEXT. Without an evaluation there are only the warnings about losses.
    """
    if not run.ranks.is_main:
        return
    log = run.logger.info
    kept = share_of(run.best_value, teacher.value if teacher else None)
    if evaluation and run.best_value is not None:
        dataset = next(iter(evaluation.evaluator.loaders.values())).dataset
        majority = majority_metric(run.task, dataset)
        log(verdict(run.task, run.best_value, run.best_interval, teacher, majority))
        if kept is not None and kept < KEPT:
            metric = run.task.best_metric.replace(AGREEMENT, "predictions")
            log(f"to keep more than {kept:.1%} of the teacher's {metric}: {NEXT[start]}")
        for text in model_warnings(run.task, run.best_value, teacher, majority):
            log(f"warning: {text}")
    if teacher is None and evaluation or kept is not None and kept >= KEPT:
        return  # labels are learned as long as the dev metric rises; a teacher that is matched leaves nothing
    file = run.output_dir / LOG_FILE
    for title, entries in panels_of({"": read_log(file) if file.is_file() else []}).items():
        if text := trend_warning(title, entries):
            log(f"warning: {text}")


def verdict(
    task: TaskSpec,
    value: float,
    interval: Sequence[float] | None,
    teacher: TeacherResult | None,
    majority: float,
) -> str:
    """One line: the model's metric with its 95 % interval, the teacher's, the share kept, the majority's."""
    text = f"verdict: {task.best_metric} {value:.4f}"
    if interval:
        text += f" (95 % interval {interval[0]:.4f} to {interval[1]:.4f})"
    if teacher:
        share = share_of(value, teacher.value)
        text += f", teacher {teacher.value:.4f}{f', {share:.1%} kept' if share is not None else ''}"
    constant = "the mean score" if task.output_mode == "regression" else "the majority class"
    return f"{text}; {constant} alone {majority:.4f}"


def model_warnings(task: TaskSpec, value: float, teacher: TeacherResult | None, majority: float) -> list[str]:
    """Warnings about a teacher and a model that are no better than the most frequent answer."""
    found, metric = [], task.best_metric
    constant = f"one answer for all rows ({majority:.4f})"
    if teacher and teacher.contradicts:
        found.append(
            f"the teacher ({metric} {teacher.value:.4f}) contradicts the labels more often than chance: its "
            "labels are in another order; name them in its config.json (id2label)"
        )
    elif teacher and teacher.value <= majority:
        found.append(
            f"the teacher ({metric} {teacher.value:.4f}) is no better than {constant}: fine-tune it longer, "
            "or at another --learning_rate, before it teaches"
        )
    if value <= majority:
        found.append(
            f"the model ({metric} {value:.4f}) is no better than {constant}: train longer, or at another "
            "--learning_rate"
        )
    return found


def trend_warning(title: str, entries: Sequence[Entry]) -> str:
    """A warning where the mean losses of a phase do not move, or still fall at its end; else empty.

    Still falling: the last quarter has more than FALLING of the fall, where a loss that approaches its floor
    while the learning rate decays to 0 has less.
    """
    losses = np.array([entry["loss"] for entry in entries], np.float64)
    if len(losses) < MIN_ENTRIES or not np.isfinite(losses).all():
        return ""
    first, _, third, last = (float(part.mean()) for part in np.array_split(losses, 4))
    if stats.spearmanr(range(len(losses)), losses).pvalue > SIGNIFICANCE and first - last < FLAT * first:
        return f"the loss of {title} has not moved ({first:.4g} to {last:.4g}): raise its learning rate"
    if third - last > max(FALLING * (first - last), FLAT * third):
        return f"the loss of {title} still falls at its end ({third:.4g} to {last:.4g}): give it more epochs"
    return ""


def log_data_warnings(run: Run, loader: BucketDataLoader, evaluation: EpochEvaluation | None) -> None:
    """Repeat what `prepare` found about the records of train and dev."""
    dev = evaluation.evaluator.datasets if evaluation else {}
    for split, dataset in {"train": loader.dataset, **dev}.items():
        found: list[str] = []
        files: dict[str, Any] = (dataset.manifest or {}).get("files", {})
        if split in files:
            found += record_warnings(split, files[split])
        if split in dev:
            found += label_warnings(run.task, split, dataset)
        for text in found:
            run.logger.info(f"warning: {text}")
