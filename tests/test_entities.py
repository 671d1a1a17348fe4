"""Entities of BIO tags: cases counted by hand, and random ones compared with seqeval in strict mode."""

import json
from pathlib import Path

import pytest

from src.entities import Entity, entities, f1, is_tag, precision, recall, tag_set

REFERENCE = json.loads((Path(__file__).parent / "fixtures" / "entity_scores.json").read_text())


@pytest.mark.parametrize(
    "tags, expected",
    [
        ("", []),
        ("O O", []),
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("B-PER B-PER I-PER", [("PER", 0, 1), ("PER", 1, 3)]),
        ("O I-PER I-PER B-LOC", [("LOC", 3, 4)]),
        ("B-PER I-LOC I-LOC", [("PER", 0, 1)]),
        ("I-LOC B-LOC I-LOC", [("LOC", 1, 3)]),
    ],
)
def test_entity_spans(tags, expected):
    assert entities(tags.split()) == [Entity(*entity) for entity in expected]


def test_scores_counted_by_hand():
    labels = [["B-PER", "I-PER", "O", "B-LOC"], ["B-ORG", "O"], ["O", "O"]]
    predictions = [["B-PER", "I-PER", "O", "B-ORG"], ["B-ORG", "I-ORG"], ["B-LOC", "O"]]
    # Predicted: PER correct, ORG of the wrong type, ORG one word too long, spurious LOC. Gold: three.
    assert precision(predictions, labels) == 1 / 4 and recall(predictions, labels) == 1 / 3
    assert f1(predictions, labels) == 2 / 7
    # The same span in another sentence is another entity.
    assert f1([["B-PER"], ["O"]], [["O"], ["B-PER"]]) == 0
    assert [score([["O"]], [["O"]]) for score in (precision, recall, f1)] == [0, 0, 0]


@pytest.mark.parametrize("case", REFERENCE)
def test_scores_match_seqeval_in_strict_mode(case):
    rows = case["predictions"], case["labels"]
    assert [score(*rows) for score in (precision, recall, f1)] == pytest.approx(case["scores"], abs=1e-12)


def test_reference_scores_are_not_trivial():
    assert sum(0 < case["scores"][2] < 1 for case in REFERENCE) > len(REFERENCE) / 2


def test_tags():
    assert all(map(is_tag, ("O", "B-PER", "I-a.b"))) and not any(map(is_tag, ("", "o", "S-PER", "B-", "PER")))
    assert tag_set(["O", "B-PER", "I-LOC"]) == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
