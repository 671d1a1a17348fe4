"""The rows of a task of your own: which labels they have, and a part of them split off for evaluation."""

import dataclasses
import re
from collections import Counter
from pathlib import Path

import numpy as np

from ..entities import tag_set
from ..errors import UserError
from .processors import read_rows
from .text.examples import SUFFIXES

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def read_own(own, on_bad_row="error", max_rows=-1):
    """Read the files of an CustomTask.

    Returns the CustomTask with its labels known and {split: TextFile} of train, dev and, where there is one,
    test. The dev rows are those of dev_file, or a share of the training rows. Raises UserError for files that
    do not hold what the task says.
    """
    for path in filter(None, (own.train_file, own.dev_file, own.test_file)):
        check_suffix(path, own)
    train = read_rows(own.train_file, own.spec(), on_bad_row, max_rows, "train")
    labels = own.labels
    if not labels and own.output_mode != "regression":
        labels = labels_of(train.examples, own.spec())
    own = own.with_labels(labels)
    texts = {"train": train}
    if own.makes_dev:
        kept, held = split_rows(train, own)
        part = dataclasses.replace(_part(train, held), bad_rows=[], repaired=[])
        texts = {"train": _part(train, kept), "dev": part}
    for split, path in (("dev", own.dev_file), ("test", own.test_file)):
        if path:
            texts[split] = read_rows(path, own.spec(), on_bad_row, max_rows, split)
    return own, texts


def held_out(own, on_bad_row="error"):
    """(CustomTask with its labels known, lines of train_file that belong to dev) as `read_own` finds them."""
    own, texts = read_own(own, on_bad_row)
    return own, {example.line for example in texts["dev"].examples} if own.makes_dev else set()


def check_suffix(path, own):
    """Refuse a file whose form is not known by its name; sentences of tagged words have but one form."""
    if Path(path).suffix not in SUFFIXES and not own.by_word:
        raise UserError(f"{path} does not end with {', '.join(SUFFIXES[:-1])}; its form is known by its name")


def labels_of(examples, task):
    """Every label of the examples, numbers by value and before words, words by their characters.

    Of tags all those of their types, as in src.entities.
    """
    found = {name for example in examples for name in _names(example, task)}
    return tag_set(found) if task.output_mode == "token_classification" else sorted(found, key=_order)


def counts_of(examples, task):
    """{label: rows (or words) that have it} of labelled examples, in the order of the task's labels."""
    found = Counter(name for example in examples for name in _names(example, task))
    return {label: found[label] for label in task.labels}


def split_rows(text, own):
    """(places of the training rows, places of the dev rows) of a TextFile, each ascending.

    Stratified: of every label about `dev_share` of its rows, of a regression's scores, sorted, one row of
    every so many neighbours. A row with several labels counts for its rarest one, a row with none for
    itself; sentences of tagged words are drawn as they come. The draw depends on the rows, dev_share and
    split_seed alone. Raises UserError for a class whose only row would have to be on both sides.
    """
    task, rows = own.spec(), text.examples
    if own.by_word:
        strata = {None: range(len(rows))}
    elif task.output_mode == "regression":
        strata = _strata_of_scores(rows, own.dev_share)
    else:
        strata = _strata(rows, task)
    draw, held = np.random.default_rng(own.split_seed), []
    for label, places in strata.items():
        if len(places) == 1 and task.output_mode == "classification":
            scores = "; or is it a score (--output_mode regression)?" if NUMBER.fullmatch(label) else ""
            raise UserError(
                f'{text.path}, line {rows[places[0]].line}: the only row of label "{label}" '
                "cannot be trained on and evaluated on; give more rows of it, or a dev_file"
                f"{scores}"
            )
        count = max(round(len(places) * own.dev_share), 1)
        if len(places) > 1:
            held += draw.permutation(places)[: min(count, len(places) - 1)].tolist()
    if not held:
        raise UserError(f"{text.path}: {len(rows)} rows are too few to split some off; give a dev_file")
    return sorted(set(range(len(rows))) - set(held)), sorted(held)


def _names(example, task):
    if task.output_mode == "token_classification":
        return example.tags
    return task.names_in(example.label) if task.output_mode == "multi_label" else [example.label]


def _order(label):
    number = float(label) if NUMBER.fullmatch(label) else None
    return number is None, number or 0.0, label


def _strata(rows, task):
    """{label: places of its rows}; of several labels in a row it is the rarest, None where there is none."""
    counts, strata = counts_of(rows, task), {label: [] for label in (*task.labels, None)}
    for place, row in enumerate(rows):
        strata[min(_names(row, task), key=counts.get, default=None)].append(place)
    return {label: places for label, places in strata.items() if places}


def _strata_of_scores(rows, share):
    order = np.argsort([float(row.label) for row in rows], kind="stable")
    # Groups in which one row is the smaller side of the split.
    return dict(enumerate(np.array_split(order, max(round(len(rows) * min(share, 1 - share)), 1))))


def _part(text, places):
    return dataclasses.replace(text, examples=[text.examples[place] for place in places])
