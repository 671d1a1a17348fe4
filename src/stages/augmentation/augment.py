"""Augments the training rows of a task by word replacement, part by part."""

import dataclasses
import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from ...data.augmentation.parts import Parts
from ...data.augmentation.rows import SeenTexts, text_hash
from ...data.augmentation.word_replacement import ReplacementParams, augment_rows
from ...digests import sha256
from ...errors import Interrupted, UserError
from ...signals import interruptible
from ...train.throughput import ThroughputMeter
from ..model.device import setup_device
from .candidates import Candidates, WordStats
from .filter import TeacherFilter
from .sources import AugmentResources
from .text import NumberedRow, TaskText, text_of

if TYPE_CHECKING:
    from ...tools.augment import AugmentConfig

PART_ROWS = 1024
RULES = 2  # counts changes of what is replaced and dropped, so that parts are of one version


def augment(config: "AugmentConfig") -> dict[str, int]:
    """Write the augmented file of an AugmentConfig and return its counts.

    Resumes an interrupted run from its finished parts. Raises UserError for invalid input, Interrupted on
    Ctrl+C.
    """
    start = time.perf_counter()
    text = text_of(config)
    output = _output_file(config, text.source.path)
    resources = AugmentResources(config, text.task)
    job = {"text": sha256(text.source.path), "part_rows": PART_ROWS, "rules": RULES, **text.job}
    job |= resources.fingerprint()
    stats, seen = WordStats(resources.pieces), SeenTexts()
    rows = _collect_stats(text, stats, seen)
    parts = Parts(output.with_name(f"{output.name}.parts"), job, config.overwrite_output_file)
    device = setup_device(config, print) if resources.predicts or config.filter_with_teacher else None
    meter = resources.meter
    meter.rate = device.matmul_rate if device else None
    candidates = resources.candidates(stats, device, output.parent)
    params = ReplacementParams(config.copies, config.probability, config.seed)
    augmenter = Augmenter(text, params, candidates, resources.filter(device), seen)
    try:
        with interruptible(), meter.working():
            counts = _write_parts(text, augmenter, parts, rows, meter)
        parts.join(output, text.lines(), -(-rows // PART_ROWS))
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; finished parts are kept: run the same command again to resume"
        ) from None
    print(_summary(counts, output, time.perf_counter() - start), *meter.lines(), sep="\n")
    return counts


class Copy(NamedTuple):
    """An augmented row: its values, the texts among them, and its label."""

    values: list[str]
    texts: list[str]
    label: str


@dataclasses.dataclass
class Augmenter:
    """Augments a part of the rows; `seen` contains all previous rows."""

    text: TaskText
    params: ReplacementParams
    candidates: Candidates
    teacher_filter: TeacherFilter | None
    seen: SeenTexts

    def augment(self, rows: list[NumberedRow]) -> tuple[list[str], np.ndarray, dict[str, int]]:
        """(lines, hashes, counts) of the copies of a part of TaskText.parts."""
        numbered = [(number, values) for number, values, _ in rows]
        groups = augment_rows(numbered, self.text.columns, self.params, self.candidates)
        labels = [label for _, _, label in rows]
        copies = [
            Copy(values, self.text.texts(values), label)
            for group, label in zip(groups, labels, strict=True)
            for values in group
        ]
        hashes = np.array([text_hash(copy.texts) for copy in copies], np.uint64)
        kept = self.seen.unseen(hashes)
        duplicates = len(copies) - int(kept.sum())
        if self.teacher_filter is not None:
            kept[kept] = self.teacher_filter([copies[index] for index in np.flatnonzero(kept)])
        lines = [self.text.line(copies[index].values) for index in np.flatnonzero(kept)]
        refused = len(copies) - duplicates - len(lines)
        counts = {"rows": len(rows), "copies": len(lines), "duplicates": duplicates, "refused": refused}
        return lines, hashes[kept], counts


def _output_file(config: "AugmentConfig", source: Path) -> Path:
    output = Path(config.output_file or source.with_name(f"{source.stem}_aug{source.suffix}"))
    if output.suffix != source.suffix:
        raise UserError(
            f"output_file {output} has the format of {source}; its name must end with {source.suffix}"
        )
    if output.is_dir():
        raise UserError(f"output_file {output} is a folder; give a file")
    if output.exists() and output.samefile(source):
        raise UserError(f"output_file {output} is the input; give another")
    if output.exists() and not config.overwrite_output_file:
        raise UserError(f"{output} exists; give another --output_file, or --overwrite_output_file")
    parent = next(folder for folder in output.absolute().parents if folder.exists())
    if not (parent.is_dir() and os.access(parent, os.W_OK)):
        raise UserError(
            f"output_file {output} cannot be written: {parent} is not a writable folder; give another one"
        )
    return output


def _collect_stats(text: TaskText, stats: WordStats, seen: SeenTexts) -> int:
    """Read the whole text once, which reports errors early; returns the number of rows to augment.

    `seen` gets the held-out rows too: a copy of a training row may have the text of one of them.
    """
    count = 0
    for part in text.parts(PART_ROWS):
        texts = [text.texts(values) for _, values, _ in part]
        seen.add([text_hash(each) for each in texts])
        stats.add([each for row in texts for each in row])
        count += len(part)
    seen.add([text_hash(each) for each in text.held_out_texts()])
    if not count:
        raise UserError(f"{text.source.path} holds no usable row")
    if text.bad_rows:
        first = text.bad_rows[0]
        print(
            f"{len(text.bad_rows)} malformed rows are skipped (the first: line {first['line']}, "
            f"{first['reason']})"
        )
    return count


def _write_parts(
    text: TaskText, augmenter: Augmenter, parts: Parts, rows: int, meter: ThroughputMeter
) -> dict[str, int]:
    counts: Counter[str] = Counter()
    # disable=None: tqdm is silent where the output is not a terminal.
    with tqdm(total=rows, desc="augment", unit=" rows", disable=None, leave=False) as bar:
        for number, part in enumerate(text.parts(PART_ROWS)):
            if not parts.finished(number):
                lines, hashes, part_counts = augmenter.augment(part)
                parts.write(number, lines, hashes, part_counts)
                meter.add(part_counts["copies"], 0)  # the models count their tokens themselves
            hashes, part_counts = parts.read(number)
            augmenter.seen.add(hashes)
            counts.update(part_counts)
            bar.update(len(part))
    return dict(counts)


def _summary(counts: dict[str, int], output: Path, seconds: float) -> str:
    rejected = f", {counts['refused']:,} rejected by the teacher" if counts["refused"] else ""
    return (
        f"{output}: {counts['rows']:,} rows and {counts['copies']:,} copies "
        f"({counts['duplicates']:,} duplicates dropped{rejected}), {counts['copies'] / seconds:,.0f} "
        f"copies/s in {seconds:,.1f} s"
    )
