"""The commands whose graphs are compiled for a device: every training stage, evaluation and masked words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from run_task_distill import main as distill_task
from src.config.bert_config import BertConfig
from src.tools.prepare import main as prepare
from src.tools.prepare_corpus import main as prepare_corpus
from src.weights.huggingface import write_directory
from tests import chinese, tiny

DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
FRESH = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
BATCHES = {"batch_size": 8, "length_buckets": "off", "enable_data_sink": "false"}
TOPICS = {"food": "bami", "price": "bana", "service": "bape"}
STEP = "TrainStep"


class Command(NamedTuple):
    """A command line without its device flags, and the cell whose graph is the last one to compile."""

    cell: str
    program: str  # a script, or the module of a tool
    flags: dict[str, Any]

    def as_json(self, folder: Path, **device: object) -> dict[str, object]:
        """The entry of this command in the file that compile_only reads; outputs go to `folder`."""
        program = [self.program] if self.program.endswith(".py") else ["-m", self.program]
        output = {"output_dir": folder}
        if self.program == "src.tools.augment":
            output = {"output_file": folder.with_suffix(".tsv")}
        arguments = [*program, *tiny.flags(**output, **self.flags, **device)]
        return {"arguments": arguments, "until": self.cell}


def commands(folder: Path, vocabulary: Path, sst2: Path) -> dict[str, Command]:
    """{name: Command} over tiny models and records, which are written to `folder`."""
    student_config = tiny.TINY.replace(**DROPOUT)
    student = tiny.write_model(folder / "student", vocabulary, student_config, seed=2)
    teacher_config = student_config.replace(num_hidden_layers=4)
    teacher = tiny.write_model(folder / "teacher", vocabulary, teacher_config, seed=1)
    rows = _rows(sst2, "SST-2")
    finetune = {"load_pretrained_path": student, **rows}
    # No evaluation: it runs the teacher's graph before the first step, on memory that nothing computes.
    distill = {"load_teacher_ckpt_path": teacher, "load_gd_ckpt_path": student, "do_eval": "false", **rows}
    uncached = {**distill, "teacher_cache": "off"}
    phase2 = {**distill, "load_td1_ckpt_path": student}
    cached = {"teacher_cache_dir": folder / "written"}
    q8bert = {"load_ckpt_path": student, "epoch_num": 2, **rows}
    step = {**q8bert, "calibration_steps": 0}
    general = {
        "load_teacher_ckpt_path": teacher,
        "data_dir": _corpus(folder, vocabulary),
        "epoch_size": 2,
        "teacher_cache": "off",
        **FRESH,
        **BATCHES,
    }
    relative = {**distill, "load_gd_ckpt_path": "", "use_relative_positions": "true", **FRESH}
    scores = {"train": tiny.score_rows(24, 1), "dev": tiny.score_rows(8, 2)}
    regression = _rows(tiny.prepare_task(folder / "scores", vocabulary, "STS-B", scores), "STS-B")
    topics, names = _rows(_topics(folder, vocabulary)), _rows(_names(folder))
    fresh = {"init": "fresh", **FRESH}
    found = {
        "finetune": Command(STEP, "run_finetune.py", finetune),
        "regression": Command(STEP, "run_finetune.py", {**fresh, **regression}),
        "multi_label": Command(STEP, "run_finetune.py", {**fresh, **topics}),
        "token_classification": Command(STEP, "run_finetune.py", {**fresh, **names}),
        "data_sink": Command(STEP, "run_finetune.py", {**finetune, "enable_data_sink": "true"}),
        "general_distill": Command(STEP, "run_general_distill.py", general),
        "phase1": Command(STEP, "run_task_distill.py", uncached),
        "relations": Command(STEP, "run_task_distill.py", {**uncached, "intermediate_loss": "relation"}),
        "phase1_cached": Command(STEP, "run_task_distill.py", {**distill, **cached, "teacher_cache": "full"}),
        "teacher_cache": Command("TeacherForward", "run_task_distill.py", distill),
        "phase2": Command(STEP, "run_task_distill.py", {**phase2, "teacher_cache": "off"}),
        "phase2_cached": Command(
            STEP, "run_task_distill.py", {**phase2, **cached, "teacher_cache": "logits"}
        ),
        "relative_positions": Command(STEP, "run_task_distill.py", {**relative, "teacher_cache": "off"}),
        "q8bert": Command(STEP, "run_q8bert_train.py", step),
        "q8bert_per_channel": Command(STEP, "run_q8bert_train.py", {**step, "per_channel": "true"}),
        "q8bert_calibration": Command("LogitsCell", "run_q8bert_train.py", q8bert),
        "q8bert_teacher": Command(
            STEP,
            "run_q8bert_train.py",
            {**step, "load_teacher_ckpt_path": teacher, "teacher_cache": "off", "do_eval": "false"},
        ),
        "evaluate": Command(
            "LogitsCell",
            "src.tools.evaluate",
            {"model_dir": student, "eval_data_dir": sst2, "task_name": "SST-2"},
        ),
        "masked_words": Command("WordLogits", "src.tools.augment", _masked_words(folder, vocabulary)),
    }
    return found


def write_teacher_cache(distill: Command, folder: Path, dtype: str) -> None:
    """Write the teacher's outputs that the command `distill` reads: a graph cannot run on the stubs."""
    device = {"device_target": "CPU", "dtype": dtype, "compute_type": dtype, "output_dir": folder}
    epochs = {"td_phase1_epoch_size": 1, "td_phase2_epoch_size": 1}
    distill_task(tiny.flags(**distill.flags, **device, **epochs, keep_teacher_cache="true"))


def _rows(records: Path, task_name: str = "") -> dict[str, Any]:
    return {"train_data_dir": records, "eval_data_dir": records, "task_name": task_name, **BATCHES}


def _corpus(folder: Path, vocabulary: Path) -> Path:
    text, records = folder / "corpus.txt", folder / "corpus"
    rng = np.random.default_rng(5)
    documents = ["\n".join(tiny.sentence(rng, tiny.MARKS["0"]) for _ in range(6)) for _ in range(8)]
    text.write_text("\n\n".join(documents))
    flags = tiny.flags(input=text, vocab_file=vocabulary, output_dir=records, max_seq_length=16, workers=1)
    prepare_corpus(flags)
    return records


def _topics(folder: Path, vocabulary: Path) -> Path:
    """Records of a multi-label task."""
    rng = np.random.default_rng(5)
    rows = ["text,labels"]
    for number in range(40):
        chosen = [name for place, name in enumerate(TOPICS) if number >> place & 1]
        rows.append(f"{' '.join([*rng.choice(tiny.WORDS, 3), *map(TOPICS.get, chosen)])},{'|'.join(chosen)}")
    (folder / "topics.csv").write_text("\n".join(rows) + "\n")
    prepare(
        tiny.flags(
            train_file=folder / "topics.csv",
            text_columns="text",
            label_column="labels",
            output_mode="multi_label",
            dev_share=0.2,
            vocab_file=vocabulary,
            max_seq_length=16,
            output_dir=folder / "topics",
        )
    )
    return folder / "topics"


def _names(folder: Path) -> Path:
    """Records of a token classification task."""
    data = chinese.write(folder / "chinese", train=24, dev=8)
    flags = {"task_file": data / "names.yaml", "vocab_file": data / "vocab.txt"}
    prepare(tiny.flags(**flags, output_dir=folder / "names"))
    return folder / "names"


def _masked_words(folder: Path, vocabulary: Path) -> dict[str, Any]:
    """Flags of an augmentation that predicts masked words."""
    data, config = folder / "text", tiny.TINY.replace(labels=())
    data.mkdir()
    (data / "train.tsv").write_text(tiny.single_rows(12, 1))
    write_directory(folder / "mlm", _masked_lm_arrays(config), config, vocabulary)
    return {"task_name": "SST-2", "data_dir": data, "mlm_model": folder / "mlm", "copies": 2}


def _masked_lm_arrays(config: BertConfig) -> dict[str, np.ndarray]:
    from src.model.state_dict import weight_arrays

    return weight_arrays(tiny.random_masked_lm(config))
