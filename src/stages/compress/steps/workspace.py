"""The output folder of a compression run: what is where, and which files a later run may delete."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ....output_dir import MARKER
from ....weights.huggingface import MODEL_FILES
from ...preparation.prepare import WRITTEN as RECORD_FILES
from ...training.run_folder import WRITTEN as RUN_FILES
from ..report_data import REPORT_FILE

JOURNAL_FILE = "journal.json"
SUMS_FILE, CARD, MODEL = "SHA256SUMS", "README.md", "model.onnx"
EXPORTED = (MARKER, CARD, *MODEL_FILES, MODEL)
RECORD_FOLDERS = ("records", "records_vocabulary")
HALVES = ("choose", "report")


@dataclasses.dataclass(frozen=True)
class Workspace:
    """Paths below the output folder of one run."""

    folder: Path

    @property
    def journal(self) -> Path:
        """Finished steps and their results."""
        return self.folder / JOURNAL_FILE

    @property
    def teacher_cache(self) -> Path:
        """Teacher outputs, deleted after each training step."""
        return self.folder / "teacher_cache"

    @property
    def recommended(self) -> Path:
        """The folder to deploy."""
        return self.folder / "recommended"

    def records(self, vocabulary: bool = False) -> Path:
        """Records prepared from text, with the model's tokenizer or that of its smaller vocabulary."""
        return self.folder / RECORD_FOLDERS[vocabulary]

    def halves(self, vocabulary: bool = False) -> Path:
        """The two halves of the evaluation rows, as records."""
        return self.folder / f"{RECORD_FOLDERS[vocabulary]}_halves"

    def candidate(self, name: str) -> Path:
        """The exported folder of a candidate."""
        return self.folder / "candidates" / name

    def model(self, name: str) -> Path:
        """The folder of a training run, or of a model that a step writes."""
        return self.folder / "models" / name

    def log(self, step: str) -> Path:
        """The output of a step."""
        return self.folder / "steps" / f"{step}.log"

    def logits(self, candidate: str) -> Path:
        """Logits of a candidate over both halves of the evaluation rows."""
        return self.folder / "logits" / f"{candidate}.npz"


# Patterns of every file below the output folder.
WRITTEN = (
    JOURNAL_FILE,
    REPORT_FILE,
    "report.html",
    "summary.md",
    "steps/*.log",
    "logits/*.npz",
    *(f"{folder}/{file}" for folder in RECORD_FOLDERS for file in (MARKER, SUMS_FILE, *RECORD_FILES)),
    *(f"{folder}_halves/{file}" for folder in RECORD_FOLDERS for file in (MARKER, SUMS_FILE, *RECORD_FILES)),
    *(f"{folder}_halves/{half}.*" for folder in RECORD_FOLDERS for half in HALVES),
    *(f"models/*/{file}" for file in (MARKER, *RUN_FILES, *MODEL_FILES)),
    *(f"candidates/*/{file}" for file in EXPORTED),
    *(f"recommended/{file}" for file in EXPORTED),
    "teacher_cache/*/manifest.json",
    "teacher_cache/*/rows.bin",
    "teacher_cache/*/sums.bin",
)
