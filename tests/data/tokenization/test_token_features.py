"""Tags on word pieces: the first piece of each word, checked with transformers' own alignment."""

import numpy as np
import pytest

from src.data.dataset import TokenizedDataset
from src.data.records.io import check_labels, read_records, schema_of, write_records
from src.data.text.conll import Sentence
from src.data.tokenization.token_features import encode_sentences
from src.data.tokenization.tokenizer import load_tokenizer, write_tokenizer
from src.errors import UserError
from src.tasks import IGNORE_INDEX, TASKS, TaskSpec
from tests import tiny

PIECES = [*tiny.SPECIAL, "ann", "lee", "##d", "##s", "in", "york", "u", ".", "北", "京"]
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TASK = TaskSpec("names", ("words",), output_mode="token_classification", labels=LABELS)
SENTENCES = [
    Sentence(("Anns", "Leeds", "in", "York"), ("B-PER", "I-PER", "O", "B-LOC"), 1),
    Sentence(("\u200b", "U.", "zzz"), ("O", "B-LOC", "O"), 6),
    Sentence(("北", "京"), ("B-LOC", "I-LOC"), 10),
    Sentence(("ann",), ("O",), 13),
]
_ = IGNORE_INDEX


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(tiny.write_vocabulary(tmp_path_factory.mktemp("words"), PIECES))


def rows(table):
    return [
        (ids.tolist(), labels.tolist())
        for ids, labels in zip(table.by_row(table.tokens), table.by_row(table.labels), strict=True)
    ]


def test_encoding_matches_a_manual_example(tokenizer):
    table, counts = encode_sentences(SENTENCES, tokenizer, TASK, 16)
    assert rows(table)[0] == ([2, 5, 8, 6, 7, 8, 9, 10, 3], [_, 1, _, 2, _, _, 0, 3, _])
    # A word of which nothing is left is [UNK], as is an unknown one; a point belongs to its word.
    assert rows(table)[1] == ([2, 1, 11, 12, 1, 3], [_, 0, 3, _, 0, _])
    assert rows(table)[2] == ([2, 13, 14, 3], [_, 3, 4, _])
    assert (counts.truncated, counts.cut_words, counts.tokens, counts.unknown) == (0, 0, 14, 2)


def test_truncation_is_counted(tokenizer):
    table, counts = encode_sentences(SENTENCES, tokenizer, TASK, 8)
    assert rows(table)[0] == ([2, 5, 8, 6, 7, 8, 9, 3], [_, 1, _, 2, _, _, 0, _])
    # York is gone; of a word that is cut inside, the label stays.
    assert (counts.truncated, counts.cut_words) == (1, 1)
    with pytest.raises(UserError, match="max_seq_length 7 is too short"):
        encode_sentences(SENTENCES, tokenizer, TASK, 7)


def test_untagged_words_have_a_position(tokenizer):
    bare = [Sentence(sentence.words, None, 0) for sentence in SENTENCES]
    table, _counts = encode_sentences(bare, tokenizer, None, 16)
    tagged, _counts = encode_sentences(SENTENCES, tokenizer, TASK, 16)
    assert (table.tokens == tagged.tokens).all()
    assert ((table.labels == 0) == (tagged.labels >= 0)).all() and set(table.labels) == {0, IGNORE_INDEX}


def test_sentences_without_tags_are_rows_without_a_label(tokenizer, tmp_path):
    bare = Sentence(("ann", "Leeds"), None, 0)
    table, _counts = encode_sentences([*SENTENCES, bare], tokenizer, TASK, 16)
    assert table.labeled.tolist() == [True] * 4 + [False]
    alone, _counts = encode_sentences([bare], tokenizer, TASK, 16)
    with pytest.raises(UserError, match="no label other than padding"):
        check_labels(alone, TASK, "test.tfrecord")


@pytest.mark.reference
def test_alignment_matches_transformers(tokenizer, tmp_path):
    from transformers import BertTokenizerFast

    write_tokenizer(tokenizer, tmp_path)
    theirs = BertTokenizerFast.from_pretrained(tmp_path)
    kept = [sentence for sentence in SENTENCES if "\u200b" not in sentence.words]
    table, _counts = encode_sentences(kept, tokenizer, TASK, 16)
    for sentence, (ids, labels) in zip(kept, rows(table), strict=True):
        encoding = theirs(list(sentence.words), is_split_into_words=True)
        words = encoding.word_ids()
        first = [place for place, word in enumerate(words) if word is not None and words.index(word) == place]
        expected = np.full(len(ids), IGNORE_INDEX)
        expected[first] = [LABELS.index(tag) for tag in sentence.tags]
        assert encoding["input_ids"] == ids and expected.tolist() == labels


@pytest.mark.parametrize("form", ["tfrecord", "mindrecord"])
def test_through_record_files(tokenizer, tmp_path, form):
    table, _counts = encode_sentences(SENTENCES, tokenizer, TASK, 16)
    write_records(tmp_path / f"train.{form}", table, form)
    again = read_records(tmp_path / f"train.{form}", form)
    assert again.labels_by_token and (again.labels == table.labels).all()
    assert (again.tokens == table.tokens).all()
    check_labels(again, TASK, "here")
    assert schema_of(table)["columns"]["label_ids"] == {"type": "int64", "rank": 1, "shape": [16]}
    chosen = again.take([2, 0])
    assert rows(chosen) == [rows(table)[2], rows(table)[0]]
    expected = np.full((2, 9), IGNORE_INDEX)
    expected[0, :9] = rows(table)[0][1]
    expected[1, :4] = rows(table)[2][1]
    labels = table.labels_of(np.array([0, 2]), 9)
    assert labels.dtype == np.int32 and (labels == expected).all()
    assert rows(TokenizedDataset.joined([table, chosen]))[-1] == rows(table)[0]


def test_labels_of_another_task_are_rejected(tokenizer):
    table, _counts = encode_sentences(SENTENCES, tokenizer, TASK, 16)
    with pytest.raises(UserError, match="here holds token labels, but SST-2 is a class"):
        check_labels(table, TASKS["SST-2"], "here")
    whole = TokenizedDataset.from_flat(
        table.tokens, table.tokens * 0, table.lengths, np.zeros(4, np.int32), 16
    )
    with pytest.raises(UserError, match="here holds class indices, but names is a token_classification task"):
        check_labels(whole, TASK, "here")
    whole.labels = None
    with pytest.raises(UserError, match="here holds no labels, which a token_classification task"):
        check_labels(whole, TASK, "here")
    table.labels = np.where(table.labels == 4, 7, table.labels)
    with pytest.raises(UserError, match="here holds labels from 0 to 7, but names has 5 classes"):
        check_labels(table, TASK, "here")
