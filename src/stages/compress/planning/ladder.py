"""The candidates in the order in which they are tried, and the commands that make each.

The order puts the surest gain first: the model as it is, its integers, then ever smaller students of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ....config.bert_config import BertConfig
from ....distill.layer_map import parse_layer_map
from ....weights.huggingface import expected_shapes, weight_count
from ..report_data import LeftOut
from ..steps.journal import Journal
from ..steps.rows import Rows
from ..steps.runner import Step
from ..steps.workspace import Workspace

if TYPE_CHECKING:
    from ....tools.compress import CompressConfig

BATCH = 32
CALIBRATION_ROWS, COMPARE_ROWS = 512, 256
BASELINE = "model-fp32"
# Students by name: the fraction of the model's layers, and of the neurons of their feed-forward layers.
STUDENTS = {"half": (2, 1.0), "third": (3, 1.0), "half-narrow": (2, 0.5)}
# Share of an int8 file from which on a part of it dominates: fewer tokens, or fewer neurons, pay off.
DOMINATES = 0.3
Q8_EPOCHS = 2


class Schedule(NamedTuple):
    """How long students train: epochs of phase 1 and phase 2 over a number of training rows."""

    first: int
    second: int
    rows: int


@dataclasses.dataclass(frozen=True)
class Base:
    """A float model from which files are made: the given one (`name` is "model"), or a student of it.

    `steps` make it; `folder` is it; `how` describes it as part of a sentence.
    """

    name: str
    how: str
    config: BertConfig
    folder: str
    steps: tuple[Step, ...] = ()


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model file to try. `steps` are all commands it needs beyond those of the rows, its export last.

    `breaks` names the candidate whose int8 file has to break the limit before this one is tried;
    `vocabulary` says that its records have fewer tokens.
    """

    name: str
    how: str
    precision: str
    base: Base
    steps: tuple[Step, ...]
    breaks: str = ""
    vocabulary: bool = False

    @property
    def seconds(self) -> float:
        """Estimated seconds of all its steps."""
        return sum(step.seconds for step in self.steps)

    def undone(self, journal: Journal) -> dict[str, float]:
        """{step: estimated seconds} of its steps that `journal` does not have; of a training that was
        interrupted, what is left."""
        return {
            step.name: max(step.seconds - journal.spent(step.name, step.arguments), 0.0)
            for step in self.steps
            if not journal.is_done(step.name, step.arguments, step.output)
        }

    def with_max_drop(self, points: float) -> Candidate:
        """The candidate whose export, where it has a limit, has this one."""
        export = self.steps[-1]
        if "max_drop" not in export.flags:
            return self
        export = dataclasses.replace(export, flags={**export.flags, "max_drop": points})
        return dataclasses.replace(self, steps=(*self.steps[:-1], export))


class Ladder:
    """Makes the candidates of a model, among them those of a general student, where there is one."""

    def __init__(
        self,
        teacher: BertConfig,
        general: BertConfig | None,
        rows: Rows,
        workspace: Workspace,
        config: CompressConfig,
    ) -> None:
        self.teacher, self.general, self.rows = teacher, general, rows
        self.workspace, self.config = workspace, config
        self.model = Base("model", "the given model", teacher, config.model_dir)
        self.weights = weight_flags(config)
        self.task_flags = {**rows.task_flags, **self.weights}
        self._has_labels = bool(rows.datasets["train"].labeled.any())
        self.once = Schedule(1, 1, rows.datasets["train"].rows)  # an epoch of each phase

    def candidates(self, schedule: Schedule, has_text: bool) -> list[Candidate]:
        """All candidates but the float32 file, without estimates. Without text the vocabulary stays."""
        bases = [self.model, *self.students(schedule)]
        found: list[Candidate] = []
        for base in bases:
            int8 = self.int8(base)
            found += [int8, self.mixed(base, int8.name)]
            if has_text and embedding_share(base.config) > DOMINATES:
                found.append(self.small_vocabulary(base))
        return [*found, *(self.q8bert(base, schedule) for base in bases)]

    def impossible(self, has_text: bool) -> list[LeftOut]:
        """The candidates that the rows do not allow, and why."""
        found, layers = [], self.teacher.num_hidden_layers
        if not has_text and any(
            embedding_share(base.config) > DOMINATES for base in (self.model, *self.students(self.once))
        ):
            found.append(
                LeftOut(
                    "int8-vocabulary",
                    "a smaller vocabulary needs text files, not records, and is not for token classification",
                )
            )
        if not self._has_labels and layers > 1 and neuron_share(self.teacher) > DOMINATES:
            found.append(
                LeftOut(
                    "half-narrow-int8", "the importance of neurons is measured on training rows with labels"
                )
            )
        return found

    def students(self, schedule: Schedule) -> list[Base]:
        """The students: those that have fewer layers than the model and than each other, and the general one
        after the first of them."""
        found: list[Base] = []
        layers = self.teacher.num_hidden_layers
        for name, (divisor, width) in STUDENTS.items():
            count = max(1, round(layers / divisor))
            narrow = width < 1
            if count >= layers or (not narrow and count in [b.config.num_hidden_layers for b in found]):
                continue
            if narrow and not (self._has_labels and neuron_share(self.teacher) > DOMINATES):
                continue
            found.append(self._own_layers(name, count, width, schedule))
        if self.general:
            found.insert(1, self._general_student(self.general, schedule))
        return found

    def _general_student(self, config: BertConfig, schedule: Schedule) -> Base:
        start: dict[str, object] = {"load_gd_ckpt_path": self.config.load_gd_ckpt_path}
        if config.num_attention_heads != self.teacher.num_attention_heads:  # their scores differ in shape
            start["intermediate_loss"] = "relation"
        layers = f"{config.num_hidden_layers} layer{'s' * (config.num_hidden_layers > 1)}"
        how = f"the general student, {layers} of {config.hidden_size}"
        return self._distilled("general", how, config.for_task(self.rows.task), (), start, schedule)

    def _own_layers(self, name: str, count: int, width: float, schedule: Schedule) -> Base:
        teacher = self.teacher
        layer_map = parse_layer_map("uniform", count, teacher.num_hidden_layers)
        listed = ",".join(map(str, layer_map))
        neurons = round(width * teacher.intermediate_size)
        config = teacher.replace(num_hidden_layers=count, intermediate_size=neurons)
        of = f"{listed.replace(',', ', ')} of {teacher.num_hidden_layers}"
        how = f"layer{'s' * (count > 1)} {of}"
        start: dict[str, object] = {"student_init": "teacher_layers", "num_hidden_layers": count}
        steps: list[Step] = []
        if width < 1:
            pruned = self.workspace.model(f"{name}-pruned")
            steps.append(self._prune_neurons(f"prune-{name}", pruned, layer_map, width))
            start, how = {"student_init": pruned}, f"{how} with {100 * width:.0f} % of their neurons"
        return self._distilled(name, how, config, steps, {**start, "layer_map": listed}, schedule)

    def _distilled(
        self,
        name: str,
        how: str,
        config: BertConfig,
        steps: Sequence[Step],
        start: Mapping[str, object],
        schedule: Schedule,
    ) -> Base:
        """The student that `steps` and a distillation make; `start` are the flags of its first weights."""
        folder = self.workspace.model(name)
        flags: dict[str, object] = {
            **self.task_flags,
            "load_teacher_ckpt_path": self.config.model_dir,
            "train_data_dir": self.rows.paths["train"],
            "eval_data_dir": self.rows.paths["choose"],
            "dataset_type": self.config.dataset_type,
            **start,
            "td_phase1_epoch_size": schedule.first,
            "td_phase2_epoch_size": schedule.second,
            **self._sample(schedule),
            "batch_size": BATCH,
            "seed": self.config.seed,
            "teacher_cache_dir": self.workspace.teacher_cache,
            "output_dir": folder,
        }
        step = Step(f"distill-{name}", "task_distill", flags, folder / "best", run_folder=folder)
        return Base(name, f"{how}, distilled from the model", config, str(folder / "best"), (*steps, step))

    def _prune_neurons(self, name: str, output: Path, layer_map: Sequence[int], width: float) -> Step:
        flags = {
            **self.task_flags,
            "model_dir": self.config.model_dir,
            "layers": ",".join(str(layer - 1) for layer in layer_map),
            "intermediate_size": width,
            "train_data_dir": self.rows.paths["train"],
            "dataset_type": self.config.dataset_type,
            "output_dir": output,
        }
        return Step(name, "prune", flags, output)

    def int8(self, base: Base) -> Candidate:
        """Integers by calibration, without training."""
        name = f"{base.name}-int8"
        export = self._export(name, base.folder, "int8", **self._calibration())
        return Candidate(name, f"{base.how}; calibrated", "int8", base, (*base.steps, export))

    def mixed(self, base: Base, after: str) -> Candidate:
        """Integers, the most sensitive layers in float32, so that the metric holds a limit."""
        name, limit = f"{base.name}-int8-mixed", self.config.max_drop
        export = self._export(name, base.folder, "int8", **self._calibration(), max_drop=limit)
        how = f"{base.how}; calibrated, its most sensitive layers in float32"
        return Candidate(name, how, "int8", base, (*base.steps, export), breaks=after)

    def small_vocabulary(self, base: Base) -> Candidate:
        """Integers, with the tokens of the training rows alone."""
        name = f"{base.name}-int8-vocabulary"
        folder, rows = self.workspace.model(f"{base.name}-vocabulary"), self.workspace.records(True)
        flags = {
            **self.weights,
            "model_dir": base.folder,
            "vocabulary_from": self.rows.paths["train"],
            "dataset_type": self.config.dataset_type,
            "output_dir": folder,
        }
        prune = Step(f"prune-{base.name}-vocabulary", "prune", flags, folder)
        halves = self.workspace.halves(True) / f"choose.{self.config.dataset_type}"
        where = {**self._calibration(), "calibration_data": rows, "eval_data_dir": halves}
        export = self._export(name, folder, "int8", **where)
        how = f"{base.how}; calibrated, with a smaller vocabulary"
        return Candidate(name, how, "int8", base, (*base.steps, prune, export), vocabulary=True)

    def q8bert(self, base: Base, schedule: Schedule) -> Candidate:
        """Integers by training with rounding, distilled from the given model."""
        name, folder = f"{base.name}-q8bert", self.workspace.model(f"{base.name}-q8bert")
        flags = {
            **self.task_flags,
            "load_ckpt_path": base.folder,
            "load_teacher_ckpt_path": self.config.model_dir,
            "train_data_dir": self.rows.paths["train"],
            "eval_data_dir": self.rows.paths["choose"],
            "dataset_type": self.config.dataset_type,
            "epoch_num": Q8_EPOCHS,
            **self._sample(schedule),
            "per_channel": True,
            "batch_size": BATCH,
            "seed": self.config.seed,
            "teacher_cache_dir": self.workspace.teacher_cache,
            "output_dir": folder,
        }
        train = Step(f"quantize-{base.name}", "q8bert_train", flags, folder / "best", run_folder=folder)
        export = self._export(name, folder / "best", "int8")
        how = f"{base.how}; trained with rounding to 8 bits"
        return Candidate(name, how, "int8", base, (*base.steps, train, export), breaks=f"{base.name}-int8")

    def _sample(self, schedule: Schedule) -> dict[str, object]:
        return {} if schedule.rows == self.once.rows else {"max_rows": schedule.rows}

    def _calibration(self) -> dict[str, object]:
        return {
            "calibration_data": self.rows.paths["train"],
            "calibration_rows": CALIBRATION_ROWS,
            "per_channel": True,
        }

    def _export(self, name: str, source: object, precision: str, **more: object) -> Step:
        output = self.workspace.candidate(name)
        flags: dict[str, object] = {
            "model_dir": source,
            "precision": precision,
            **self.task_flags,
            "eval_data_dir": self.rows.paths["choose"],
            "dataset_type": self.config.dataset_type,
            "compare_rows": COMPARE_ROWS,
            **more,
            "output_dir": output,
        }
        return Step(f"export-{name}", "export", flags, output)


def weight_flags(config: CompressConfig) -> dict[str, object]:
    """The flags of every step that reads the weights of the given model."""
    return {"ignore_unexpected": config.ignore_unexpected} if config.ignore_unexpected else {}


def embedding_share(config: BertConfig) -> float:
    """Share of the weights that are token embeddings."""
    rows, columns = expected_shapes(config)["bert.embeddings.word_embeddings.weight"]
    return rows * columns / weight_count(config)


def neuron_share(config: BertConfig) -> float:
    """Share of the weights that are feed-forward neurons."""
    neurons = 2 * config.num_hidden_layers * config.hidden_size * config.intermediate_size
    return neurons / weight_count(config)
