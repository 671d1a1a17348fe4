"""Task text -> more task text: rows, candidates, copies and filter, put together part by part."""

import dataclasses
import os
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ...data.augmentation.parts import Parts
from ...data.augmentation.rows import SeenTexts, text_hash
from ...data.augmentation.word_replacement import Recipe, augment_rows
from ...errors import Interrupted, UserError
from ...files import sha256
from ...train.matmul_precision import matmul_rate
from ..model.device import setup_device
from .candidates import Candidates, WordStats
from .filter import TeacherFilter
from .sources import AugmentResources
from .text import TaskText, text_of

PART_ROWS = 1024


def augment(config):
    """Write the augmented file of an AugmentConfig and return its counts {name: int}.

    Parts that an interrupted run has finished are kept. Raises UserError for anything wrong with the input,
    Interrupted on Ctrl+C.
    """
    begun = time.perf_counter()
    text = text_of(config)
    output = _output_file(config, text.source.path)
    sources = AugmentResources(config, text.task)
    job = {"text": sha256(text.source.path), "part_rows": PART_ROWS, **text.job, **sources.fingerprint()}
    survey, seen = WordStats(sources.pieces), SeenTexts()
    rows = _read(text, survey, seen)
    parts = Parts(output.with_name(f"{output.name}.parts"), job, config.overwrite_output_file)
    device = setup_device(config, print) if sources.predicts or config.filter_with_teacher else None
    meter = sources.meter
    meter.rate = device and partial(matmul_rate, device.compute_type)
    candidates = sources.candidates(survey, device, output.parent)
    recipe = Recipe(config.copies, config.probability, config.seed)
    maker = Augmenter(text, recipe, candidates, sources.filter(device), seen)
    try:
        with meter.working():
            counts = _make_parts(text, maker, parts, rows, meter)
        parts.join(output, text.lines(), -(-rows // PART_ROWS))
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the finished parts are kept: the same command goes on") from None
    print(_summary(counts, output, time.perf_counter() - begun), *meter.lines(), sep="\n")
    return counts


class Copy(NamedTuple):
    """A row that was made: its values, the texts among them, and its label."""

    values: list
    texts: list
    label: str


@dataclasses.dataclass
class Augmenter:
    """Makes the copies of a part; `keep` is a TeacherFilter or None, `seen` knows every row before it."""

    text: TaskText
    recipe: Recipe
    candidates: Candidates
    keep: TeacherFilter | None
    seen: SeenTexts

    def make(self, rows):
        """(lines, hashes, counts) of the part of `rows` (TaskText.parts)."""
        numbered = [(number, values) for number, values, _ in rows]
        groups = augment_rows(numbered, self.text.columns, self.recipe, self.candidates)
        labels = [label for _, _, label in rows]
        made = [
            Copy(values, self.text.texts(values), label)
            for group, label in zip(groups, labels, strict=True)
            for values in group
        ]
        hashes = np.array([text_hash(copy.texts) for copy in made], np.uint64)
        kept = self.seen.fresh(hashes)
        duplicates = len(made) - int(kept.sum())
        if self.keep is not None:
            kept[kept] = self.keep([made[place] for place in np.flatnonzero(kept)])
        lines = [self.text.line(made[place].values) for place in np.flatnonzero(kept)]
        refused = len(made) - duplicates - len(lines)
        counts = {"rows": len(rows), "copies": len(lines), "duplicates": duplicates, "refused": refused}
        return lines, hashes[kept], counts


def _output_file(config, source):
    output = Path(config.output_file or source.with_name(f"{source.stem}_aug{source.suffix}"))
    if output.suffix != source.suffix:
        raise UserError(
            f"output_file {output} takes the form of {source}; let its name end with {source.suffix}"
        )
    if output.is_dir():
        raise UserError(f"output_file {output} is a folder; give a file")
    if output.exists() and output.samefile(source):
        raise UserError(f"output_file {output} is the input; give another")
    if output.exists() and not config.overwrite_output_file:
        raise UserError(f"{output} exists; give another --output_file, or --overwrite_output_file")
    place = next(folder for folder in output.absolute().parents if folder.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        raise UserError(
            f"output_file {output} cannot be written, for {place} takes no files; give another --output_file"
        )
    return output


def _read(text, survey, seen):
    """Read the whole text once, so that what is wrong with it is said first; returns the rows to augment."""
    count = 0
    for part in text.parts(PART_ROWS):
        texts = [text.texts(values) for _, values, _ in part]
        seen.add([text_hash(each) for each in texts])
        survey.add([each for row in texts for each in row])
        count += len(part)
    if not count:
        raise UserError(f"{text.source.path} holds no usable row")
    if text.bad_rows:
        first = text.bad_rows[0]
        print(
            f"{len(text.bad_rows)} malformed rows are left out (the first: line {first['line']}, "
            f"{first['reason']})"
        )
    return count


def _make_parts(text, maker, parts, rows, meter):
    counts = Counter()
    # disable=None: tqdm is silent where the output is not a terminal.
    with tqdm(total=rows, desc="augment", unit=" rows", disable=None, leave=False) as bar:
        for number, part in enumerate(text.parts(PART_ROWS)):
            if not parts.finished(number):
                made = maker.make(part)
                parts.write(number, *made)
                meter.add(made[2]["copies"], 0)  # the models' tokens are counted where they are asked
            hashes, found = parts.note(number)
            maker.seen.add(hashes)
            counts.update(found)
            bar.update(len(part))
    return dict(counts)


def _summary(counts, output, seconds):
    refused = f", {counts['refused']:,} refused by the teacher" if counts["refused"] else ""
    return (
        f"{output}: {counts['rows']:,} rows and {counts['copies']:,} copies of them "
        f"({counts['duplicates']:,} duplicates left out{refused}), {counts['copies'] / seconds:,.0f} "
        f"copies a second in {seconds:,.1f} s"
    )
