"""Everything that writes files, as functions that write a first or a second version of them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests import tiny

from .inputs import Inputs, corpus_flags

LOGS = ("log.txt", "losses.jsonl")  # a second start appends
MEASURED = ("compare/compare.json", "compare/table.md")
Unit = Callable[[str], str]  # from a relative path to the name of what is replaced as one


def each_file(path: str) -> str:
    """Files are replaced one by one."""
    return path


def top_folder(path: str) -> str:
    """A folder is replaced as one."""
    return path.split("/")[0]


@dataclasses.dataclass(frozen=True)
class Writer:
    """`write(folder, version)` writes below `folder`.

    `replaces`: version 2 replaces version 1; `unit`: what is replaced as one; `tolerant`: goes on without its
    files; `working`: names of files, complete whenever they exist, that are deleted when the work is done;
    `varying`: files that hold times.
    """

    name: str
    write: Callable[[Path, int], None]
    unit: Unit = each_file
    replaces: bool = True
    tolerant: bool = False
    working: tuple[str, ...] = ()
    varying: tuple[str, ...] = ()


def writers(inputs: Inputs) -> list[Writer]:
    """All writers that need no training; those in the slice of the default tests first."""
    return [
        Writer("checkpoint", checkpoint),
        Writer("model folder", lambda folder, version: model_folder(inputs, folder, version), top_folder),
        Writer("json", json_file),
        Writer("tfrecord", lambda *place: prepare(inputs, "tfrecord", *place), top_folder),
        Writer("mindrecord", lambda *place: prepare(inputs, "mindrecord", *place), top_folder),
        Writer("corpus", lambda *place: corpus(inputs, *place), replaces=False),
        Writer("convert", lambda *place: convert(inputs, "hf", *place), top_folder),
        Writer("convert to ckpt", lambda *place: convert(inputs, "ckpt", *place), top_folder),
        Writer("prune", lambda *place: prune(inputs, *place), top_folder),
        Writer("augment", lambda *place: augment(inputs, *place), working=(".parts",)),
        Writer("teacher cache", teacher_cache, top_folder, replaces=False),
        Writer("training log", training_log, replaces=False, tolerant=True, varying=LOGS),
        Writer("download", lambda *place: download(inputs, *place), working=(".download",)),
        Writer("evaluate", lambda *place: evaluate(inputs, *place)),
        Writer("glue table", lambda *place: glue_table(inputs, *place)),
        Writer("compare", lambda *place: compare(inputs, *place), replaces=False, varying=MEASURED),
        Writer("export onnx", lambda *place: export(inputs, *place), top_folder),
    ]


def checkpoint(folder: Path, version: int) -> None:
    """The resume checkpoint of step `version`, of which one is kept."""
    import mindspore as ms
    from mindspore import nn

    from src.train.checkpoint import Checkpoints

    cell = nn.Cell()
    cell.weight = ms.Parameter(ms.Tensor(np.full((40, 30), version, np.float32)), name="weight")
    Checkpoints(folder, 1).save(cell, {"phase": 1, "step": version})


def model_folder(inputs: Inputs, folder: Path, version: int) -> None:
    """best/ of a run."""
    from src.weights.huggingface import write_directory

    arrays = tiny.random_arrays(tiny.TINY, seed=version)
    metrics = {"metrics.json": {"eval_accuracy": version / 10}}
    write_directory(folder / "best", arrays, tiny.TINY, inputs.vocabulary, metrics)


def json_file(folder: Path, version: int) -> None:
    """The JSON files of a run."""
    from src.files import write_json

    write_json(folder / "run_config.json", {"values": [version] * 100})


def prepare(inputs: Inputs, kind: str, folder: Path, version: int) -> None:
    """Records of a task."""
    from src.tools.prepare import main

    places = {
        "data_dir": inputs.text(version),
        "vocab_file": inputs.vocabulary,
        "output_dir": folder / "records",
    }
    more = {"max_seq_length": 16, "dataset_type": kind, "overwrite_output_dir": "true"}
    main(tiny.flags(task_name="SST-2", **places, **more))


def corpus(inputs: Inputs, folder: Path, version: int) -> None:
    """Records of a corpus, in shards that are kept when it is interrupted."""
    from src.tools.prepare_corpus import main

    main(corpus_flags(inputs, folder / "corpus", version))


def convert(inputs: Inputs, to: str, folder: Path, version: int) -> None:
    """A converted model."""
    from src.tools.convert import main

    places = {"input": inputs.model(version), "output_dir": folder / "converted"}
    main(tiny.flags(**places, to=to, overwrite_output_dir="true"))


def prune(inputs: Inputs, folder: Path, version: int) -> None:
    """A model of one layer."""
    from src.tools.prune import main

    places = {"model_dir": inputs.model(version), "output_dir": folder / "pruned"}
    main(tiny.flags(**places, layers=0, overwrite_output_dir="true"))


def augment(inputs: Inputs, folder: Path, version: int) -> None:
    """An augmented training file, by GloVe alone, and its parts."""
    from src.tools.augment import main

    data = inputs.augmented_text(version)
    places = {"data_dir": data, "glove_file": data / "glove.txt", "output_file": folder / "train_aug.tsv"}
    more = {"mlm_model": inputs.model(), "copies": 2, "overwrite_output_file": "true", "device_target": "CPU"}
    main(tiny.flags(task_name="SST-2", **places, **more))


def teacher_cache(folder: Path, version: int) -> None:
    """The outputs of a teacher for five rows."""
    from src.distill.teacher_cache import CacheWriter, Layout, TeacherCache

    layout = Layout(states=1, hidden=4, scores=0, heads=2, logits=2)
    cache = TeacherCache(folder, {"teacher": version}, layout, np.array([3, 7, 4, 8, 5]))
    writer = CacheWriter(cache)
    arrays = layout.empty(5, 8)
    for array in arrays:
        array[...] = version
    writer.write(list(enumerate(range(5))), arrays)
    writer.sync()
    writer.finish()


def training_log(folder: Path, version: int) -> None:
    """log.txt, losses.jsonl and the event file of a run."""
    from src.train.logger import RunLogger

    logger = RunLogger(quiet=True)
    logger.open(folder)
    for step in range(1, 4):
        logger.info(f"step {step}")
        logger.log_step(phase=1, step=step, epoch=1, loss=version / step)
    logger.log_metrics({"epoch": 1, "step": 3, "eval_accuracy": 0.5})
    if hasattr(logger, "truncate"):  # as it was before
        logger.truncate(1, 2)
    else:
        logger.close()
        logger.open(folder, (1, 2))
    logger.close()


def download(inputs: Inputs, folder: Path, version: int) -> None:
    """A data set from a server on this machine."""
    from .server import offered

    with offered(version) as mirror:
        from src.tools.download import main

        main(tiny.flags(tasks="SST-2", data_dir=folder / "data", mirror=mirror) + ["--overwrite"])


def evaluate(inputs: Inputs, folder: Path, version: int) -> None:
    """eval_results.json, and files for the GLUE server."""
    from src.tools.evaluate import main

    places = {
        "model_dir": inputs.onnx(version),
        "eval_data_dir": inputs.records(),
        "output_dir": folder / "out",
    }
    main(tiny.flags(task_name="SST-2", **places))


def glue_table(inputs: Inputs, folder: Path, version: int) -> None:
    """table.md and table.json of run_glue.sh."""
    from src.tools.glue_table import main

    results = folder / "SST-2" / "evaluation" / "teacher" / "eval_results.json"
    if not results.exists():  # an input: written whole
        source = inputs.folder / "eval_results.json"
        inputs.folder.mkdir(exist_ok=True)
        source.write_text('{"eval_accuracy": 0.9, "eval_samples": 872}')
        results.parent.mkdir(parents=True, exist_ok=True)
        source.rename(results)
    main(tiny.flags(output_dir=folder))


def compare(inputs: Inputs, folder: Path, version: int) -> None:
    """compare.json and table.md."""
    from src.tools.compare import main

    places = {"models": f"a={inputs.onnx(version)}", "eval_data_dir": inputs.records()}
    more = {"output_dir": folder / "compare", "timed_sentences": 1, "overwrite_output_dir": "true"}
    main(tiny.flags(task_name="SST-2", **places, **more))


def export(inputs: Inputs, folder: Path, version: int) -> None:
    """A file for ONNX Runtime."""
    from src.tools.export import main

    places = {"model_dir": inputs.model(version), "output_dir": folder / "exported"}
    main(tiny.flags(**places, kernels="off", overwrite_output_dir="true"))


def prepare_into(inputs: Inputs, folder: Path) -> None:
    """Records, in place of what an earlier run wrote to `folder`."""
    from src.tools.prepare import main

    places = {"data_dir": inputs.text(1), "vocab_file": inputs.vocabulary, "output_dir": folder}
    main(tiny.flags(task_name="SST-2", **places, max_seq_length=16, overwrite_output_dir="true"))


def convert_into(inputs: Inputs, folder: Path) -> None:
    """A converted model, in place of what an earlier run wrote to `folder`."""
    from src.tools.convert import main

    main(tiny.flags(input=inputs.model(1), output_dir=folder, to="hf", overwrite_output_dir="true"))
