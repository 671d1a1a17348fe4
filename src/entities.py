"""Entities in sequences of BIO tags: B- begin, I- inside, O outside (IOB2, as in CoNLL-2002).

Metrics match strictly: an entity is correct when span and type both match; an I- tag that continues no entity
is ignored. On valid BIO sequences the scores equal those of CoNLL's conlleval script.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

OUTSIDE, BEGIN, INSIDE = "O", "B-", "I-"
TAG = re.compile(r"O|[BI]-\S+")
PREFIXED = re.compile(r"(?:([BIESLU])-)?(.+)")


class Entity(NamedTuple):
    """Words `start` to `end` - 1 of a sentence form an entity of type `kind`."""

    kind: str
    start: int
    end: int


def is_tag(text: str) -> bool:
    """Whether the text is a BIO tag: O, B-type or I-type."""
    return TAG.fullmatch(text) is not None


def continues(previous: str, tag: str) -> bool:
    """Whether `tag` continues the entity of the previous tag."""
    return tag.startswith(INSIDE) and previous in (BEGIN + tag[2:], tag)


def tag_set(tags: Iterable[str]) -> tuple[str, ...]:
    """All tags of the entity types among `tags` in class index order: O, then B- and I- of each type."""
    kinds = sorted({tag[2:] for tag in tags if tag != OUTSIDE})
    return (OUTSIDE, *(prefix + kind for kind in kinds for prefix in (BEGIN, INSIDE)))


def entities(tags: Sequence[str]) -> list[Entity]:
    """Entities of one tag sequence, in order."""
    found: list[Entity] = []
    start = None
    for position, tag in enumerate([*tags, OUTSIDE]):
        if start is not None and not continues(tags[position - 1], tag):
            found.append(Entity(tags[start][2:], start, position))
            start = None
        if tag.startswith(BEGIN):
            start = position
    return found


def predicted_entities(tags: Sequence[str]) -> list[Entity]:
    """Entities of one sequence of predicted tags, in order, in whatever scheme a model was trained.

    In BIO, IOB1 and tags without a prefix, a tag that continues no entity begins one; in BIOES and BILOU, E-
    and L- end an entity and S- and U- are one.
    """
    found: list[Entity] = []
    is_open = False
    for position, tag in enumerate(tags):
        prefix, kind = match.groups() if (match := PREFIXED.fullmatch(tag)) else (None, tag)
        if tag == OUTSIDE:
            is_open = False
            continue
        if is_open and found[-1].kind == kind and prefix not in ("B", "S", "U"):
            found[-1] = found[-1]._replace(end=position + 1)
        else:
            found.append(Entity(kind, position, position + 1))
        is_open = prefix not in ("E", "L", "S", "U")
    return found


def precision(predictions: Iterable[Sequence[str]], labels: Iterable[Sequence[str]]) -> float:
    """Fraction of the predicted entities that are correct, 0 without any; parameters as for `f1`."""
    correct, predicted, _ = _counts(predictions, labels)
    return correct / max(predicted, 1)


def recall(predictions: Iterable[Sequence[str]], labels: Iterable[Sequence[str]]) -> float:
    """Fraction of the true entities that were predicted, 0 without any; parameters as for `f1`."""
    correct, _, true = _counts(predictions, labels)
    return correct / max(true, 1)


def f1(predictions: Iterable[Sequence[str]], labels: Iterable[Sequence[str]]) -> float:
    """Micro-averaged F1, 2 correct / (predicted + true) over the entities of all sentences, 0 without any.

    predictions, labels: one tag sequence per sentence.
    """
    correct, predicted, true = _counts(predictions, labels)
    return 2 * correct / max(predicted + true, 1)


def _counts(predictions: Iterable[Sequence[str]], labels: Iterable[Sequence[str]]) -> tuple[int, int, int]:
    """Number of correct, predicted and true entities over all sentences."""
    correct = predicted = true = 0
    for predicted_tags, true_tags in zip(predictions, labels, strict=True):
        ours, theirs = set(entities(predicted_tags)), set(entities(true_tags))
        correct, predicted, true = correct + len(ours & theirs), predicted + len(ours), true + len(theirs)
    return correct, predicted, true
