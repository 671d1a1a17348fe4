"""Flags of other TinyBERT and Q8BERT projects, answered with the flags of this one.

Sources: the published scripts of the model zoo (TinyBERT, Q8BERT), PaddleNLP, the TinyBERT authors (PyTorch,
also for Ascend) and OneFlow. docs/migration.md has the same table.
"""

import re
from collections.abc import Container

TEACHER, GENERAL = "--load_teacher_ckpt_path", "--load_gd_ckpt_path"
MODEL_DIR, OUTPUT = "--model_dir", "--output_dir"
PHASES = "--td_phase1_epoch_size and --td_phase2_epoch_size"
FLAG = re.compile(r"--(\w+)")

# Their flag -> the ways to say it here; a command answers with the first way whose flags it has, else with
# the last. A way without a flag is a reason why there is none.
FOREIGN: dict[str, tuple[str, ...]] = {
    "T": ("--temperature",),
    "adam_epsilon": ("--eps",),
    "aug_train": ("--augmented_data_dir",),
    "batch_size_per_device": ("--batch_size",),
    "bert_model": ("--vocab_file", "--load_pretrained_path"),
    "cache_dir": ("nothing is downloaded or cached by name",),
    "checkpoint_url": ("ModelArts is not supported: give local paths",),
    "ckpt_file": (MODEL_DIR, "--load_ckpt_path"),
    "continue_train": ("--resume",),
    "data_dir": ("--train_data_dir and --eval_data_dir", "--eval_data_dir"),
    "data_url": ("--train_data_dir and --eval_data_dir", "--data_dir"),
    "device": ("--device_target",),
    "enable_modelarts": ("ModelArts is not supported: give local paths",),
    "enable_profiling": ("--profile",),
    "eval_batch_size_per_device": ("--eval_batch_size",),
    "eval_step": ("--eval_ckpt_step", "evaluation takes place after each epoch"),
    "from_scratch": (
        "a student is initialized randomly with --student_preset or sizes, and without --load_gd_ckpt_path",
    ),
    "glove_embs": ("--glove_file",),
    "glue_dir": ("--data_dir",),
    "gpu_num_per_node": ("--device_num",),
    "gradient_accumulation_steps": ("--batch_size",),
    "intermediate_distill": ("--td_phase2_epoch_size 0",),
    "kd_alpha": ("--label_weight",),
    "load_ckpt_path": (MODEL_DIR, GENERAL),
    "log_dir": (OUTPUT,),
    "logging_steps": ("--logging_step",),
    "loss_print_every_n_iter": ("--logging_step",),
    "max_seq_length": ("--seq_length",),
    "max_steps": ("--train_steps",),
    "model": ("--load_pretrained_path", MODEL_DIR, GENERAL),
    "model_name": ("sizes are read from the config.json next to the weights",),
    "model_name_or_path": ("--load_pretrained_path", GENERAL, MODEL_DIR),
    "model_save_dir": (OUTPUT,),
    "model_save_every_n_iter": ("--save_ckpt_step",),
    "model_type": ("the family of a model is read from its config.json",),
    "n_gpu": ("--device_num",),
    "no_cuda": ("--device_target CPU",),
    "num_epochs": (PHASES, "--epoch_size", "--epoch_num"),
    "num_train_epochs": (PHASES, "--epoch_size", "--epoch_num"),
    "of_dump_path": (OUTPUT,),
    "onnx_path": (MODEL_DIR,),
    "pred_distill": ("--load_td1_ckpt_path (the student after phase 1: only phase 2 runs)",),
    "pregenerated_data": ("--data_dir",),
    "pretrained_bert_model": ("--mlm_model",),
    "pytorch_model_path": ("--input",),
    "reduce_memory": ("rows are held in memory as token ids without padding",),
    "result_dir": (OUTPUT,),
    "save_checkpoint_step": ("--save_ckpt_step",),
    "save_ckpt_path": (OUTPUT,),
    "save_steps": ("--save_ckpt_step",),
    "seed1": ("--seed",),
    "seed2": ("--seed",),
    "serve_for_online": ("a model folder never holds the teacher or the optimizer",),
    "student_model": (GENERAL, "--student_preset", MODEL_DIR),
    "teacher_model": (TEACHER,),
    "teacher_model_dir": (TEACHER,),
    "teacher_model_type": ("the family of a model is read from its config.json",),
    "teacher_path": (TEACHER,),
    "tf_cache_dir": ("there is no intermediate step",),
    "tf_checkpoint_path": ("--input",),
    "train_batch_size": ("--batch_size",),
    "train_corpus": ("--input",),
    "train_url": (OUTPUT,),
    "use_aug": ("--augmented_data_dir",),
    "warmup_proportion": ("--warmup_ratio",),
    "warmup_steps": ("--warmup_ratio",),
    "weight_decay_rate": ("--weight_decay",),
}


def foreign_flag(flag: str, known: Container[str]) -> str:
    """One sentence that answers a flag of another project, or "" for an unknown one.

    `known` are the flags of this command, each with its dashes.
    """
    name = flag.lstrip("-")
    if name not in FOREIGN:
        return ""
    ways = FOREIGN[name]
    fitting = [way for way in ways if all(f"--{found}" in known for found in FLAG.findall(way))]
    way = fitting[0] if fitting else ways[-1]
    if not way.startswith("--"):
        return f"--{name} is not needed here: {way}"
    return f"--{name} is {way} here" if fitting else f"--{name} is {way} of another command"
