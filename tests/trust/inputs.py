"""Tiny inputs that the cases share: models, records, texts."""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from tests import augment_task, tiny


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Paths of inputs below a folder, each written at its first use."""

    folder: Path

    @functools.cached_property
    def vocabulary(self) -> Path:
        """A tokenizer's folder."""
        return tiny.write_vocabulary(self.folder / "vocabulary")

    def model(self, seed: int = 0, **changes: object) -> Path:
        """A model folder whose weights depend on the seed."""
        mark = "".join(f"-{name}-{value}" for name, value in changes.items())
        folder = self.folder / f"model-{seed}{mark}"
        if not folder.exists():
            config = tiny.TINY.replace(**changes)
            arrays = tiny.random_arrays(config, seed=seed, spread=0.1)
            tiny.write_model(folder, self.vocabulary, config, arrays)
        return folder

    def text(self, seed: int = 0, rows: int = 24) -> Path:
        """A folder with the text files of SST-2."""
        folder = self.folder / f"text-{seed}"
        if not folder.exists():
            folder.mkdir(parents=True)
            for name, count in (("train", rows), ("dev", 13)):
                (folder / f"{name}.tsv").write_text(tiny.single_rows(count, 2 * seed + (name == "dev")))
        return folder

    def records(self, seed: int = 0, rows: int = 40, kind: str = "tfrecord") -> Path:
        """A folder of records."""
        folder = self.folder / f"records-{seed}-{kind}"
        if not folder.exists():
            texts = {"train": tiny.single_rows(rows, 2 * seed), "dev": tiny.single_rows(13, 2 * seed + 1)}
            tiny.prepare_task(folder, self.vocabulary, "SST-2", texts, f"--dataset_type={kind}")
        return folder / "records"

    def corpus_text(self, seed: int = 0, documents: int = 12) -> Path:
        """A plain text file for prepare_corpus."""
        file = self.folder / f"corpus-{seed}.txt"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            draw = np.random.default_rng(seed)
            texts = [
                "\n".join(f"{' '.join(draw.choice(tiny.WORDS, 12))}." for _ in range(draw.integers(2, 6)))
                for _ in range(documents)
            ]
            file.write_text("\n\n".join(texts) + "\n")
        return file

    def corpus(self) -> Path:
        """The records of a corpus."""
        from src.tools.prepare_corpus import main

        folder = self.folder / "corpus"
        if not folder.exists():
            main(corpus_flags(self, folder, 0))
        return folder

    def onnx(self, seed: int = 0) -> Path:
        """An exported folder."""
        from src.tools.export import main

        folder = self.folder / f"onnx-{seed}"
        if not folder.exists():
            main(tiny.flags(model_dir=self.model(seed), output_dir=folder, kernels="off"))
        return folder

    def augmented_text(self, seed: int = 0) -> Path:
        """A folder with the training file that augment reads, and GloVe vectors."""
        folder = self.folder / f"augmented-{seed}"
        if not folder.exists():
            augment_task.sst2(folder, augment_task.sst2_text(20, seed))
            draw = np.random.default_rng(seed)
            lines = [f"{word} {' '.join(f'{x:.4f}' for x in draw.normal(size=8))}" for word in tiny.WORDS]
            (folder / "glove.txt").write_text("\n".join(lines) + "\n")
        return folder


def corpus_flags(inputs: Inputs, output: Path, seed: int) -> list[str]:
    """Arguments of prepare_corpus."""
    places = {"input": inputs.corpus_text(seed), "vocab_file": inputs.vocabulary, "output_dir": output}
    return tiny.flags(**places, max_seq_length=32, workers=1, num_shards=2)


def digest(arrays: Mapping[str, np.ndarray] | Iterable[np.ndarray]) -> str:
    """SHA-256 of arrays."""
    items = sorted(arrays.items()) if isinstance(arrays, Mapping) else enumerate(arrays)
    found = hashlib.sha256()
    for name, array in items:
        array = np.ascontiguousarray(array)
        found.update(f"{name}{array.dtype}{array.shape}".encode() + array.tobytes())
    return found.hexdigest()
