"""The built-in task of names: right, reproducible, and not to be solved by knowing the words."""

from collections import Counter, defaultdict

import pytest

from src.data.samples import ner as sample_ner
from src.data.samples.ner import SLOT, TEMPLATES, sample_sentences, write_sample_ner
from src.data.text.conll import read_sentences
from src.entities import entities, f1, tag_set
from src.errors import UserError
from src.tasks import TASKS


def template_of(row):
    """A sentence with its entities as slots, read off by their tags."""
    words, tags = zip(*row, strict=True)
    found = {entity.start: entity for entity in entities(tags)}
    inside = {place for entity in found.values() for place in range(entity.start, entity.end)}
    return " ".join(
        f"{{{found[place].kind}}}" if place in found else word
        for place, word in enumerate(words)
        if place in found or place not in inside
    )


@pytest.fixture(scope="module")
def rows():
    return sample_sentences(seed=1, count=3000)


def test_every_sentence_is_one_of_the_templates_and_each_is_used(rows):
    assert {template_of(row) for row in rows} == set(TEMPLATES)


def test_no_two_templates_are_alike_without_their_types():
    assert len({SLOT.sub("{}", template) for template in TEMPLATES}) == len(TEMPLATES)


def test_single_words_do_not_solve_the_task(rows):
    """The tag that each word most often has in training, the best that one can do without its neighbours."""
    counts = defaultdict(Counter)
    for word, tag in (pair for row in rows[:2400] for pair in row):
        counts[word][tag] += 1
    best = {word: count.most_common(1)[0][0] for word, count in counts.items()}
    predictions = [[best[word] for word, _ in row] for row in rows[2400:]]
    assert f1(predictions, [[tag for _, tag in row] for row in rows[2400:]]) < 0.4


def test_written_files(tmp_path):
    write_sample_ner(tmp_path)
    task, names = TASKS["sample-ner"], ("train.txt", "dev.txt")
    parts = [read_sentences(tmp_path / name, task).examples for name in names]
    assert [len(part) for part in parts] == [2400, 600]
    assert len({sentence.words for part in parts for sentence in part}) == 3000
    assert tag_set({tag for each in parts[1] for tag in each.tags}) == task.labels
    before = (tmp_path / "dev.txt").read_bytes()
    write_sample_ner(tmp_path)
    assert (tmp_path / "dev.txt").read_bytes() == before
    write_sample_ner(tmp_path, seed=2)
    assert (tmp_path / "dev.txt").read_bytes() != before


def test_too_many_rows_are_rejected(monkeypatch):
    monkeypatch.setattr(sample_ner, "TEMPLATES", ("always so .",))
    with pytest.raises(UserError, match="fewer than 2 distinct sentences"):
        sample_sentences(1, 2)
