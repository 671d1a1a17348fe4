"""Entities of BIO tags: cases counted by hand, and random ones compared with seqeval in strict mode."""

import json
from pathlib import Path

import pytest

from src.entities import Entity, entities, f1, is_tag, precision, predicted_entities, recall, tag_set

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


@pytest.mark.parametrize(
    "tags, expected",
    [
        ("B-PER I-PER O B-PER B-PER", [("PER", 0, 2), ("PER", 3, 4), ("PER", 4, 5)]),
        ("I-PER I-PER O I-LOC I-PER", [("PER", 0, 2), ("LOC", 3, 4), ("PER", 4, 5)]),  # IOB1
        (
            "B-PER I-PER E-PER S-PER B-GPE E-GPE I-GPE",
            [("PER", 0, 3), ("PER", 3, 4), ("GPE", 4, 6), ("GPE", 6, 7)],
        ),
        ("B-A L-A U-A U-A", [("A", 0, 2), ("A", 2, 3), ("A", 3, 4)]),
        ("DET NOUN NOUN O NOUN", [("DET", 0, 1), ("NOUN", 1, 3), ("NOUN", 4, 5)]),
        ("O O", []),
        ("", []),
    ],
)
def test_entities_of_predicted_tags_of_any_scheme(tags, expected):
    assert predicted_entities(tags.split()) == [Entity(*entity) for entity in expected]


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
