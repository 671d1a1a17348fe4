"""SST-2 texts for augmentation tests, and the vocabulary of their models."""

import numpy as np

from src.tools.augment import main
from tests import tiny

# "badena" is split into "bade" and "##na".
PIECES = [*tiny.VOCABULARY, "##na", "##pe", "the", "not"]
CONFIG = tiny.TINY.replace(vocab_size=len(PIECES), labels=())
SOME = [
    "Bade kina, not 12 badena!",
    "the  LOTU's dekipe",
    "mu3 kina badena",
    "not the",
    "kixi loyo muwe",
    "loyo",
]


def sst2_text(count=14, seed=0):
    rng = np.random.default_rng(seed)
    return SOME + [tiny.sentence(rng, "Deki", 5) for _ in range(count)]


def write_text(folder, lines, name="train.tsv"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def sst2(folder, texts=None):
    texts = sst2_text() if texts is None else texts
    rows = [f"{text}\t{number % 2}" for number, text in enumerate(texts)]
    return write_text(folder, ["sentence\tlabel", *rows])


def run(data, *flags, task="SST-2", name="train_aug.tsv", **values):
    main([*tiny.flags(task_name=task, data_dir=data, **values), *map(str, flags)])
    return data / name


def rows_of(path, task="SST-2"):
    return [tuple(line.split("\t")) for line in path.read_text().splitlines()]
