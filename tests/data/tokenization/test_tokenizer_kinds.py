"""Tokenizers of many kinds: ids as of transformers, and again after the files were written."""

import json
import shutil

import pytest
from tokenizers import Tokenizer, normalizers

from src.data.augmentation.masked_contexts import ContextForm
from src.data.augmentation.words import Word
from src.data.corpus.sentences import split_sentences
from src.data.tokenization.settings import differing_setting
from src.data.tokenization.tokenizer import load_tokenizer, set_max_length, write_tokenizer
from src.errors import UserError
from src.stages.augmentation.candidates import WordPieces
from tests.data.tokenization import kinds
from tests.data.tokenization.kinds import KINDS

SENTENCES = [*kinds.odd_sentences(300), *kinds.plain_sentences(100)]
PAIRS = list(zip(SENTENCES, reversed(SENTENCES), strict=True))


@pytest.mark.parametrize("name", KINDS)
def test_the_sentences_of_a_line_have_its_tokens(tmp_path, name):
    """Corpora are encoded sentence by sentence."""
    line = 'The film is dull. The plot is fresh! Then (it seems) we left. He said "No." 3 men came. Done.'
    KINDS[name](tmp_path)
    tokenizer, sentences = load_tokenizer(tmp_path), split_sentences(line)
    assert len(sentences) == 6 and "".join(sentences) == line
    (whole,) = tokenizer.encode([line])
    assert [token for ids in tokenizer.encode(sentences) for token in ids] == whole


def folder_of(name, tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    KINDS[name](folder)
    return folder


@pytest.mark.reference
@pytest.mark.parametrize("name", KINDS)
def test_ids_match_transformers(name, tmp_path):
    from transformers import AutoTokenizer

    folder = folder_of(name, tmp_path)
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    expected = theirs(SENTENCES, padding=False, truncation=False)["input_ids"]
    found, _, _ = ours.encode_pairs([(text, None) for text in SENTENCES], 10_000)
    for text, ids, own in zip(SENTENCES, expected, found, strict=True):
        assert own == ids, text
    expected = theirs(
        *map(list, zip(*PAIRS, strict=True)),
        padding=False,
        truncation="longest_first",
        max_length=31,
        return_token_type_ids=True,
    )
    ids, segments, _ = ours.encode_pairs(PAIRS, 31)
    assert ids == expected["input_ids"] and segments == expected["token_type_ids"]
    named = {"pad": theirs.pad_token_id, "mask": theirs.mask_token_id, "unk": theirs.unk_token_id}
    assert {role: getattr(ours, f"{role}_id") for role in named} == named


@pytest.mark.parametrize("name", KINDS)
def test_ids_match_the_library(name, tmp_path):
    folder = folder_of(name, tmp_path)
    if not (folder / "tokenizer.json").is_file():
        pytest.skip("has no tokenizer.json")
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.no_truncation()
    backend.no_padding()
    found, segments, _ = load_tokenizer(folder).encode_pairs(PAIRS, 10_000)
    expected = backend.encode_batch(PAIRS)
    assert found == [encoding.ids for encoding in expected]
    assert segments == [encoding.type_ids for encoding in expected]


@pytest.mark.parametrize("name", KINDS)
def test_written_files(name, tmp_path):
    """Files of records, and files copied to a model folder: the same ids, no padding, truncation as set."""
    folder = folder_of(name, tmp_path)
    tokenizer = load_tokenizer(folder)
    ids = tokenizer.encode(SENTENCES)
    write_tokenizer(tokenizer, tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.encode(SENTENCES) == ids and again.settings == tokenizer.settings
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    set_max_length(folder, 64)
    again = load_tokenizer(folder)
    assert again.encode(SENTENCES) == ids and again.settings == tokenizer.settings
    written = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert written.padding is None and written.truncation["max_length"] == 64
    pairs = [written.encode(a, b) for a, b in PAIRS]
    assert [pair.ids for pair in pairs] == tokenizer.encode_pairs(PAIRS, 64)[0]
    config = json.loads((folder / "tokenizer_config.json").read_text())
    given = json.loads(before.get("tokenizer_config.json", b"{}"))
    assert config == {**given, "model_max_length": 64}
    rewritten = {"tokenizer.json", "tokenizer_config.json"}
    assert all((folder / file).read_bytes() == data for file, data in before.items() if file not in rewritten)


@pytest.mark.reference
@pytest.mark.parametrize(
    "name", ["BERT vocab.txt", "added tokens, added_tokens.json", "<bos> and <eos>", "RoBERTa"]
)
def test_written_files_in_transformers(name, tmp_path):
    from transformers import AutoTokenizer

    folder = folder_of(name, tmp_path)
    expected = AutoTokenizer.from_pretrained(folder)(SENTENCES, padding=False)["input_ids"]
    set_max_length(folder, 10_000)
    assert AutoTokenizer.from_pretrained(folder)(SENTENCES)["input_ids"] == expected


def test_special_tokens_of_each_family(tmp_path):
    expected = {
        "RoBERTa": (0, 2, 1, 3, 4),
        "CamemBERT": (5, 6, 1, 3, None),
        "<bos> and <eos>": (2, 3, 0, 1, 4),
    }
    for name, ids in expected.items():
        (tmp_path / name).mkdir()
        tokenizer = load_tokenizer(folder_of(name, tmp_path / name))
        own = [getattr(tokenizer, f"{role}_id") for role in ("cls", "sep", "pad", "unk", "mask")]
        mask = tokenizer.vocab.get("<mask>") if ids[4] is None else ids[4]
        assert own == [*ids[:4], mask], name
    assert tokenizer.pair.join([[7], [8, 9]]) == ([2, 7, 3, 8, 9, 3], [0, 0, 0, 1, 1, 1])
    roberta = load_tokenizer(tmp_path / "RoBERTa" / "source")
    assert roberta.pair.join([[7], [8, 9]]) == ([0, 7, 2, 2, 8, 9, 2], [0] * 7)


def test_words_of_each_model(tmp_path):
    for name in ("BERT uncased", "prefix @@", "RoBERTa", "XLM-R", "BPE with </w>"):
        place = tmp_path / name.replace("/", "")
        place.mkdir()
        tokenizer = load_tokenizer(folder_of(name, place))
        # After a space each word that is one token has that token.
        words = {index: word for index, word in tokenizer.words.items() if word.isalpha() and word.islower()}
        known = [ids for _, ids in tokenizer.encode_words([("a", word) for word in words.values()])]
        assert len(words) > 50
        assert sum(ids == [index] for ids, index in zip(known, words, strict=True)) > 0.8 * len(words), name
        text = "a thoroughly unwatchable film"
        ids = tokenizer.encode_words([text.split()])[0]
        assert [token for word in ids for token in word] == tokenizer.encode([text])[0]
        if name == "BPE with </w>":
            assert not tokenizer.continuations.any() and all(word[-1] in tokenizer.words for word in ids)
            continue
        for word in ids:
            assert tokenizer.continuations[word[1:]].all() and (word is ids[0] or word[0] in tokenizer.words)


def test_settings_tell_tokenizers_apart(tmp_path):
    hashes = {}
    for name in KINDS:
        place = tmp_path / name.replace("/", "")
        place.mkdir()
        hashes[name] = load_tokenizer(folder_of(name, place)).settings["hash"]
    # The same tokenizer in two forms.
    same = [("BERT uncased", "BERT vocab.txt"), ("BERT cased", "BERT cased vocab.txt")]
    assert all(hashes[a] == hashes[b] for a, b in same)
    assert len(set(hashes.values())) == len(hashes) - len(same)


@pytest.mark.parametrize(
    "name, config, complaint",
    [
        ("BertJapaneseTokenizer", {}, "has a BertJapaneseTokenizer and no tokenizer.json"),
        ("BertTokenizer", {"word_tokenizer_type": "mecab"}, "no tokenizer.json"),
        ("RoFormerTokenizer", {}, "has a RoFormerTokenizer and no tokenizer.json"),
        ("PreTrainedTokenizerFast", {}, "has a PreTrainedTokenizer and no tokenizer.json"),
        ("BertTokenizer", {"added_tokens_decoder": [1]}, "added_tokens_decoder is not"),
        (
            "BertTokenizer",
            {"added_tokens_decoder": {"9999": {"content": "x"}}},
            'added token "x" has the id 9999',
        ),
        ("BertTokenizer", {"additional_special_tokens": [1]}, "additional_special_tokens is not a list"),
        ("BertTokenizer", {"mask_token": 3}, "mask_token 3 is not a string"),
    ],
)
def test_classes_that_cannot_be_built(tmp_path, name, config, complaint):
    kinds.write_vocab(tmp_path, kinds.word_piece_vocab())
    kinds.write_config(tmp_path, name, **config)
    with pytest.raises(UserError, match=complaint):
        load_tokenizer(tmp_path)


def test_sentencepiece_alone(tmp_path):
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"\x0a\x0e")
    with pytest.raises(
        UserError, match=r"has sentencepiece.bpe.model but no tokenizer.json.*save_pretrained"
    ):
        load_tokenizer(tmp_path)


def test_lower_case_override(tmp_path):
    KINDS["Sequence normalizer"](tmp_path)
    assert load_tokenizer(tmp_path, False).encode(["Film"]) != load_tokenizer(tmp_path, True).encode(["Film"])
    tokenizer = kinds.bert()
    tokenizer.normalizer = normalizers.Lowercase()
    kinds.write(tmp_path, tokenizer)
    with pytest.raises(UserError, match=r"the normalizer of .*tokenizer.json is Lowercase; omit the flag"):
        load_tokenizer(tmp_path, False)


def test_the_class_decides_about_casing(tmp_path):
    """As in transformers: BertTokenizer takes do_lower_case from its config, the generic class does not."""
    for name, lower_case in (("BertTokenizer", False), (kinds.GENERIC, True)):
        kinds.write(tmp_path, kinds.bert(), name, do_lower_case=False)
        assert load_tokenizer(tmp_path).settings["lower_case"] is lower_case


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"model": {"type": "BPE"}}, "is not a tokenizer that tokenizers"),
        ({"model": None}, "has no model"),
        ({"post_processor": None}, "does not put special tokens around a text"),
        ({"pre_tokenizer": {"type": "Mecab"}}, "is not a tokenizer that tokenizers"),
    ],
)
def test_unusable_documents(tmp_path, change, complaint):
    kinds.write(tmp_path, kinds.bert())
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(UserError, match=complaint):
        load_tokenizer(tmp_path)


def test_an_unknown_token_outside_the_vocabulary(tmp_path):
    kinds.write(tmp_path, kinds.bert())
    file = tmp_path / "tokenizer.json"
    document = json.loads(file.read_text())
    document["model"]["unk_token"] = "<missing>"
    file.write_text(json.dumps(document))
    with pytest.raises(UserError, match="lacks the unknown token <missing>"):
        load_tokenizer(tmp_path)


def test_a_lone_surrogate(tmp_path):
    KINDS["BERT vocab.txt"](tmp_path)
    with pytest.raises(UserError, match="a lone surrogate"):
        load_tokenizer(tmp_path).encode(["a \ud83d film"])
    with pytest.raises(UserError, match="^nan is a float, not a text$"):
        load_tokenizer(tmp_path).encode(["a film", float("nan")])


@pytest.mark.parametrize("name", ["RoBERTa", "RoBERTa, vocab.json and merges.txt"])
def test_a_student_of_another_model_type(name, tmp_path):
    """Its files say which class of tokenizer it has: config.json no longer implies it."""
    source, student = folder_of(name, tmp_path), tmp_path / "student"
    file = source / "tokenizer_config.json"
    config = json.loads(file.read_text())
    del config["tokenizer_class"]
    file.write_text(json.dumps(config))
    (source / "config.json").write_text('{"model_type": "roberta"}')
    shutil.copytree(source, student)
    (student / "config.json").write_text('{"model_type": "bert"}')
    set_max_length(student, 64, source)
    written = json.loads((student / "tokenizer_config.json").read_text())
    assert written["tokenizer_class"] == "PreTrainedTokenizerFast" and written["model_max_length"] == 64
    assert load_tokenizer(student).encode(SENTENCES) == load_tokenizer(source).encode(SENTENCES)


# What earlier versions wrote to manifest.json for the vocabulary below.
OLDER = {
    "vocab_sha256": "c9a0828fc71d7fd77e9ba7d21596923bbccc40fe70f91732e4f09b5656eecd22",
    "vocab_size": 7,
    "lower_case": True,
    "strip_accents": True,
    "chinese": True,
    "hash": "f1139bd3ff8768f4b2a112c6578c9441a4d0e5e940a7522c0704c7e6477a8edf",
}


def test_records_of_earlier_versions(tmp_path):
    """They fit the tokenizer that was built from the same vocabulary, and no other of the same vocabulary."""
    vocab = {token: index for index, token in enumerate([*kinds.BERT, "film", "##s"])}
    kinds.write(tmp_path, kinds.bert(vocab=vocab))
    settings = load_tokenizer(tmp_path).settings
    assert differing_setting(settings, OLDER) is None and differing_setting(OLDER, OLDER) is None
    assert differing_setting(settings, {**OLDER, "lower_case": False}) == "lower_case"
    tokenizer = kinds.bert(vocab=vocab)
    tokenizer.normalizer = normalizers.Sequence([tokenizer.normalizer])
    kinds.write(tmp_path, tokenizer)
    other = load_tokenizer(tmp_path).settings
    assert differing_setting(other, OLDER) == "lower_case" and differing_setting(other, settings)
    tokenizer = kinds.bert(vocab=vocab)
    tokenizer.add_tokens(["COVID-19"])
    kinds.write(tmp_path, tokenizer)
    assert differing_setting(load_tokenizer(tmp_path).settings, OLDER) == "vocab_sha256"


@pytest.mark.reference
def test_words_match_transformers(tmp_path):
    from transformers import AutoTokenizer

    KINDS["RoBERTa, prefix space"](tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    sentences = [text.split() for text in kinds.plain_sentences(50)]
    found = load_tokenizer(tmp_path).encode_words(sentences)
    for words, ids in zip(sentences, found, strict=True):
        expected = theirs(words, is_split_into_words=True, add_special_tokens=False, padding=False)
        assert sum(ids, []) == expected["input_ids"]
        assert [n for n, word in enumerate(ids) for _ in word] == expected.word_ids()


def test_masked_contexts_of_roberta(tmp_path):
    """Words after a space that are one token are predicted; the first of a text, without a space, is not."""
    KINDS["RoBERTa"](tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    text = "the film was the film"
    pieces = WordPieces(tokenizer, ContextForm(tokenizer.single, tokenizer.mask_id, 64))
    ((first, second),) = pieces.contexts([(text, [Word("film", 4, 8), Word("film", 17, 21)])])
    ids = tokenizer.encode([text])[0]
    place = [n for n, index in enumerate(ids) if tokenizer.token(index) == "Ġfilm"]
    assert (first.position, second.position) == (place[0] + 1, place[1] + 1)
    assert first.ids[first.position] == tokenizer.mask_id and first.first == len(first.ids) == len(ids) + 2
    assert pieces.contexts([("film was", [Word("film", 0, 4)])]) == [[None]]


def test_a_bert_student_of_a_distilbert_gets_segments(tmp_path):
    source, student = folder_of("BERT vocab.txt", tmp_path), tmp_path / "student"
    (source / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "DistilBertTokenizer", "model_input_names": ["input_ids", "attention_mask"]}'
    )
    for model_type, name in (("bert", "BertTokenizer"), ("distilbert", "DistilBertTokenizer")):
        shutil.copytree(source, student / model_type)
        (student / model_type / "config.json").write_text(json.dumps({"model_type": model_type}))
        set_max_length(student / model_type, 64, source)
        written = json.loads((student / model_type / "tokenizer_config.json").read_text())
        assert written["tokenizer_class"] == name
        assert ("model_input_names" in written) == (model_type == "distilbert")
