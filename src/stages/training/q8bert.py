"""Quantization-aware training (Q8BERT, Zafrir et al. 2019): fine-tuning with weights and inputs rounded.

Without a step of training it is post-training quantization: ranges are measured, weights stay as they are.
"""

from ...config.q8bert_config import NO_INIT, STUDENT_NET, TEACHER_NET
from ...data import splits as tables
from ...distill.network import DistillNetwork
from ...distill.objective import label_rows, prediction_rows
from ...errors import UserError
from ...metrics import short_name
from ...quant.layers import bind_ranges
from ...train.distributed import all_reduce_max
from ...train.trainer import phase_steps
from ...weights.huggingface import weight_count
from ..evaluation.evaluator import epoch_evaluation
from ..model import load
from ..model.quantization import calibrate, init_ranges
from .fit import PhaseSpec, freeze, resumed_phase, train_phase
from .run import Run
from .teacher import Teacher, attach_teacher


def q8bert(task, resolved):
    """Quantize a model by training or by calibration alone, evaluate, keep the best. Returns the Run."""
    config = resolved.config
    if not config.load_ckpt_path:
        raise UserError("--load_ckpt_path is required: the model to quantize, a directory or a .ckpt")
    run = Run("q8bert", task, resolved)
    run.log_name = "loss"
    table = tables.train_table(config, run.logger.info)
    network, bert_config, tokenizer_dir = _student(run, table)
    teacher = _teacher(run, table)
    evaluate = None
    if config.do_eval:
        evaluate = epoch_evaluation(run, network, bert_config, tokenizer_dir, _wording)
    batches = tables.train_batches(table, run, config.epoch_num)
    run.open()
    bind_ranges(network, config.ema_decay, all_reduce_max(run.ranks))
    if config.do_quant and not resumed_phase(run):
        _set_ranges(run, network, batches)
    title = "quantization-aware training" if config.do_quant else "training in float"
    plan = PhaseSpec(1, title, config.epoch_num, config.learning_rate, config.eval_ckpt_step)
    objective, lesson = _objective(run, plan, batches, network, teacher)
    train_phase(run, plan, objective, batches, evaluate, lesson)
    if evaluate and not phase_steps(config.epoch_num, config.train_steps, batches.steps_per_epoch):
        evaluate(0, 0)
    run.write_model("last", network, bert_config, tokenizer_dir, run.last_metrics)
    if run.best_value is not None:
        run.logger.info(f"best {short_name(task)}: {run.best_value:.6f}")
    run.finish()
    return run


def _read(run, table, path, zoo_config, part):
    files = load.read_model(path, run.logger.info, zoo_config, part)
    tables.check_tokenizer(files.tokenizer_dir, table, run.config.train_data_dir)
    tables.check_table(table, files.config, run.task, run.config.train_data_dir)
    return files


def _student(run, table):
    """The network to quantize, its config and the folder of its tokenizer."""
    config, log = run.config, run.logger.info
    files = _read(run, table, config.load_ckpt_path, STUDENT_NET, "student")
    changes = load.dropout_rates(files.config, config)
    if config.cls_dropout_prob >= 0:
        changes["classifier_dropout"] = config.cls_dropout_prob
    # A new head is of use only where it will be trained.
    network, bert_config = load.classifier_from(
        files, run.task, run.device, log, config.epoch_num > 0, **changes, quantization=config.quantization
    )
    log(f"{weight_count(bert_config):,} parameters, {_described(config.quantization)}")
    return network, bert_config, files.tokenizer_dir


def _described(quantization):
    if quantization is None:
        return "in float"
    each = "output" if quantization.per_channel else "tensor"
    return (
        f"weights in {quantization.weight_bits} bits (a range for each {each}), embeddings in "
        f"{quantization.embedding_bits}, inputs of dense layers in {quantization.activation_bits}; 0 is float"
    )


def _teacher(run, table):
    """The Teacher to distil from, or None."""
    path = run.config.load_teacher_ckpt_path
    if not path:
        return None
    files = _read(run, table, path, TEACHER_NET, "teacher")
    teacher, bert_config = load.classifier_from(files, run.task, run.device, run.logger.info)
    run.logger.info(f"teacher from {files.source}, {weight_count(bert_config):,} parameters")
    return Teacher(freeze(teacher), bert_config, files.source)


def _objective(run, plan, batches, network, teacher):
    """The network with its losses: to the labels, or to a teacher (and the labels with is_lgt_fit).

    Returns the DistillNetwork and the CachedTeacher of a teacher that is not in it.
    """
    config, mode = run.config, run.task.output_mode
    if teacher is None:
        return DistillNetwork(network, label_rows(mode)), None
    rows = prediction_rows(mode, label_weight=float(config.is_lgt_fit))
    inside, lesson = attach_teacher(run, plan, batches, rows, teacher)
    return DistillNetwork(network, rows, inside, temperature=config.temperature), lesson


def _set_ranges(run, network, batches):
    """Bring the ranges to where the moving average begins."""
    config = run.config
    if config.activation_init != NO_INIT:
        count = init_ranges(network, float(config.activation_init))
        run.logger.info(f"input ranges not set before: {count}, which begin at {config.activation_init}")
    if config.activation_bits and config.calibration_steps:
        rows = calibrate(network, batches, config.calibration_steps)
        run.logger.info(f"input ranges: the largest over {rows} training rows")


def _wording(metrics):
    """The line of an evaluation, with the metrics' names as the model zoo's Q8BERT writes them."""
    names = [name for name in metrics if name.startswith("eval_") and "samples" not in name]
    return f"The current result is { ({name.removeprefix('eval_'): metrics[name] for name in names}) }"
