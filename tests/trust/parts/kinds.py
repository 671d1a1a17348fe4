"""The kinds of files that the commands read: an intact one of each, and a reader of all that counts in it."""

import dataclasses
import importlib
import importlib.util
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tests import tiny

from ..inputs import Inputs, digest
from ..writers import checkpoint, teacher_cache
from .texts import (
    conll,
    corpus,
    corpus_text,
    devices,
    glove,
    glue_table,
    prepare_task,
    prepare_text,
    rank_table,
    results,
    sentences,
    task_file,
    text,
    unfinished_corpus,
    whole_corpus,
)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file.

    `make(folder)` writes an intact one, `file` is its path there; `read(folder)` returns what a command takes
    from it. `ours`: this project writes it, and must notice any change of it.
    """

    name: str
    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    ours: bool = False


def kinds(inputs: Inputs) -> list[Kind]:
    """All kinds."""
    model, records = partial(copy, inputs.model), partial(copy, inputs.records)
    mindrecords = partial(copy, lambda: inputs.records(kind="mindrecord"))
    mind = partial(records_in, kind="mindrecord")
    prepared = partial(prepare_text, inputs)
    foreign = partial(foreign_model, inputs)
    half_corpus = partial(unfinished_corpus, inputs)
    described, described_task = partial(task_file, inputs), partial(prepare_task, inputs)
    found = [
        Kind("model.safetensors of a run", "model.safetensors", model, weights, True),
        Kind("safetensors of others", "model.safetensors", partial(foreign, "safetensors"), weights),
        Kind("config.json", "config.json", model, config),
        Kind("vocab.txt", "vocab.txt", partial(vocabulary, inputs, "vocab.txt"), tokenizer),
        Kind("tokenizer.json", "tokenizer.json", partial(vocabulary, inputs, ""), tokenizer),
        Kind("tokenizer_config.json", "tokenizer_config.json", partial(vocabulary, inputs, ""), tokenizer),
        Kind("index of shards", "model.safetensors.index.json", partial(shards, inputs), weights),
        Kind("MindSpore .ckpt", "model.ckpt", partial(converted, inputs, "ckpt"), weights, True),
        Kind("tfrecord", "train.tfrecord", records, records_in, True),
        Kind("schema.json", "schema.json", records, records_in, True),
        Kind("manifest.json", "manifest.json", records, records_in, True),
        Kind("mindrecord", "train.mindrecord", mindrecords, mind, True),
        Kind("index of mindrecord", "train.mindrecord.db", mindrecords, mind, True),
        Kind(
            "run checkpoint", "checkpoints/phase1_step_1.safetensors", run_checkpoint, last_checkpoint, True
        ),
        Kind("run_config.json", "run_config.json", run_config, same_config, True),
        Kind("losses.jsonl", "losses.jsonl", losses, loss_log),
        Kind("seeds.json", "seeds.json", seeds, seed_summary),
        Kind("marker", ".bert_compression.json", marked, overwritable, True),
        Kind("rows of a teacher cache", "*/rows.bin", one_cache, read_cache, True),
        Kind("sums of a teacher cache", "*/sums.bin", one_cache, read_cache, True),
        Kind("manifest of a teacher cache", "*/manifest.json", one_cache, read_cache, True),
        Kind("note of a corpus", "corpus/job.json", half_corpus, partial(corpus, inputs)),
        Kind(
            "shard of a corpus",
            "corpus/shards/*.json",
            partial(unfinished_corpus, inputs),
            partial(corpus, inputs),
        ),
        Kind("glove.txt", "glove.txt", partial(copy, inputs.augmented_text), glove),
        Kind("tsv", "train.tsv", partial(text, inputs, "tsv"), prepared),
        Kind("csv", "train.csv", partial(text, inputs, "csv"), prepared),
        Kind("jsonl", "train.jsonl", partial(text, inputs, "jsonl"), prepared),
        Kind("conll", "train.conll", conll, sentences),
        Kind("task file (YAML)", "task.yaml", partial(described, "yaml"), described_task),
        Kind("task file (JSON)", "task.json", partial(described, "json"), described_task),
        Kind("corpus text", "text.txt", partial(corpus_text, inputs), partial(whole_corpus, inputs)),
        Kind("rank table", "hccl.json", rank_table, devices),
        Kind("eval_results.json", "SST-2/evaluation/teacher/eval_results.json", results, glue_table),
        Kind("ONNX of an export", "model.onnx", partial(copy, inputs.onnx), logits, True),
        Kind("config.json of an export", "config.json", partial(copy, inputs.onnx), logits),
    ]
    if importlib.util.find_spec("torch"):
        found.append(Kind("pytorch_model.bin", "pytorch_model.bin", partial(foreign, "bin"), weights))
    return found


def copy(source: Callable[[], Path], folder: Path) -> None:
    """Fill `folder` from an input."""
    shutil.copytree(source(), folder, dirs_exist_ok=True)


def weights(folder: Path) -> object:
    """The weights of a model folder and its config."""
    from src.stages.model.load import read_model

    files = read_model(folder, print)
    return digest(files.arrays), repr(files.config)


def config(folder: Path) -> object:
    """A model's config, held against its weights."""
    from src.config.bert_config import BertConfig
    from src.stages.model.load import read_model
    from src.weights.huggingface import check_weights

    files = read_model(folder, print)
    check_weights(files.arrays, files.config, folder)
    return repr(BertConfig.from_json(folder / "config.json"))


def foreign_model(inputs: Inputs, kind: str, folder: Path) -> None:
    """A model folder as other programs write it."""
    from safetensors.numpy import save_file

    shutil.copy(inputs.model() / "config.json", folder)
    arrays = tiny.random_arrays(tiny.TINY)
    if kind == "safetensors":
        save_file(arrays, str(folder / "model.safetensors"), metadata={"format": "pt"})
        return
    import torch

    torch.save(
        {name: torch.from_numpy(array) for name, array in arrays.items()}, folder / "pytorch_model.bin"
    )


def shards(inputs: Inputs, folder: Path) -> None:
    """Weights in two files, with an index."""
    from safetensors.numpy import save_file

    shutil.copy(inputs.model() / "config.json", folder)
    arrays = tiny.random_arrays(tiny.TINY)
    names = [list(arrays)[::2], list(arrays)[1::2]]
    for number, own in enumerate(names):
        save_file({name: arrays[name] for name in own}, str(folder / f"part-{number}.safetensors"))
    weight_map = {name: f"part-{number}.safetensors" for number, own in enumerate(names) for name in own}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def converted(inputs: Inputs, to: str, folder: Path) -> None:
    """A model in another form."""
    from src.tools.convert import main

    main(tiny.flags(input=inputs.model(), output_dir=folder, to=to))


def vocabulary(inputs: Inputs, alone: str, folder: Path) -> None:
    """A tokenizer's files, or one of them alone."""
    copy(lambda: inputs.vocabulary, folder)
    for file in folder.iterdir() if alone else ():
        if file.name != alone:
            file.unlink()


def tokenizer(folder: Path) -> object:
    """Settings, and the ids of all pieces."""
    from src.data.tokenization.tokenizer import load_tokenizer

    return load_tokenizer(folder).settings


def records_in(folder: Path, kind: str = "tfrecord") -> object:
    """The rows of the training records."""
    from src.data.records.io import read_records

    rows = read_records(folder, kind, split="train")
    names = ("tokens", "segments", "offsets", "labels")
    return digest({name: np.asarray(getattr(rows, name)) for name in names}), rows.max_seq_length


def run_checkpoint(folder: Path) -> None:
    """A run's folder with one checkpoint."""
    checkpoint(folder, 1)


def last_checkpoint(folder: Path) -> object:
    """The position and the arrays from which a run would continue."""
    import mindspore as ms
    from mindspore import nn

    from src.train.checkpoint import Checkpoints, restore

    found = Checkpoints(folder, 1).last()
    if found is None:
        return "said to be skipped"
    cell = nn.Cell()
    cell.weight = ms.Parameter(ms.Tensor(np.zeros((40, 30), np.float32)), name="weight")
    restore(cell, found[1])
    return found[0], digest([cell.weight.asnumpy()])


def _train_config() -> object:
    from src.config.finetune_config import resolve

    return resolve(["--task_name=SST-2", "--load_pretrained_path=a", "--train_data_dir=b", "--output_dir=c"])[
        1
    ]


def run_config(folder: Path) -> None:
    """A run's settings."""
    from src.config.fields import to_dict
    from src.files import write_json

    resolved = _train_config()
    write_json(folder / "run_config.json", {"values": to_dict(resolved.config), "origins": resolved.origins})


def same_config(folder: Path) -> object:
    """That a resumed run has the settings of before."""
    from src.stages.training.run_folder import check_same_config

    check_same_config(folder, _train_config().config)
    return "the same"


def losses(folder: Path) -> None:
    """A run's losses."""
    lines = [
        {"phase": 1, "title": "t", "epoch": 1, "step": n, "loss": 1 / n, "parts": {"a": 0.5}}
        for n in range(1, 9)
    ]
    (folder / "losses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def loss_log(folder: Path) -> object:
    """The losses as they are plotted, and as a resumed run truncates them."""
    folders = "src.train.curves" if importlib.util.find_spec("src.train.curves") else "src.train"
    plots = importlib.import_module(f"{folders}.loss_plot")
    logs = importlib.import_module("src.train.logger")

    found = plots.read_log(folder / "losses.jsonl")
    plots.plot_losses({"": found}, folder / "losses.png")
    logger = logs.RunLogger(quiet=True)
    if hasattr(logger, "truncate"):  # as it was before
        logger.open(folder)
        logger.truncate(1, 5)
    else:
        logger.open(folder, (1, 5))
    logger.close()
    return (folder / "losses.jsonl").read_text()


def seeds(folder: Path) -> None:
    """The summary of several seeds."""
    from src.files import write_json
    from src.stages.training.seed_summary import summary
    from src.tasks import TASKS

    found = {seed: {"eval_accuracy": seed / 10, "eval_samples": 13, "folder": "out"} for seed in (1, 2, 3)}
    write_json(folder / "seeds.json", summary("finetune", TASKS["SST-2"], found))


def seed_summary(folder: Path) -> object:
    """The summary as --seeds_against reads it."""
    from src.stages.training.seed_summary import check_comparable, format_summary, paired, read_summary
    from src.tasks import TASKS

    found = read_summary(folder / "seeds.json")
    check_comparable(found, folder / "seeds.json", TASKS["SST-2"], (1, 2, 3))
    return format_summary(found), paired(found, found, str(folder))


def marked(folder: Path) -> None:
    """An output folder of an earlier run."""
    from src.output_dir import fresh_output_dir

    fresh_output_dir(folder, written=("log.txt", "best/*.json"))
    (folder / "log.txt").write_text("log")
    (folder / "mine.txt").write_text("mine")


def overwritable(folder: Path) -> object:
    """What --overwrite_output_dir leaves there: a refusal, or what it did not write."""
    from src.errors import UserError
    from src.output_dir import fresh_output_dir

    try:
        fresh_output_dir(folder, overwrite=True, written=("log.txt",))
    except UserError:
        return "refused"
    return (folder / "mine.txt").exists()


def one_cache(folder: Path) -> None:
    """A teacher cache."""
    teacher_cache(folder, 1)


def read_cache(folder: Path) -> object:
    """The rows of a teacher cache; an incomplete one is written again."""
    from src.distill.teacher_cache import CacheReader, Layout, TeacherCache

    layout = Layout(states=1, hidden=4, scores=0, heads=2, logits=2)
    cache = TeacherCache(folder, {"teacher": 1}, layout, np.array([3, 7, 4, 8, 5]))
    if not cache.is_complete():
        return "said to be skipped"
    return digest(CacheReader(cache).batch(np.arange(5), 8))


def logits(folder: Path) -> object:
    """What an exported model says about a batch."""
    from src.config.data_config import DeviceConfig
    from src.stages.model.inference import load_for_inference

    model = load_for_inference(folder, DeviceConfig(device_target="CPU"), threads=1)
    ids, segments, mask = tiny.token_batch()
    return digest([model.predict(ids, segments, mask)]), model.config.labels
