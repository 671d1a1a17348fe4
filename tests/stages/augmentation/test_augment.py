"""`python -m src.tools.augment` from text to text, and on to records."""

import json
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from src.data.augmentation.words import STOP_WORDS, Word, find_words
from src.data.text.examples import read_examples
from src.errors import Interrupted, UserError
from src.stages.augmentation import augment as stage
from src.stages.augmentation.candidates import Candidates
from src.tasks import TASKS
from src.tools.prepare import main as prepare
from tests import tiny
from tests.augment_task import rows_of, run, sst2, sst2_text, write_text

pytestmark = pytest.mark.usefixtures("graph_mode")


@pytest.fixture(scope="module")
def done(tmp_path_factory, mlm):
    """The folder of one whole run of 4 copies."""
    data = sst2(tmp_path_factory.mktemp("sst2"))
    run(data, mlm_model=mlm, copies=4)
    return data


def test_the_original_rows_come_first(done):
    original, made = (done / "train.tsv").read_text(), (done / "train_aug.tsv").read_text()
    assert made.startswith(original) and len(made) > 3 * len(original)
    assert sorted(os.listdir(done)) == ["train.tsv", "train_aug.tsv"]


def test_texts_are_distinct(done):
    texts, originals = [text for text, _ in rows_of(done / "train_aug.tsv")[1:]], sst2_text()
    copies = texts[len(originals) :]
    assert len(copies) == len(set(copies)) > 40 and not set(copies) & set(originals)


def parent_of(text, texts):
    """The original that a copy was made of: the same but for its words."""

    def frame(text):
        words = find_words(text)
        ends = [0, *(place for word in words for place in (word.start, word.end)), len(text)]
        return [text[begin:end] for begin, end in zip(ends[::2], ends[1::2], strict=True)]

    return [number for number, original in enumerate(texts) if frame(original) == frame(text)]


def test_only_words_change(done):
    rows = rows_of(done / "train_aug.tsv")[1:]
    texts = sst2_text()
    originals, copies = rows[: len(texts)], rows[len(texts) :]
    assert [text for text, _ in originals] == texts
    made_of = [parent_of(text, texts) for text, _ in copies]
    assert all(made_of)
    labels = [{originals[number][1] for number in found} for found in made_of]
    assert all(label in of_parents for of_parents, (_, label) in zip(labels, copies, strict=True))
    assert not any(3 in found for found in made_of)  # "not the" has no word to replace
    assert any(0 in found for found in made_of) and any(1 in found for found in made_of)
    for found, (text, _) in zip(made_of, copies, strict=True):
        if found == [1]:  # "the  LOTU's dekipe"
            assert text.split("'")[0].isupper() or text.startswith("the  ") and text[5:9].isupper()


def test_new_words_are_whole_words_of_the_vocabulary(done):
    known = {w.key for text in sst2_text() for w in find_words(text)} | set(tiny.WORDS)
    new = {w.key for text, _ in rows_of(done / "train_aug.tsv")[1:] for w in find_words(text)}
    assert new <= known and not new & STOP_WORDS


def test_records_of_augmented_rows(done, tmp_path, mlm):
    (tmp_path / "dev.tsv").write_text((done / "train.tsv").read_text())
    prepare(
        tiny.flags(
            task_name="SST-2",
            data_dir=tmp_path,
            train_file=done / "train_aug.tsv",
            vocab_file=mlm,
            output_dir=tmp_path / "records",
            max_seq_length=16,
        )
    )
    manifest = json.loads((tmp_path / "records" / "manifest.json").read_text())
    assert manifest["files"]["train"]["rows"] == len(rows_of(done / "train_aug.tsv")) - 1
    assert manifest["files"]["train"]["skipped"] == 0


def test_output_does_not_depend_on_batch_size(done, tmp_path, mlm):
    made = run(sst2(tmp_path), mlm_model=mlm, copies=4, batch_size=5)
    assert made.read_bytes() == (done / "train_aug.tsv").read_bytes()


def test_output_depends_on_the_seed(tmp_path, headless):
    data = sst2(tmp_path)
    flags = {"load_teacher_ckpt_path": headless, "copies": 4}
    first, again, other = (
        run(data, "--overwrite_output_file", **flags, seed=seed).read_bytes() for seed in (1, 1, 2)
    )
    assert first == again != other


def interrupt_at(monkeypatch, number, error=KeyboardInterrupt):
    """Stop the run when its part `number` is to be made; returns the list of row numbers asked for."""
    made, make = [], stage.Augmenter.augment

    def watched(self, rows):
        if number is not None and len(made) == number:
            raise error
        made.append([row for row, _, _ in rows])
        return make(self, rows)

    monkeypatch.setattr(stage.Augmenter, "augment", watched)
    return made


def test_resume_after_an_interrupt(done, tmp_path, mlm, monkeypatch):
    """Its parts are of other sizes than those of the unbroken run, which are one; the bytes are the same."""
    monkeypatch.setattr(stage, "PART_ROWS", 4)
    data, flags = sst2(tmp_path), {"mlm_model": mlm, "copies": 4}
    interrupt_at(monkeypatch, 2)
    with pytest.raises(Interrupted, match="run the same command again to resume"):
        run(data, **flags)
    assert not (data / "train_aug.tsv").exists()
    monkeypatch.undo()
    monkeypatch.setattr(stage, "PART_ROWS", 4)
    with pytest.raises(UserError, match="with copies 4, not 5"):
        run(data, **{**flags, "copies": 5})
    other = shutil.copytree(mlm, tmp_path / "other")
    (other / "SHA256SUMS").unlink()
    (other / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    with pytest.raises(UserError, match="interrupted run with mlm_model"):
        run(data, **{**flags, "mlm_model": other})
    shutil.rmtree(other)
    made = interrupt_at(monkeypatch, None)
    assert run(data, **flags).read_bytes() == (done / "train_aug.tsv").read_bytes()
    assert [row for rows in made for row in rows] == list(range(8, 20))
    assert sorted(os.listdir(data)) == ["train.tsv", "train_aug.tsv"]


@pytest.mark.reference
def test_candidates_match_transformers(mlm):
    """Each word masked alone in its sentence, through transformers' BertForMaskedLM."""
    torch = pytest.importorskip("torch")
    from transformers import BertForMaskedLM, BertTokenizer

    from src.stages.augmentation.candidates import WordStats
    from src.stages.augmentation.sources import AugmentResources
    from src.stages.model.device import setup_device
    from src.tools.augment import AugmentConfig

    config = AugmentConfig(task_name="SST-2", data_dir="", mlm_model=str(mlm), candidates=5)
    resources = AugmentResources(config, TASKS["SST-2"])
    stats, texts = WordStats(resources.pieces), sst2_text(6)
    stats.add(texts)
    candidates = resources.candidates(stats, setup_device(config, print), mlm)
    wanted = [(text, find_words(text)) for text in texts]
    theirs, tokenizer = BertForMaskedLM.from_pretrained(mlm).eval(), BertTokenizer.from_pretrained(mlm)
    compared = 0
    for (text, words), found in zip(wanted, candidates(wanted), strict=True):
        for word, offered in zip(words, found, strict=True):
            if word.key not in tiny.WORDS:
                continue
            ids = tokenizer(text[: word.start] + "[MASK]" + text[word.end :], return_tensors="pt")
            place = (ids["input_ids"][0] == tokenizer.mask_token_id).nonzero()[0, 0]
            with torch.no_grad():
                order = theirs(**ids).logits[0, place].argsort(descending=True).tolist()
            names = [name for name in tokenizer.convert_ids_to_tokens(order) if name in tiny.WORDS]
            assert list(offered) == [name for name in names if name != word.key][:5]
            compared += 1
    assert compared > 20


def test_the_most_probable_spelling_is_used():
    names = ["Movie", "film", "FILM", "show", "play", "movie"]
    words = dict(enumerate(names))
    pieces = SimpleNamespace(tokenizer=SimpleNamespace(words=words), contexts=lambda wanted: [["context"]])
    candidates = Candidates(pieces, lambda contexts: [range(len(names))], {}, 2)
    assert candidates([("Play", [Word("Play", 0, 4)])]) == [[["Movie", "film"]]]


def test_a_model_without_head_provides_neighbors_only(tmp_path, headless, capsys):
    made = run(sst2(tmp_path), mlm_model=headless, copies=2)
    said = capsys.readouterr().out
    assert "has no masked language modeling head: using nearest neighbors only" in said
    assert len(rows_of(made)) > 30 and f"{made}: 20 rows and " in said


def test_glove_replaces_multi_piece_words(tmp_path, mlm, capsys):
    words = ["badena", "sun", "Moon", "star", "the", "dekipe", "sea"]
    draw = np.random.default_rng(0)
    lines = (f"{word} {' '.join(f'{x:.3f}' for x in draw.standard_normal(4))}" for word in words)
    (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n")
    flags = {"glove_file": tmp_path / "glove.txt", "copies": 20, "probability": 0.9}
    made = run(sst2(tmp_path / "data"), mlm_model=mlm, **flags)
    new = {w.key for text, _ in rows_of(made)[1:] for w in find_words(text)}
    assert {"sun", "moon", "star", "sea"} <= new
    alone = run(sst2(tmp_path / "alone"), **flags)
    # Only these words have vectors: nothing else of the text is replaced.
    changed = {text for text, _ in rows_of(alone)[21:]}
    assert changed and all(parent_of(text, sst2_text()[:3]) for text in changed)


def test_the_teacher_filters(tmp_path, headless):
    from src.stages.serving.predict import Classifier

    everything = rows_of(run(sst2(tmp_path / "all"), load_teacher_ckpt_path=headless, copies=6))
    kept = rows_of(
        run(sst2(tmp_path / "kept"), load_teacher_ckpt_path=headless, copies=6, filter_with_teacher=0.6)
    )
    classify = Classifier(str(headless), max_seq_length=32)
    answers = classify([text for text, _ in everything[21:]])
    sure = [
        row
        for row, (label, probability) in zip(everything[21:], answers, strict=True)
        if label == row[1] and probability >= 0.6
    ]
    assert kept[21:] == sure and 0 < len(sure) < len(everything) - 21


# Forms and tasks, with neighbors alone, which need no graph


def test_pairs_keep_the_other_text(tmp_path, headless):
    lines = tiny.mnli_rows(8, 3).splitlines()
    lines[4] = lines[4].rpartition("\t")[0] + "\t-"
    data = write_text(tmp_path, lines)
    made = [
        line.split("\t")
        for line in run(data, load_teacher_ckpt_path=headless, task="MNLI").read_text().splitlines()
    ]
    originals, copies = made[1:9], made[9:]
    assert ["\t".join(row) for row in made[:9]] == lines and len(copies) > 100
    for row in copies:
        parents = [[i for i, (a, b) in enumerate(zip(old, row, strict=True)) if a != b] for old in originals]
        assert [8] in parents or [9] in parents
    # A row without a gold label has no copy.
    assert not any(row[8] == originals[3][8] or row[9] == originals[3][9] for row in copies)


def test_cola_has_no_header(tmp_path, headless):
    data = write_text(tmp_path, ["gj04\t1\t\tBade kina.", "cj99\t0\t*\tLoyo muwe bade."])
    lines = run(data, load_teacher_ckpt_path=headless, task="CoLA").read_text().splitlines()
    assert lines[:2] == (data / "train.tsv").read_text().splitlines() and len(lines) > 20
    assert {tuple(line.split("\t")[:3]) for line in lines} == {("gj04", "1", ""), ("cj99", "0", "*")}
    assert all(line.split("\t")[3][0].isupper() and line.endswith(".") for line in lines)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_other_formats(tmp_path, headless, suffix):
    texts = ['Bade, "kina"\tmuwe', "loyo kixi"]
    objects = [json.dumps({"label": 1, "sentence": text}) for text in texts]
    quoted = ["label,sentence", '1,"Bade, ""kina""\tmuwe"', "1,loyo kixi"]
    data = write_text(tmp_path, objects if suffix == "jsonl" else quoted, f"train.{suffix}")
    made = run(data, load_teacher_ckpt_path=headless, name=f"train_aug.{suffix}", copies=5)
    examples = read_examples(made, TASKS["SST-2"]).examples
    assert [example.text_a for example in examples[:2]] == texts and 4 < len(examples) <= 12
    assert all('"' in e.text_a and "\t" in e.text_a or len(e.text_a.split()) == 2 for e in examples)


def test_bad_rows_are_skipped_and_max_rows_is_respected(tmp_path, headless, capsys):
    data = write_text(tmp_path, ["sentence\tlabel", "bade kina\t1", "no label", "loyo\t0", "muwe\t1"])
    made = run(data, "--on_bad_row", "skip", load_teacher_ckpt_path=headless, max_rows=2)
    assert rows_of(made)[:3] == [("sentence", "label"), ("bade kina", "1"), ("loyo", "0")]
    assert {label for text, label in rows_of(made)[3:] if len(text.split()) == 2} == {"1"}
    assert "1 malformed rows are skipped (the first: line 3" in capsys.readouterr().out


@pytest.mark.reference
def test_the_benchmark_writes_the_same_copies(tmp_path, mlm, capsys):
    """One word at a time, and in PyTorch as the published code does: the words are those of batches."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from benchmarks import bench_augment

    flags = tiny.flags(task_name="SST-2", data_dir=sst2(tmp_path), mlm_model=mlm, copies=2, probability=0.9)
    bench_augment.main(["--rows=6", "--repeats=1", f"--json={tmp_path / 'figures.json'}", *flags])
    found = json.loads((tmp_path / "figures.json").read_text())
    assert set(found) == {"batches", "one", "published"}
    for way in found.values():
        assert way["rows_with_the_same_copies"] == 1.0 and way["copies_a_second"] > 0
