"""Task distillation (TinyBERT, Jiao et al. 2020, section 3.2): intermediate layers, then the prediction."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import Any

from ...config.cli import Resolved
from ...config.evaluate_config import EvaluateConfig
from ...config.fields import to_dict
from ...config.student_config import STUDENT_STARTS
from ...config.task.from_records import task_for
from ...config.td_config import TaskDistillConfig
from ...data import splits
from ...distill.network import TEACHER_FEATURES, DistillNetwork
from ...distill.objective import LossTerm, logits_temperature, prediction_terms
from ...errors import UserError
from ...metrics import best_of, short_name
from ...model.state_dict import parameter_count
from ...tasks import TaskSpec
from ..evaluation.evaluate import evaluate
from ..evaluation.evaluator import EpochEvaluation
from ..model import load
from . import student
from .fit import PhaseInputs, PhaseSpec, resumed_phase, train_phase
from .layer_distill import LayerMatch
from .run import Run
from .teacher import attach_teacher, load_teacher
from .verdict import TeacherResult, conclude, evaluate_teacher, log_data_warnings


def task_distill(task: TaskSpec, resolved: Resolved) -> Run | dict[str, Any]:
    """Distill, or only evaluate, as do_train and do_eval say. Returns the Run, or the metrics."""
    config = resolved.config
    if not config.do_train:
        return _evaluate_only(resolved)
    path = _required(config.load_teacher_ckpt_path, "load_teacher_ckpt_path")
    run = Run("task_distill", task, resolved)
    log = run.logger.info
    # Model files are passed on without a reference: the networks copy the weights, 0.4 GB for a BERT-base.
    distillation = Distillation(
        run,
        load.read_model(path, log, resolved.networks["teacher"], "teacher", config.ignore_unexpected),
        student.read_student(config, resolved.networks["student"], log),
    )
    run.open()
    teacher = distillation.teacher_result()
    if distillation.match and resumed_phase(run) < 2:
        train_phase(run, *distillation.phase1())
        distillation.write_student("phase1")
    train_phase(run, *distillation.phase2())
    distillation.write_student("last", run.last_metrics)
    pruned = config.student_init not in STUDENT_STARTS
    start = "phase1" if config.load_td1_ckpt_path else "pruned" if pruned else config.start
    conclude(run, distillation.evaluate, teacher, start)
    run.finish()
    return run


class Distillation:
    """Teacher, student and the batches of both phases. The constructor checks all inputs and writes nothing.

    `match` is None where phase 1 is skipped.
    """

    def __init__(
        self, run: Run, teacher_files: load.ModelFiles, student_files: load.ModelFiles | None
    ) -> None:
        self.run, self.config = run, run.config
        config, log = run.config, run.logger.info
        if student_files:
            student_config = student_files.config
        else:
            own = config.start == "teacher_layers"
            config_of = student.own_layers_config if own else student.fresh_config
            student_config = config_of(config, teacher_files.config)
        models = [(teacher_files.config, teacher_files.tokenizer_dir)]
        models.append((student_config, student_files.tokenizer_dir if student_files else None))
        # Each phase compiles graphs of its own: the epochs of one alone have to pay for them.
        epochs = max(config.td_phase1_epoch_size, config.td_phase2_epoch_size)
        self.loaders = splits.train_loaders(run, _record_folders(config), models, epochs)
        self._prediction_terms()  # raises UserError where labels are missing
        self.teacher = load_teacher(run, teacher_files, self._features_of_both_phases())
        self.student, self.student_config = student.build(run, student_files, student_config, teacher_files)
        self.match = None
        if config.td_phase1_epoch_size > 0 and not config.load_td1_ckpt_path:
            carried = student_files if config.carry_projection else None
            dense = run.device.layers.dense
            self.match = LayerMatch(config, self.student_config, self.teacher.config, carried, log, dense)
        self.tokenizer_dir = next((folder for _, folder in models if folder), None)
        self.evaluate: EpochEvaluation | None = None
        if config.do_eval:
            self.evaluate = EpochEvaluation(
                run, self.student, self.student_config, self.tokenizer_dir, teacher=self.teacher.network
            )
        sizes = parameter_count(self.teacher.network), parameter_count(self.student)
        layer_map = f"; layer map {self.match}" if self.match else ""
        log(f"teacher {sizes[0]:,} parameters, student {sizes[1]:,}{layer_map}")

    def teacher_result(self) -> TeacherResult | None:
        """Log the warnings about the records, and evaluate the teacher where the student will be."""
        log_data_warnings(self.run, self.loaders[-1], self.evaluate)
        epochs = self.config.td_phase1_epoch_size + self.config.td_phase2_epoch_size
        return evaluate_teacher(self.run, self.teacher, self.evaluate, epochs)

    def phase1(self) -> PhaseInputs:
        """Intermediate layers: embedding, hidden-state and attention losses."""
        assert self.match, "without a LayerMatch phase 1 is skipped"
        config, evaluate = self.config, None
        if self.evaluate and config.phase1_eval:
            # An untrained head may beat phase 2's by chance: best/ is phase 2's, unless there is no phase 2.
            evaluate = partial(self.evaluate, keep=not config.td_phase2_epoch_size)
        title, epochs = "phase 1 (intermediate layers)", config.td_phase1_epoch_size
        warmup = config.phase1_warmup_ratio if config.phase1_warmup_ratio >= 0 else None
        spec = PhaseSpec(1, title, epochs, config.learning_rate, warmup_ratio=warmup)
        loader = self.loaders[0]
        network, cached_teacher = self.match.network(self.run, spec, loader, self.student, self.teacher)
        return spec, network, loader, evaluate, cached_teacher

    def phase2(self) -> PhaseInputs:
        """Prediction layer: the teacher's logits, and the labels with --label_weight."""
        config, terms = self.config, self._prediction_terms()
        title, epochs = "phase 2 (prediction layer)", config.td_phase2_epoch_size
        scale = config.phase2_loss_scale_value or None
        spec = PhaseSpec(2, title, epochs, config.phase2_learning_rate, loss_scale=scale)
        loader = self.loaders[1]
        teacher, cached_teacher = attach_teacher(self.run, spec, loader, terms, self.teacher)
        temperature = logits_temperature(self.run.task.output_mode, config.temperature)
        network = DistillNetwork(self.student, terms, teacher, temperature=temperature)
        return spec, network, loader, self.evaluate, cached_teacher

    def write_student(self, name: str, metrics: dict[str, Any] | None = None) -> None:
        """Write the student as the model folder `name`/ of the run."""
        self.run.write_model(name, self.student, self.student_config, self.tokenizer_dir, metrics)

    def _prediction_terms(self) -> tuple[LossTerm, ...]:
        config = self.config
        return prediction_terms(
            self.run.task.output_mode,
            config.label_weight,
            config.regression_target == "label",
            float(self.loaders[1].dataset.labeled.mean()),
        )

    def _features_of_both_phases(self) -> tuple[str, ...]:
        """The teacher outputs of phase 2 over phase 1's rows: one forward pass serves both phases."""
        if not self.config.td_phase2_epoch_size or self.loaders[0] is not self.loaders[1]:
            return ()
        features = (term.feature for term in self._prediction_terms())
        return tuple(feature for feature in features if feature in TEACHER_FEATURES)


def _record_folders(config: TaskDistillConfig) -> tuple[str, str]:
    """The training records of phase 1 and phase 2."""
    augmented, original = config.augmented_data_dir, config.train_data_dir
    if not augmented:
        return original, original
    return augmented, augmented if config.phase2_augmented else original


def _evaluate_only(resolved: Resolved[TaskDistillConfig]) -> dict[str, Any]:
    config = resolved.config
    if not config.do_eval:
        raise UserError("do_train and do_eval are both false: nothing to do; set one of them to true")
    path = _required(config.load_td1_ckpt_path, "load_td1_ckpt_path")
    names = [field.name for field in fields(EvaluateConfig) if hasattr(config, field.name)]
    evaluated = EvaluateConfig(**{name: getattr(config, name) for name in names}, model_dir=path)
    metrics, task = evaluate(evaluated, resolved.networks["student"], print), task_for(to_dict(config))
    print(f"The best {short_name(task)} is {best_of(task, metrics):.6f}")
    return metrics


def _required(value: str, name: str) -> str:
    if not value:
        raise UserError(
            f"--{name} is required: a model directory, or a .ckpt with its config in td_config.py"
        )
    return value
