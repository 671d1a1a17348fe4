"""The task student: a general student, random weights, or layers of its teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...config.bert_config import BertConfig
from ...config.student_config import STUDENT_STARTS, StudentConfig, check_architecture, fresh_student
from ...config.td_config import TaskDistillConfig
from ...distill.layer_map import parse_layer_map
from ...errors import UserError, did_you_mean
from ...model.bert import BertClassifier
from ...model.state_dict import load_strict
from ...tasks import TaskSpec
from ...weights.huggingface import POOLER, drop_unused_pooler, without_ranges
from ..model import load
from ..model.quantization import refuse_quantized
from .run import Run

# Fields in which a student that copies layers has to agree with its teacher.
SHARED_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "hidden_act",
    "head_size",
    "use_relative_positions",
)
# Fields that no flag of a student of its teacher's layers sets.
ALWAYS_SHARED = (
    "vocab_size",
    "type_vocab_size",
    "max_position_embeddings",
    "pad_token_id",
    "model_type",
    "embedding_size",
    "layer_norm_eps",
    "attention_head_size",
)


def read_student(
    config: TaskDistillConfig, zoo_config: BertConfig, log: Callable[[str], None]
) -> load.ModelFiles | None:
    """The student's files (general, or after phase 1); None for a fresh student."""
    path, start = config.load_td1_ckpt_path or config.load_gd_ckpt_path, config.student_init
    if start not in ("auto", "general") and path:
        flag = "load_td1_ckpt_path" if config.load_td1_ckpt_path else "load_gd_ckpt_path"
        raise UserError(f"--{flag} and --student_init {start} are mutually exclusive")
    if start not in STUDENT_STARTS:
        if not (start and Path(start).exists()):
            raise UserError(
                f'--student_init "{start}" is none of {", ".join(STUDENT_STARTS)} and no model folder'
                f"{did_you_mean(start, STUDENT_STARTS)}"
            )
        path = start
    if not path and config.new_head:
        raise UserError("--new_head replaces the head of a given student; give one with --load_gd_ckpt_path")
    if not path:
        return None
    files = load.read_model(path, log, zoo_config, "student", config.ignore_unexpected)
    refuse_quantized(files)
    check_architecture(config, files.config, files.source)
    return load.drop_head(files, log) if config.new_head else files


def fresh_config(config: StudentConfig, teacher: BertConfig) -> BertConfig:
    """The config of a fresh BERT student: preset and flags, with the teacher's vocabulary and positions."""
    return fresh_student(
        config,
        vocab_size=teacher.vocab_size,
        type_vocab_size=teacher.type_vocab_size or BertConfig.type_vocab_size,
        max_position_embeddings=teacher.max_position_embeddings,
        pad_token_id=teacher.pad_token_id,
    )


def own_layers_config(config: StudentConfig, teacher: BertConfig) -> BertConfig:
    """The config of a student of its teacher's layers, of the teacher's family.

    It has the teacher's sizes and half of the layers, unless preset and flags name others.
    """
    names: tuple[str, ...] = (*ALWAYS_SHARED, *(() if config.student_preset else SHARED_FIELDS[:4]))
    shared = {name: getattr(teacher, name) for name in names}
    if not config.student_preset:
        shared["num_hidden_layers"] = (teacher.num_hidden_layers + 1) // 2
    student = fresh_student(config, **shared)
    if config.student_preset:
        return student
    if config.head_activation == StudentConfig.head_activation:
        student = student.replace(head_activation=teacher.head_activation)
    relative = student.use_relative_positions or teacher.use_relative_positions
    return student.replace(use_relative_positions=relative)


def build(
    run: Run, files: load.ModelFiles | None, student_config: BertConfig, teacher_files: load.ModelFiles
) -> tuple[BertClassifier, BertConfig]:
    """The student network and its config, from `files` or fresh; the origin of its weights is logged."""
    config, task, log = run.config, run.task, run.logger.info
    if files:
        log(f"student from {files.source}")
        rates = load.dropout_rates(files.config, config)
        return load.load_classifier(files, task, run.device, log, True, **rates)
    student_config = student_config.for_task(task).replace(
        dtype=run.device.dtype, compute_type=run.device.compute_type
    )
    network = BertClassifier(student_config, run.device.layers)
    if config.start == "teacher_layers":
        copy_teacher_layers(network, student_config, teacher_files, config.layer_map, task, log)
    else:
        log("student: no general student given (load_gd_ckpt_path is empty), initialized randomly")
    return network, student_config


def copy_teacher_layers(
    network: BertClassifier,
    student_config: BertConfig,
    teacher_files: load.ModelFiles,
    layer_map_text: str,
    task: TaskSpec,
    log: Callable[[str], None],
) -> None:
    """Load the teacher's embeddings, pooler, mapped layers and, where it is of this task, head; logged.

    `layer_map_text` as for parse_layer_map. Raises UserError where student and teacher differ in a size.
    """
    for field in SHARED_FIELDS:
        value, teacher_value = getattr(student_config, field), getattr(teacher_files.config, field)
        if value != teacher_value:
            raise UserError(
                f"a student of the teacher's layers needs the teacher's {field}: the student has {value}, "
                f"the teacher {teacher_value}; give --{field} {teacher_value} (or a preset that has it)"
            )
    sizes = student_config.num_hidden_layers, teacher_files.config.num_hidden_layers
    layer_map = parse_layer_map(layer_map_text, *sizes)
    # The head of a task distillation's teacher is of this task, perhaps in another order (logged before).
    order = load.label_order(teacher_files, task, lambda text: None)
    arrays = {}
    kept, _ = drop_unused_pooler(student_config, without_ranges(teacher_files.arrays))
    for name, array in kept.items():
        parts = name.split(".")
        if name.startswith(load.HEAD):
            if order is not None:
                arrays[name] = array[list(order)]
        elif not name.startswith("bert.encoder.layer."):
            if name.startswith("bert."):
                arrays[name] = array
        elif int(parts[3]) + 1 in layer_map:
            parts[3] = str(layer_map.index(int(parts[3]) + 1))
            arrays[".".join(parts)] = array
    has_pooler = any(name.startswith((POOLER, load.HEAD)) for name in arrays)
    bare = not (has_pooler or student_config.by_token)  # as models pretrained on masked words alone
    optional = (load.HEAD, POOLER) if bare else (load.HEAD,)
    load_strict(network, arrays, str(teacher_files.source), optional=optional)
    head = "" if order else f"; {'pooler and head are' if bare else 'the head is'} newly initialized"
    pooler = ", pooler" if any(name.startswith(POOLER) for name in arrays) else ""
    layers = ", ".join(map(str, layer_map))
    log(f"student from the teacher's embeddings{pooler} and layers {layers}{head}")
