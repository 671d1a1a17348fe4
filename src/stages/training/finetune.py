"""Fine-tuning: a pretrained or fresh BERT and labeled records -> the teacher of a task, or a baseline."""

from __future__ import annotations

from pathlib import Path

from ...config.bert_config import BertConfig
from ...config.cli import Resolved
from ...config.student_config import check_architecture, fresh_student
from ...data import splits
from ...data.tokenization.tokenizer import load_tokenizer
from ...distill.network import DistillNetwork
from ...distill.objective import label_terms
from ...errors import UserError
from ...model.bert import BertClassifier
from ...model.state_dict import parameter_count
from ...tasks import TaskSpec
from ...weights.huggingface import tokenizer_files
from ..evaluation.evaluator import EpochEvaluation
from ..model import load
from ..model.quantization import refuse_quantized
from . import student
from .fit import PhaseSpec, train_phase
from .run import Run
from .verdict import conclude, log_data_warnings


def finetune(task: TaskSpec, resolved: Resolved) -> Run:
    """Train on labels, evaluate after each epoch, keep the best. Returns the Run."""
    config = resolved.config
    if (config.init == "fresh") == bool(config.load_pretrained_path):
        raise UserError(
            "--load_pretrained_path and --init fresh are mutually exclusive"
            if config.load_pretrained_path
            else "--load_pretrained_path is required: a model folder (or --init fresh)"
        )
    if config.new_head and not config.load_pretrained_path:
        raise UserError("--new_head replaces the head of a given model; give one with --load_pretrained_path")
    if config.vocab_dir and config.load_pretrained_path:
        raise UserError("--vocab_dir is for --init fresh: a given model has its own tokenizer; leave it out")
    run = Run("finetune", task, resolved)
    network, bert_config, tokenizer_dir = _network(run)
    models = [(bert_config, tokenizer_dir)]
    folder, epochs = config.train_data_dir, config.epoch_size
    (loader,) = splits.train_loaders(run, [folder], models, epochs, needs_labels=True)
    run.logger.info(f"{parameter_count(network):,} parameters")
    evaluate = EpochEvaluation(run, network, bert_config, tokenizer_dir)
    run.open()
    log_data_warnings(run, loader, evaluate)
    spec = PhaseSpec(1, "finetune", config.epoch_size, config.learning_rate)
    train_phase(run, spec, DistillNetwork(network, label_terms(task.output_mode)), loader, evaluate)
    run.write_model("last", network, bert_config, tokenizer_dir, run.last_metrics)
    conclude(run, evaluate)
    run.finish()
    return run


def _network(run: Run) -> tuple[BertClassifier, BertConfig, Path | None]:
    """The network to train, its config and the folder of its tokenizer."""
    config, task, log = run.config, run.task, run.logger.info
    if config.load_pretrained_path:
        files = load.read_model(config.load_pretrained_path, log, ignore_unexpected=config.ignore_unexpected)
        refuse_quantized(files)
        if config.new_head:
            files = load.drop_head(files, log)
        if config.init == "teacher_layers":
            return *_student_of_layers(run, files), files.tokenizer_dir
        check_architecture(config, files.config, files.source)
        rates = load.dropout_rates(files.config, config)
        network, bert_config = load.load_classifier(files, task, run.device, log, True, **rates)
        return network, bert_config, files.tokenizer_dir
    tokenizer_dir = _records_tokenizer(config.vocab_dir or config.train_data_dir)
    bert_config = fresh_student(
        config,
        vocab_size=load_tokenizer(tokenizer_dir).settings["vocab_size"],
        dtype=run.device.dtype,
        compute_type=run.device.compute_type,
    ).for_task(task)
    size = f"{bert_config.num_hidden_layers}L-{bert_config.hidden_size}"
    log(f"{size}, initialized randomly, trained on labels alone")
    return BertClassifier(bert_config, run.device.layers), bert_config, tokenizer_dir


def _student_of_layers(run: Run, files: load.ModelFiles) -> tuple[BertClassifier, BertConfig]:
    """The network that task distillation would start from with this teacher, and its config."""
    bert_config = student.own_layers_config(run.config, files.config).for_task(run.task)
    bert_config = bert_config.replace(dtype=run.device.dtype, compute_type=run.device.compute_type)
    network = BertClassifier(bert_config, run.device.layers)
    student.copy_teacher_layers(network, bert_config, files, "uniform", run.task, run.logger.info)
    return network, bert_config


def _records_tokenizer(path: str) -> Path:
    """The folder with the tokenizer files of a fresh student: --vocab_dir, or that of the records."""
    if not path:
        raise UserError("no records: give --train_data_dir")
    folder = Path(path)
    folder = folder if folder.is_dir() else folder.parent
    if not tokenizer_files(folder):
        raise UserError(f"{folder} holds no tokenizer files; give --vocab_dir")
    return folder
