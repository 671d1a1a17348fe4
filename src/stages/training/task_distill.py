"""Task distillation (TinyBERT, Jiao et al. 2020, section 3.2): intermediate layers, then the prediction."""

from dataclasses import fields

from ...config.evaluate_config import EvaluateConfig
from ...config.fields import to_dict
from ...config.task.from_records import task_for
from ...config.td_config import STUDENT_NET, TEACHER_NET
from ...data import splits as tables
from ...errors import UserError
from ...metrics import best_of, short_name
from ..evaluation.evaluate import evaluate
from ..model import load
from . import student
from .distillation import Distillation
from .run import Run


def task_distill(task, resolved):
    """Distil, or evaluate alone, as do_train and do_eval say. Returns the Run, or the metrics."""
    config = resolved.config
    if not config.do_train:
        return _evaluate_alone(config)
    path = _required(config.load_teacher_ckpt_path, "load_teacher_ckpt_path")
    run = Run("task_distill", task, resolved)
    log = run.logger.info
    teacher_files = load.read_model(path, log, TEACHER_NET, "teacher")
    student_files = student.read_student(config, STUDENT_NET, log)
    distillation = Distillation(run, teacher_files, student_files, _tables(config, log))
    # The networks have copies of the weights: those of a BERT-base would take 0.4 GB to the end of the run.
    del teacher_files, student_files
    run.open()
    distillation.distil()
    run.finish()
    return run


def _tables(config, log):
    """(folder, table) of the training records of both phases; each folder is read once."""
    given, more = config.train_data_dir, config.augmented_data_dir
    if not more:
        return [(given, tables.train_table(config, log))] * 2
    augmented = more, tables.sample_rows(tables.read_split(config, more, "train"), config.max_rows, log)
    return [augmented, augmented if config.phase2_augmented else (given, tables.train_table(config, log))]


def _evaluate_alone(config):
    if not config.do_eval:
        raise UserError("do_train and do_eval are both false: nothing to do")
    path = _required(config.load_td1_ckpt_path, "load_td1_ckpt_path")
    evaluated = EvaluateConfig(
        **{
            field.name: getattr(config, field.name)
            for field in fields(EvaluateConfig)
            if hasattr(config, field.name)
        },
        model_dir=path,
    )
    metrics, task = evaluate(evaluated, STUDENT_NET, print), task_for(to_dict(config))
    print(f"The best {short_name(task)} is {best_of(task, metrics):.6f}")
    return metrics


def _required(value, name):
    if not value:
        raise UserError(
            f"--{name} is required: a model directory, or a .ckpt with its config in td_config.py"
        )
    return value
