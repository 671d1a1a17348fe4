"""Task distillation (TinyBERT, Jiao et al. 2020, section 3.2): intermediate layers, then the prediction."""

from dataclasses import fields

from src.config.evaluate_config import EvaluateConfig
from src.config.td_config import STUDENT_NET, TEACHER_NET
from src.distill.layer_map import parse_layer_map
from src.distill.network import DistillNetwork
from src.distill.objective import intermediate_rows, prediction_rows
from src.errors import UserError
from src.metrics import best_of, short_name
from src.model.layers import Dense
from src.model.loading import load_strict
from src.model.names import parameter_count
from src.stages import load, student
from src.stages.evaluate import evaluate
from src.stages.evaluation import Evaluator, epoch_evaluation
from src.stages.run import Run
from src.stages.training import PhasePlan, freeze, resumed_phase, train_phase
from src.tasks import find_task


def task_distill(task, resolved):
    """Distil, or evaluate alone, as do_train and do_eval say. Returns the Run, or the metrics."""
    config = resolved.config
    if not config.do_train:
        return _evaluate_alone(config)
    teacher_files = load.read_model(
        _required(config.load_teacher_ckpt_path, "load_teacher_ckpt_path"), print, TEACHER_NET
    )
    student_files = student.read_student(config, STUDENT_NET, print)
    layer_map = parse_layer_map(
        config.layer_map,
        _student_layers(config, student_files, teacher_files),
        teacher_files.config.num_hidden_layers,
    )
    table = load.sample_rows(
        load.read_split(config, config.train_data_dir, "train"), config.max_rows, print
    )
    load.check_tokenizer(teacher_files, table, config.train_data_dir)
    load.check_table(table, teacher_files.config, task, config.train_data_dir)
    run = Run("task_distill", task, resolved)
    return Distillation(run, teacher_files, student_files, layer_map, table).distil()


def _evaluate_alone(config):
    if not config.do_eval:
        raise UserError("do_train and do_eval are both false: nothing to do")
    path = _required(config.load_td1_ckpt_path, "load_td1_ckpt_path")
    evaluated = EvaluateConfig(
        **{
            field.name: getattr(config, field.name)
            for field in fields(EvaluateConfig)
            if field.name != "model_dir"
        },
        model_dir=path,
    )
    metrics, task = evaluate(evaluated, STUDENT_NET, print), find_task(config.task_name)
    print(f"The best {short_name(task)} is {best_of(task, metrics):.6f}")
    return metrics


def _required(value, name):
    if not value:
        raise UserError(
            f"--{name} is required: a model directory, or a .ckpt with its config in td_config.py"
        )
    return value


def _student_layers(config, student_files, teacher_files):
    if student_files:
        return student_files.config.num_hidden_layers
    return student.fresh_config(config, teacher_files.config).num_hidden_layers


class Distillation:
    """Teacher, student and records of one run, and its two phases."""

    def __init__(self, run, teacher_files, student_files, layer_map, table):
        self.run, self.config, self.task, self.table = run, run.config, run.task, table
        say = run.journal.say
        self.layer_map = layer_map
        self.order = load.label_order(teacher_files.config.labels, run.task, teacher_files.source, say)
        teacher, self.teacher_config = load.classifier_from(
            teacher_files, run.task.labels, run.task, run.device, say
        )
        self.teacher = freeze(teacher)
        self.student, self.student_config = student.build(run, student_files, teacher_files, layer_map)
        load.check_table(table, self.student_config, run.task, run.config.train_data_dir)
        self.projection = self._projection(student_files)
        self.tokenizer_dir = teacher_files.tokenizer_dir
        say(
            f"teacher {parameter_count(teacher):,} parameters, student {parameter_count(self.student):,}; "
            "layer map "
            + ", ".join(f"{m + 1}<-{layer}" for m, layer in enumerate(layer_map))
        )

    def distil(self):
        """Both phases, from wherever the run stands."""
        run, config = self.run, self.config
        batches = load.make_batches(self.table, config, config.batch_size, config.do_shuffle)
        evaluate = None
        if config.do_eval:
            evaluator = Evaluator(self.student, self.student_config, self.task, config)
            evaluate = epoch_evaluation(run, evaluator, self.student, self.student_config, self.tokenizer_dir)
        if not config.load_td1_ckpt_path and resumed_phase(run) < 2:
            train_phase(
                run,
                PhasePlan(
                    1, "phase 1 (intermediate layers)", config.td_phase1_epoch_size, config.learning_rate
                ),
                self._intermediate(),
                batches,
                evaluate if config.phase1_eval else None,
            )
            run.write_model("phase1", self.student, self.student_config, self.tokenizer_dir)
        train_phase(
            run,
            PhasePlan(
                2, "phase 2 (prediction layer)", config.td_phase2_epoch_size, config.phase2_learning_rate
            ),
            self._prediction(),
            batches,
            evaluate,
        )
        run.write_model("last", self.student, self.student_config, self.tokenizer_dir, run.best_metrics)
        run.finish()
        return run

    def _intermediate(self):
        config, student_config, teacher_config = self.config, self.student_config, self.teacher_config
        if (
            config.attention_weight
            and student_config.num_attention_heads != teacher_config.num_attention_heads
        ):
            raise UserError(
                f"the student has {student_config.num_attention_heads} heads, the teacher "
                f"{teacher_config.num_attention_heads}: give the student as many, or switch the attention "
                "loss off with --attention_weight 0"
            )
        rows = intermediate_rows(config.embedding_weight, config.hidden_weight, config.attention_weight)
        return DistillNetwork(
            self.student,
            rows,
            self.teacher,
            self.layer_map,
            self.projection,
            include_padding=config.loss_padding == "include",
        )

    def _prediction(self):
        config = self.config
        rows = prediction_rows(
            self.task.output_mode == "regression", config.label_weight, config.regression_target == "label"
        )
        return DistillNetwork(
            self.student, rows, self.teacher, temperature=config.temperature, teacher_order=self.order
        )

    def _projection(self, student_files):
        widths = self.student_config.hidden_size, self.teacher_config.hidden_size
        if widths[0] == widths[1]:
            return None
        projection = Dense(*widths, self.student_config)
        carried = {
            name.removeprefix("hidden_projection."): array
            for name, array in (student_files.arrays if student_files else {}).items()
            if name.startswith("hidden_projection.")
        }
        if carried:
            load_strict(projection, carried, f"{student_files.source} (hidden_projection)")
            self.run.journal.say("the hidden projection of the general student is carried along")
        return projection
