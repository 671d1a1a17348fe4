"""Entities in rows of BIO tags: B- where one begins, I- where it goes on, O outside (IOB2, as in CoNLL-2002).

The count is the strict one: an entity is right when its words and its type are, all of them; an I- that
continues nothing is no entity. On tags that follow BIO it is that of CoNLL's own script, conlleval.
"""

import re
from typing import NamedTuple

OUTSIDE, BEGIN, INSIDE = "O", "B-", "I-"
TAG = re.compile(r"O|[BI]-\S+")


class Entity(NamedTuple):
    """The words `start` to `end` - 1 of a sentence, as one entity of the type `kind`."""

    kind: str
    start: int
    end: int


def is_tag(text):
    """Whether a text is a BIO tag: O, B-type or I-type."""
    return TAG.fullmatch(text) is not None


def continues(previous, tag):
    """Whether `tag` goes on with the entity that the tag before it is in."""
    return tag.startswith(INSIDE) and previous in (BEGIN + tag[2:], tag)


def tag_set(tags):
    """All tags of the types among `tags`, in the order of the class indices: O, then B- and I- of each."""
    kinds = sorted({tag[2:] for tag in tags if tag != OUTSIDE})
    return (OUTSIDE, *(mark + kind for kind in kinds for mark in (BEGIN, INSIDE)))


def entities(tags):
    """The entities of one sentence's tags, in order."""
    found, begun = [], None
    for place, tag in enumerate([*tags, OUTSIDE]):
        if begun is not None and not continues(tags[place - 1], tag):
            found.append(Entity(tags[begun][2:], begun, place))
            begun = None
        if tag.startswith(BEGIN):
            begun = place
    return found


def precision(predictions, labels):
    """Share of the predicted entities that are right; 0 where there are none. Rows of tags, as of `f1`."""
    right, predicted, _ = _counts(predictions, labels)
    return right / max(predicted, 1)


def recall(predictions, labels):
    """Share of the true entities that were found; 0 where there are none. Rows of tags, as of `f1`."""
    right, _, true = _counts(predictions, labels)
    return right / max(true, 1)


def f1(predictions, labels):
    """2 right / (predicted + true) over all entities of all rows (micro average), 0 where there are none.

    predictions, labels: for each sentence its tags.
    """
    right, predicted, true = _counts(predictions, labels)
    return 2 * right / max(predicted + true, 1)


def _counts(predictions, labels):
    """Entities right, predicted and true, over all sentences."""
    right = predicted = true = 0
    for ours, theirs in zip(predictions, labels, strict=True):
        ours, theirs = set(entities(ours)), set(entities(theirs))
        right, predicted, true = right + len(ours & theirs), predicted + len(ours), true + len(theirs)
    return right, predicted, true
