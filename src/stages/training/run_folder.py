"""The folder of a training run: its config, and whether a resumed run still has the same."""

import contextlib
import fcntl
from collections.abc import Collection
from pathlib import Path

from ...config.fields import check_same_flags, defaults_of, to_dict
from ...config.student_config import STUDENT_STARTS
from ...config.train_config import LoopConfig
from ...data.records.paths import record_files
from ...errors import UserError
from ...json_reader import read_object
from ...weights.huggingface import MODEL_FILES
from ...weights.reader import find_weight_file

CONFIG_FILE = "run_config.json"
MEASURED = "RUN_MEASURED"  # environment variable: what the run of another seed has measured, as JSON
# Everything that a training run writes; phase1/ is written by task distillation.
WRITTEN = (
    CONFIG_FILE,
    "log.txt",
    "losses.jsonl",
    "losses.png",
    "events/events.out.tfevents.*",
    "checkpoints/phase*_step_*.safetensors",
    "profile/phase*_*.csv",
    *(f"{folder}/{file}" for folder in ("best", "last", "phase1") for file in MODEL_FILES),
)
# Flags of records, and the split that is read in a folder.
RECORD_FLAGS = {
    "data_dir": None,
    "train_data_dir": "train",
    "augmented_data_dir": "train",
    "eval_data_dir": "dev",
}
# Flags that may differ between an interrupted run and the one that resumes it.
FREE_ON_RESUME = (
    "resume",
    "overwrite_output_dir",
    "logging_step",
    "verbose",
    "profile",
    "save_ckpt_step",
    "max_ckpt_num",
    "device_id",
    "teacher_cache",
    "teacher_cache_dir",
    "teacher_cache_limit_gb",
    "keep_teacher_cache",
)


def inputs_of(config: LoopConfig) -> list[str]:
    """Every path, or comma list of paths, that a run with this config reads."""
    values = to_dict(config)
    read = ("_path", "data_dir", "vocab_dir", "schema_dir")
    start = values.get("student_init", "auto")
    pruned = [] if start in STUDENT_STARTS else [start]
    return [*(values[name] for name in values if name.endswith(read)), *pruned]


def check_inputs(config: LoopConfig) -> None:
    """Raise UserError for records or weights of a distributed run that do not exist.

    The entry points call this before they import MindSpore: one sentence after a second, before the ranks
    wait for each other.
    """
    values = to_dict(config)
    if not config.distribute or not values.get("do_train", True):
        return
    for name, split in RECORD_FLAGS.items():
        if values.get(name) and (name != "eval_data_dir" or values.get("do_eval", True)):
            record_files(values[name], config.dataset_type, split)
    for name in (name for name in values if name.startswith("load_") and values[name]):
        find_weight_file(values[name])


def refuse_busy(folder: Path | str) -> None:
    """Raise UserError where another process is writing to `folder`: it holds the lock of the log."""
    # A log that cannot be opened, or a file system without locks, is no reason to refuse.
    with contextlib.suppress(OSError), open(Path(folder) / "log.txt", "rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise UserError(
                f"a run is writing to {folder} now; stop it, or give another --output_dir"
            ) from None


def check_same_config(folder: Path | str, config: LoopConfig, free: Collection[str] = FREE_ON_RESUME) -> None:
    """Raise UserError where `folder` holds no run, or one whose flags outside `free` differ."""
    file = Path(folder) / CONFIG_FILE
    if not file.is_file():
        raise UserError(f"--resume: {folder} holds no run to resume ({CONFIG_FILE} is missing)")
    before = read_object(file, {"values": dict})["values"]
    check_same_flags(before, to_dict(config), defaults_of(config), free)


def measured_in(folder: Path | str) -> dict[str, str]:
    """What the run in `folder` chose by measuring the machine; runs of earlier versions lack it."""
    return read_object(Path(folder) / CONFIG_FILE, {"measured?": {str: str}}).get("measured", {})
