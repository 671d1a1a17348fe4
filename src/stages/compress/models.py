"""The given model and the general student on disk, checked before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...config.bert_config import BertConfig
from ...data.tokenization.settings import differing_setting
from ...data.tokenization.tokenizer import model_tokenizer
from ...errors import UserError
from ...weights.huggingface import check_weights
from ..model.inference import export_info, task_of
from ..model.load import ModelFiles, read_model
from ..model.quantization import refuse_quantized

if TYPE_CHECKING:
    from ...tools.compress import CompressConfig


def read_given(config: CompressConfig) -> ModelFiles:
    """The files of the given model. Raises UserError where it is no fine-tuned float model."""
    if export_info(Path(config.model_dir)):
        raise UserError(f"{config.model_dir} is already an export; give the model folder it was made from")
    files = read_model(config.model_dir, lambda text: None, ignore_unexpected=config.ignore_unexpected)
    refuse_quantized(files)
    task_of(files)
    model_tokenizer(files)
    return files


def read_general(config: CompressConfig, model: ModelFiles) -> BertConfig:
    """The config of the general student. Raises UserError where it cannot be a student of the given model."""
    files = read_model(
        config.load_gd_ckpt_path, lambda text: None, ignore_unexpected=config.ignore_unexpected
    )
    refuse_quantized(files)
    check_weights(files.arrays, files.config, files.source)
    files.arrays.clear()
    student, teacher = files.config, model.config
    where = f"--load_gd_ckpt_path {config.load_gd_ckpt_path}"
    if student.num_hidden_layers > teacher.num_hidden_layers:
        raise UserError(
            f"{where} has {student.num_hidden_layers} layers, more than the {teacher.num_hidden_layers} of "
            f"{config.model_dir}; give a smaller general student"
        )
    ours, theirs = model_tokenizer(model).settings, model_tokenizer(files).settings
    if differing := differing_setting(theirs, ours):
        raise UserError(
            f"{where} has another tokenizer than {config.model_dir} ({differing} is {theirs.get(differing)}, "
            f"not {ours.get(differing)}); a student reads the tokens of its teacher: give one of the same "
            "vocabulary"
        )
    return student
