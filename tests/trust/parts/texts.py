"""Text files, corpora and tables: an intact one of each, and a reader of all that counts in it."""

import json
import shutil
from pathlib import Path

import numpy as np

from tests import tiny

from ..inputs import Inputs, corpus_flags, digest
from ..outcomes import snapshot


def unfinished_corpus(inputs: Inputs, folder: Path) -> None:
    """A corpus whose manifest is still to be written."""
    from src.tools.prepare_corpus import main

    main(corpus_flags(inputs, folder / "corpus", 0))
    (folder / "corpus" / "manifest.json").unlink()


def corpus(inputs: Inputs, folder: Path) -> object:
    """All that the next start makes of a corpus."""
    from src.tools.prepare_corpus import main

    main(corpus_flags(inputs, folder / "corpus", 0))
    return snapshot(folder)


def glove(folder: Path) -> object:
    """The vectors of a GloVe file."""
    from src.data.augmentation.glove import load_glove

    table = load_glove(folder / "glove.txt", folder)
    return repr(type(table)), digest([np.asarray(table.vectors)])


def text(inputs: Inputs, kind: str, folder: Path) -> None:
    """Training and evaluation rows in a format."""
    for name in ("train", "dev"):
        rows = [line.split("\t") for line in (inputs.text() / f"{name}.tsv").read_text().splitlines()]
        if kind == "jsonl":
            lines = [json.dumps(dict(zip(rows[0], row, strict=True))) for row in rows[1:]]
        else:
            lines = [("," if kind == "csv" else "\t").join(row) for row in rows]
        (folder / f"{name}.{kind}").write_text("\n".join(lines) + "\n")


def prepare_text(inputs: Inputs, folder: Path) -> object:
    """The records of the rows in a folder."""
    from src.tools.prepare import main

    places = {"data_dir": folder, "vocab_file": inputs.vocabulary, "output_dir": folder / "records"}
    main(tiny.flags(task_name="SST-2", **places, max_seq_length=16))
    return snapshot(folder / "records")


def conll(folder: Path) -> None:
    """Sentences with a tag for each word."""
    draw = np.random.default_rng(0)
    lines = [f"{word} {tag}" for word in draw.choice(tiny.WORDS, 30) for tag in ("B-PER", "I-PER", "O")]
    rows = "".join(line + "\n" * (1 + (number % 6 == 5)) for number, line in enumerate(lines))
    (folder / "train.conll").write_text(rows)


def sentences(folder: Path) -> object:
    """The words and tags of a CoNLL file."""
    from src.tools.prepare import main

    vocabulary = tiny.write_vocabulary(folder / "vocabulary")
    file = folder / "train.conll"
    places = {
        "train_file": file,
        "dev_file": file,
        "vocab_file": vocabulary,
        "output_dir": folder / "records",
    }
    main(tiny.flags(**places, max_seq_length=32, output_mode="token_classification"))
    return snapshot(folder / "records")


def task_file(inputs: Inputs, kind: str, folder: Path) -> None:
    """The description of a custom task."""
    text(inputs, "csv", folder)
    values = {"train_file": "train.csv", "dev_file": "dev.csv", "label_column": "label", "labels": ["0", "1"]}
    values["text_columns"] = "sentence"
    lines = [f"{name}: {json.dumps(value)}\n" for name, value in values.items()]
    (folder / f"task.{kind}").write_text(json.dumps(values) if kind == "json" else "".join(lines))


def prepare_task(inputs: Inputs, folder: Path) -> object:
    """The records of a custom task."""
    from src.tools.prepare import main

    (file,) = folder.glob("task.*")
    places = {"task_file": file, "vocab_file": inputs.vocabulary, "output_dir": folder / "records"}
    main(tiny.flags(**places, max_seq_length=16))
    return snapshot(folder / "records")


def corpus_text(inputs: Inputs, folder: Path) -> None:
    """Text of a corpus."""
    shutil.copy(inputs.corpus_text(), folder / "text.txt")


def whole_corpus(inputs: Inputs, folder: Path) -> object:
    """The records of a text."""
    from src.tools.prepare_corpus import main

    places = {"input": folder / "text.txt", "vocab_file": inputs.vocabulary, "output_dir": folder / "corpus"}
    main(tiny.flags(**places, max_seq_length=32, workers=1, num_shards=1))
    return snapshot(folder / "corpus")


def rank_table(folder: Path) -> None:
    """Ascend's table of two devices."""
    device = [{"device_id": str(n), "device_ip": f"192.1.27.{n + 6}", "rank_id": str(n)} for n in range(2)]
    servers = [{"server_id": "10.155.111.140", "device": device, "host_nic_ip": "reserve"}]
    table = {"version": "1.0", "server_count": "1", "server_list": servers, "status": "completed"}
    (folder / "hccl.json").write_text(json.dumps(table))


def devices(folder: Path) -> None:
    """Prints ranks and devices."""
    from src.tools.rank_table import main

    main(tiny.flags(rank_table=folder / "hccl.json", device_num=2))


def results(folder: Path) -> None:
    """Evaluations as run_glue.sh leaves them."""
    file = folder / "SST-2" / "evaluation" / "teacher" / "eval_results.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"eval_accuracy": 0.9, "eval_samples": 872}))


def glue_table(folder: Path) -> None:
    """Prints the table."""
    from src.tools.glue_table import main

    main(tiny.flags(output_dir=folder))
