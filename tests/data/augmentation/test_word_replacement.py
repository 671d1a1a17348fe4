"""Word replacement over words alone: what is a word, what is drawn, what a copy looks like."""

import numpy as np
import pytest

from src.data.augmentation.word_replacement import ReplacementParams, augment_rows, copies_of, draw
from src.data.augmentation.words import STOP_WORDS, Word, find_words, in_case_of, is_word, replaced


@pytest.mark.parametrize(
    "text, words",
    [
        ("The film's plot isn't GOOD - it's 3-D, mp3 and 1980s", ["film", "plot", "GOOD"]),
        ("a well-made do n't movie we 'll remember .", ["well", "made", "movie", "remember"]),
        ("x y Z  -- $5 c3po _under_ http", ["http"]),
        ("I do not like it", ["like"]),
        ("un café déjà-vu Straße", ["un", "café", "déjà", "vu", "Straße"]),
        ("我喜欢 film", ["我", "喜", "欢", "film"]),
        ("'quoted' O’Brien’s", ["quoted"]),
        # Combining accents, vowel signs and soft hyphens: no part of such a word is a word.
        ("cafe\u0301s nai\u0308ve co\u00adoperate film", ["film"]),
        ("हिन्दी घर film", ["घर", "film"]),
        ("", []),
    ],
)
def test_find_words(text, words):
    found = find_words(text)
    assert [word.text for word in found] == words
    assert all(text[word.start : word.end] == word.text for word in found)


def test_negations_and_contraction_fragments_are_stop_words():
    assert [word.text for word in find_words("das ist nicht gut, 这个不好")] == [
        *("das", "ist", "gut", "这", "个", "好"),
    ]
    assert {"not", "no", "never", "nor", "without", "cannot", "t", "ll", "isn"} <= STOP_WORDS
    assert not {word for word in STOP_WORDS if not is_word(word)} - set("adimnst")


@pytest.mark.parametrize(
    "word, candidate, written",
    [
        ("film", "movie", "movie"),
        ("Film", "movie", "Movie"),
        ("FILM", "movie", "MOVIE"),
        ("film", "Paris", "Paris"),
        ("Straße", "weg", "Weg"),
        ("我", "你", "你"),
    ],
)
def test_a_candidate_takes_the_case_of_the_word(word, candidate, written):
    assert in_case_of(word, candidate) == written


def test_other_text_is_unchanged():
    text = "  A great,  GREAT film's 'end' ... "
    words = find_words(text)
    assert replaced(text, words, [None] * 4) == text
    assert replaced(text, words, ["bad", None, "movie", "start"]) == "  A bad,  GREAT movie's 'start' ... "


def test_draws_depend_on_seed_row_and_column_only():
    params = ReplacementParams(5, 0.4, 7)
    first = draw(params, 3, 11, 0)
    again = draw(params, 3, 11, 0)
    assert (first.replace == again.replace).all() and (first.choice == again.choice).all()
    for other in (
        draw(ReplacementParams(5, 0.4, 8), 3, 11, 0),
        draw(params, 3, 12, 0),
        draw(params, 3, 11, 1),
    ):
        assert (other.choice != first.choice).all()


def test_a_word_is_replaced_with_the_probability():
    many = draw(ReplacementParams(400, 0.3, 1), 100, 0, 0)
    assert abs(many.replace.mean() - 0.3) < 0.01 and abs(many.choice.mean() - 0.5) < 0.01
    assert not draw(ReplacementParams(50, 0.0, 1), 9, 0, 0).replace.any()
    assert draw(ReplacementParams(50, 1.0, 1), 9, 0, 0).replace.all()


def test_copies_differ_and_take_every_candidate():
    words = find_words("great film")
    offered = [("good", "fine"), ("movie", "show")]
    found = copies_of("great film", words, draw(ReplacementParams(500, 0.5, 1), 2, 0, 0), offered)
    expected = {f"{a} {b}" for a in ("great", "good", "fine") for b in ("film", "movie", "show")}
    assert len(found) == len(set(found)) and set(found) == expected - {"great film"}


def test_a_word_without_candidates_is_kept():
    words = find_words("great film")
    found = copies_of("great film", words, draw(ReplacementParams(20, 1.0, 1), 2, 0, 0), [(), ("movie",)])
    assert found == ["great movie"]


def test_a_pair_changes_one_text_and_keeps_the_other():
    rows = [(4, ["7", "red car", "x", "old house", "1"]), (5, ["8", "of", "x", "old house", "0"])]
    asked = []

    def candidates(wanted):
        asked.extend(wanted)
        return [[(f"{word.text}A", f"{word.text}B") for word in words] for _, words in wanted]

    copies = augment_rows(rows, (1, 3), ReplacementParams(6, 0.5, 3), candidates)
    for (_, row), made in zip(rows, copies, strict=True):
        assert made
        for values in made:
            changed = [i for i, (old, new) in enumerate(zip(row, values, strict=True)) if old != new]
            assert changed in ([1], [3])
    assert {values[1] for values in copies[1]} == {"of"}
    # The same text in another row has draws of its own.
    assert [v[3] for v in copies[0] if v[1] == "red car"] != [v[3] for v in copies[1]]
    assert all(isinstance(word, Word) for _, words in asked for word in words)


def test_only_needed_words_get_candidates():
    asked = []

    def candidates(wanted):
        asked.extend(word.text for _, words in wanted for word in words)
        return [[("new",)] * len(words) for _, words in wanted]

    text = " ".join(f"word{chr(97 + i)}" for i in range(26))
    (made,) = augment_rows([(0, [text])], (0,), ReplacementParams(1, 0.3, 1), candidates)
    assert 0 < len(asked) < 26
    kept = set(made[0][0].split())
    assert kept == set(text.split()) - set(asked) | {"new"}


def test_draws_match_a_manual_implementation():
    """Algorithm 1 with a loop over copies and words, from the same random numbers."""
    words, offered = find_words("one great old film"), [list("pqr"), list("stu"), list("vw")]
    numbers = np.random.default_rng([9, 2, 0]).random((2, 4, 3))
    expected = []
    for copy in range(4):
        tokens = ["one", "great", "old", "film"]
        for place in range(3):
            if numbers[0, copy, place] < 0.6:
                tokens[place + 1] = offered[place][int(numbers[1, copy, place] * len(offered[place]))]
        if " ".join(tokens) not in ("one great old film", *expected):
            expected.append(" ".join(tokens))
    assert (
        copies_of("one great old film", words, draw(ReplacementParams(4, 0.6, 9), 3, 2, 0), offered)
        == expected
    )
