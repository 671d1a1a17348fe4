"""Teacher, student and records put together, and TinyBERT's two phases over them."""

from functools import partial

from ...data import splits as tables
from ...distill.network import TEACHER_FEATURES, DistillNetwork
from ...distill.objective import prediction_rows
from ...model.state_dict import parameter_count
from ..evaluation.evaluator import epoch_evaluation
from ..model import load
from . import student
from .fit import PhaseSpec, freeze, resumed_phase, train_phase
from .layer_distill import check_objective, layer_map_of, projection_for, train_intermediate
from .teacher import Teacher, attach_teacher


class Distillation:
    """One task distillation. Making it reads and checks everything and writes nothing.

    `by_phase` holds for each phase the folder of its records and their table.
    """

    def __init__(self, run, teacher_files, student_files, by_phase):
        self.run, self.config = run, run.config
        task, log = run.task, run.logger.info
        ours = (
            student_files.config if student_files else student.fresh_config(run.config, teacher_files.config)
        )
        tokenizers = [files.tokenizer_dir for files in (teacher_files, student_files) if files]
        for records, table in dict(by_phase).items():
            for folder in tokenizers:
                tables.check_tokenizer(folder, table, records)
            for config in (teacher_files.config, ours):
                tables.check_table(table, config, task, records)
        teacher, self.teacher_config = load.classifier_from(teacher_files, task, run.device, log)
        # Without epochs there is no phase 1 either, and nothing that it needs is asked for.
        self.phase1 = run.config.td_phase1_epoch_size > 0 and not run.config.load_td1_ckpt_path
        mapped = self.phase1 or run.config.student_init == "teacher_layers"
        self.layer_map = layer_map_of(run.config, ours, self.teacher_config) if mapped else ()
        self.student, self.student_config = student.build(run, student_files, teacher_files, self.layer_map)
        if self.phase1:
            check_objective(run.config, self.student_config, self.teacher_config)
        self.projection = self._projection(student_files)
        self.tokenizer_dir = next(filter(None, tokenizers), None)
        # Each phase compiles graphs of its own, so that neither has both phases' epochs to pay for them.
        epochs = max(run.config.td_phase1_epoch_size, run.config.td_phase2_epoch_size)
        made = {path: tables.train_batches(table, run, epochs) for path, table in dict(by_phase).items()}
        self.batches = [made[path] for path, _ in by_phase]
        later = self._asked_later()
        self.teacher = Teacher(freeze(teacher), self.teacher_config, teacher_files.source, later)
        self.evaluate = None
        if self.config.do_eval:
            self.evaluate = epoch_evaluation(run, self.student, self.student_config, self.tokenizer_dir)
        pairs = ", ".join(f"{m + 1}<-{layer}" for m, layer in enumerate(self.layer_map))
        log(
            f"teacher {parameter_count(teacher):,} parameters, student {parameter_count(self.student):,}"
            f"{'; layer map ' if mapped else ''}{pairs}"
        )

    def distil(self):
        """The phases that are asked for, from wherever the run stands."""
        run, config = self.run, self.config
        if self.phase1 and resumed_phase(run) < 2:
            title, epochs = "phase 1 (intermediate layers)", config.td_phase1_epoch_size
            evaluate = None
            if self.evaluate and config.phase1_eval:
                # By chance the untrained head may beat phase 2's: best/ is phase 2's, where there is one.
                evaluate = partial(self.evaluate, keep=not config.td_phase2_epoch_size)
            plan = PhaseSpec(1, title, epochs, config.learning_rate)
            has_teacher = self.student, self.layer_map, self.projection
            train_intermediate(run, plan, self.batches[0], has_teacher, self.teacher, evaluate)
            run.write_model("phase1", self.student, self.student_config, self.tokenizer_dir)
        title, epochs = "phase 2 (prediction layer)", config.td_phase2_epoch_size
        plan = PhaseSpec(2, title, epochs, config.phase2_learning_rate)
        self._train_prediction(plan)
        run.write_model("last", self.student, self.student_config, self.tokenizer_dir, run.last_metrics)

    def _asked_later(self):
        """What phase 2 asks of the teacher about phase 1's rows: one pass of the teacher serves both."""
        if not self.config.td_phase2_epoch_size or self.batches[0].table is not self.batches[1].table:
            return ()
        return tuple(row.feature for row in self._prediction_rows() if row.feature in TEACHER_FEATURES)

    def _prediction_rows(self):
        config = self.config
        by_label = config.regression_target == "label"
        return prediction_rows(self.run.task.output_mode, config.label_weight, by_label)

    def _train_prediction(self, plan):
        config, rows = self.config, self._prediction_rows()
        inside, lesson = attach_teacher(self.run, plan, self.batches[1], rows, self.teacher)
        network = DistillNetwork(self.student, rows, inside, temperature=config.temperature)
        train_phase(self.run, plan, network, self.batches[1], self.evaluate, lesson)

    def _projection(self, student_files):
        configs = self.student_config, self.teacher_config
        if not (student_files and self.config.carry_projection):
            return projection_for(*configs)
        return projection_for(*configs, student_files.arrays, student_files.source, self.run.logger.info)
