"""The built-in task: right, balanced, reproducible, and not to be solved by counting words."""

import random

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from src.data.samples import sentiment as sample_task
from src.data.samples.sentiment import sample_rows, write_sample_task
from src.data.text.examples import read_examples
from src.errors import UserError
from src.tasks import TASKS

POLARITY = {
    word: polarity
    for words in (sample_task.ADJECTIVES, sample_task.VERBS)
    for polarity, group in words.items()
    for word in group
}
TURNS = ("not ", "is never ", "far from", "anything but", "hardly", "nobody", "could have been", "it was not")


def clause_sentiment(clause):
    """An independent reading of a clause: its one sentiment word, turned round if anything turns it."""
    words = [POLARITY[word] for word in clause.split() if word in POLARITY]
    assert len(words) == 1, clause
    kept = clause.replace("nothing if not", "").replace("never stops", "").replace("never fails", "")
    return words[0] ^ any(turn in kept for turn in TURNS)


def sentiment(text):
    """An independent reading of a sentence: split at its connective, keep the main clause."""
    for opener in ("although ", "even though ", "while "):
        start = text.find(opener)
        if start >= 0 and text[:start] in sample_task.OPENERS:
            return clause_sentiment(_clauses(text[start + len(opener) :])[1])
    for connective in (" , although ", " , even though ", " , because "):
        if connective in text:
            return clause_sentiment(text.split(connective)[0])
    return clause_sentiment(_clauses(text)[-1])


def _clauses(text):
    """The parts between commas and joints, in order, as far as they hold a sentiment word."""
    text = text.replace(" , but it was not", " it was not")
    text = text.replace(" , and it was", "").replace(" , but was not", "")
    for joint in (" ; still , ", " , but ", " , yet ", " , and ", " and ", " , "):
        text = text.replace(joint, "|")
    return [part for part in text.split("|") if any(word in POLARITY for word in part.split())]


@pytest.fixture(scope="module")
def rows():
    return sample_rows(seed=1, count=3000)


def test_labels_follow_from_the_composition(rows):
    wrong = [(text, label) for text, label in rows if sentiment(text) != label]
    assert not wrong, wrong[:5]


def test_written_files(tmp_path):
    write_sample_task(tmp_path)
    parts = [read_examples(tmp_path / name, TASKS["sample"]).examples for name in ("train.tsv", "dev.tsv")]
    assert [len(part) for part in parts] == [2400, 600]
    assert [sum(e.label == "1" for e in part) for part in parts] == [1200, 300]
    assert len({e.text_a for part in parts for e in part}) == 3000
    before = (tmp_path / "dev.tsv").read_bytes()
    write_sample_task(tmp_path)
    assert (tmp_path / "dev.tsv").read_bytes() == before
    write_sample_task(tmp_path, seed=2)
    assert (tmp_path / "dev.tsv").read_bytes() != before


@pytest.mark.parametrize("ngrams, bound", [((1, 1), 0.7), ((1, 2), 0.85)])
def test_single_words_do_not_solve_the_task(rows, ngrams, bound):
    counts = CountVectorizer(ngram_range=ngrams, token_pattern=r"\S+")
    train = counts.fit_transform([text for text, _ in rows[:2400]])
    model = LogisticRegression(max_iter=1000).fit(train, [label for _, label in rows[:2400]])
    dev = counts.transform([text for text, _ in rows[2400:]])
    assert model.score(dev, [label for _, label in rows[2400:]]) < bound


def test_every_pattern_is_used(rows):
    text = "\n".join(text for text, _ in rows)
    assert all(word in text for word in POLARITY) and all(opener in text for opener in sample_task.OPENERS)


def test_a_sentence_is_a_function_of_its_draws():
    assert sample_task.sentence(random.Random(4), 1) == sample_task.sentence(random.Random(4), 1)


def test_too_many_rows_are_rejected(monkeypatch):
    monkeypatch.setattr(sample_task, "sentence", lambda draw, label: f"always {label}")
    with pytest.raises(UserError, match="fewer than 10 distinct sentences"):
        sample_rows(1, 10)
