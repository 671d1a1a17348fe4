"""Where a task student begins: a general student, fresh weights, or layers of its teacher."""

from ...config.student_config import check_architecture, fresh_student
from ...errors import UserError
from ...model.bert import BertClassifier
from ...model.state_dict import load_strict
from ...weights.huggingface import without_ranges
from ..model import load
from ..model.quantization import refuse_quantized


def read_student(config, zoo_config, log):
    """The student's files (after phase 1, or general), or None for a student made here."""
    path = config.load_td1_ckpt_path or config.load_gd_ckpt_path
    if config.student_init == "teacher_layers" and path:
        flag = "load_td1_ckpt_path" if config.load_td1_ckpt_path else "load_gd_ckpt_path"
        raise UserError(f"--{flag} and --student_init teacher_layers are two different starts; give one")
    if not path and config.new_head:
        raise UserError("--new_head replaces that of a given student; give one with --load_gd_ckpt_path")
    if not path:
        return None
    files = load.read_model(path, log, zoo_config, "student")
    refuse_quantized(files)
    check_architecture(config, files.config, files.source)
    return load.without_head(files, log) if config.new_head else files


def fresh_config(config, teacher):
    """The config of a student made here: preset and flags, with the teacher's vocabulary and positions."""
    return fresh_student(
        config,
        vocab_size=teacher.vocab_size,
        type_vocab_size=teacher.type_vocab_size,
        max_position_embeddings=teacher.max_position_embeddings,
    )


def build(run, files, teacher_files, layer_map):
    """The student network and its config; where its weights come from is said aloud."""
    config, task, log = run.config, run.task, run.logger.info
    if files:
        log(f"student from {files.source}")
        rates = load.dropout_rates(files.config, config)
        return load.classifier_from(files, task, run.device, log, True, **rates)
    student_config = (
        fresh_config(config, teacher_files.config)
        .for_task(task)
        .replace(dtype=run.device.dtype, compute_type=run.device.compute_type)
    )
    network = BertClassifier(student_config, run.device.layers)
    if config.student_init == "teacher_layers":
        _copy_teacher_layers(network, student_config, teacher_files, layer_map, task)
        log(f"student from the teacher's embeddings, pooler and layers {', '.join(map(str, layer_map))}")
    else:
        log("student: no general student was given (load_gd_ckpt_path is empty), its weights are fresh")
    return network, student_config


def _copy_teacher_layers(network, student_config, teacher_files, layer_map, task):
    teacher = teacher_files.config
    for field in (
        "hidden_size",
        "intermediate_size",
        "num_attention_heads",
        "hidden_act",
        "use_relative_positions",
    ):
        ours, theirs = getattr(student_config, field), getattr(teacher, field)
        if ours != theirs:
            raise UserError(
                f"--student_init teacher_layers needs the teacher's {field}: the student has {ours}, the "
                f"teacher {theirs}; give --{field} {theirs} (or a preset that has it)"
            )
    # The teacher's head is of this task, perhaps in another order (said aloud when it was loaded).
    order = list(load.label_order(teacher_files, task, lambda text: None))
    arrays = {}
    for name, array in without_ranges(teacher_files.arrays).items():
        parts = name.split(".")
        if not name.startswith("bert.encoder.layer."):
            arrays[name] = array[order] if name.startswith(load.HEAD) else array
        elif int(parts[3]) + 1 in layer_map:
            parts[3] = str(layer_map.index(int(parts[3]) + 1))
            arrays[".".join(parts)] = array
    arrays = {
        name: array
        for name, array in arrays.items()
        if name.startswith("bert.") or name.startswith(load.HEAD)
    }
    load_strict(network, arrays, teacher_files.source, optional=(load.HEAD,))
