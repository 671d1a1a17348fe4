"""Sentences of English and Chinese lines."""

import pytest

from src.data.corpus.sentences import clean, split_sentences

SPLIT = [
    ["It is blue.", " It eats!", " Does it?", "  3 men came."],
    ["Mr. Smith met Dr. J. R. Jones at St. Mary.", " Then he left."],
    ['He said "No."', " Then (it seems) he left.", ' "Why?" she asked.'],
    ["It weighs 5.5 kg, e.g. in H. americanus."],
    # A quote between two spaces may close or open: it goes with what follows.
    ["Mating occurs .", ' " He left .', ' " The end .'],
    ["他说：“你好。”", "然后走了！", "真的吗？！", "好……", "再见；", "完"],
    ["中文 mixed with English.", " 再来。", " Done."],
    ["no mark at all"],
]


@pytest.mark.parametrize("sentences", SPLIT, ids=lambda sentences: sentences[0].strip())
def test_sentences(sentences):
    assert split_sentences("".join(sentences)) == sentences


def test_wikitext_markup():
    assert clean(" 1 @,@ 000 red @-@ blue 5 @.@ 5 <unk> <unk> \n") == "1,000 red-blue 5.5 [UNK] [UNK]"
    assert clean("me@home.org") == "me@home.org"


def test_a_line_without_text():
    assert split_sentences(clean(" \n")) == []
