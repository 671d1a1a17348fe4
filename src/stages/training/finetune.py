"""Fine-tuning: pretrained or fresh BERT + labelled records -> the teacher of a task, or the baseline."""

from pathlib import Path

from ...config.student_config import check_architecture, fresh_student
from ...data import splits as tables
from ...data.tokenization.tokenizer import load_tokenizer
from ...distill.network import DistillNetwork
from ...distill.objective import label_rows
from ...errors import UserError
from ...model.bert import BertClassifier
from ...model.state_dict import parameter_count
from ...weights.huggingface import tokenizer_files
from ..evaluation.evaluator import epoch_evaluation
from ..model import load
from ..model.quantization import refuse_quantized
from .fit import PhaseSpec, train_phase
from .run import Run


def finetune(task, resolved):
    """Train on labels, evaluate each epoch, keep the best. Returns the Run."""
    config = resolved.config
    if (config.init == "fresh") == bool(config.load_pretrained_path):
        raise UserError(
            "give --load_pretrained_path, or --init fresh for a student on labels alone, not both"
            if config.load_pretrained_path
            else "--load_pretrained_path is required: a pretrained directory (or --init fresh)"
        )
    if config.new_head and not config.load_pretrained_path:
        raise UserError("--new_head replaces that of a given model; give one with --load_pretrained_path")
    if config.vocab_dir and config.load_pretrained_path:
        raise UserError("--vocab_dir is for --init fresh: a given model has its own tokenizer; leave it out")
    run = Run("finetune", task, resolved)
    table = tables.train_table(config, run.logger.info)
    network, bert_config, tokenizer_dir = _network(run)
    tables.check_tokenizer(tokenizer_dir, table, config.train_data_dir)
    tables.check_table(table, bert_config, task, config.train_data_dir)
    run.logger.info(f"{parameter_count(network):,} parameters")
    evaluate = epoch_evaluation(run, network, bert_config, tokenizer_dir)
    batches = tables.train_batches(table, run, config.epoch_size)
    run.open()
    plan = PhaseSpec(1, "finetune", config.epoch_size, config.learning_rate)
    train_phase(run, plan, DistillNetwork(network, label_rows(task.output_mode)), batches, evaluate)
    run.write_model("last", network, bert_config, tokenizer_dir, run.last_metrics)
    run.finish()
    return run


def _network(run):
    """The network to train, its config and the folder of its tokenizer."""
    config, task, log = run.config, run.task, run.logger.info
    if config.load_pretrained_path:
        files = load.read_model(config.load_pretrained_path, log)
        refuse_quantized(files)
        check_architecture(config, files.config, files.source)
        if config.new_head:
            files = load.without_head(files, log)
        rates = load.dropout_rates(files.config, config)
        network, bert_config = load.classifier_from(files, task, run.device, log, True, **rates)
        return network, bert_config, files.tokenizer_dir
    tokenizer_dir = _records_tokenizer(config.vocab_dir, config.train_data_dir)
    bert_config = fresh_student(
        config,
        vocab_size=load_tokenizer(tokenizer_dir).settings["vocab_size"],
        dtype=run.device.dtype,
        compute_type=run.device.compute_type,
    ).for_task(task)
    size = f"{bert_config.num_hidden_layers}L-{bert_config.hidden_size}"
    log(f"fresh weights: {size}, trained on labels alone")
    return BertClassifier(bert_config, run.device.layers), bert_config, tokenizer_dir


def _records_tokenizer(vocab_dir, records):
    """The folder with the tokenizer files of a fresh student: `vocab_dir`, else that of the records."""
    folder = Path(vocab_dir or records)
    folder = folder if folder.is_dir() else folder.parent
    if not tokenizer_files(folder):
        raise UserError(f"{folder} holds no tokenizer files; give --vocab_dir")
    return folder
