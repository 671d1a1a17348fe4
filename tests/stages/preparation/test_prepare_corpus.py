"""`python -m src.tools.prepare_corpus` from raw text to records that can be read."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from src.data.corpus.sentences import clean
from src.data.records.io import read_records
from src.data.tokenization.tokenizer import load_tokenizer
from src.errors import UserError
from src.tools.prepare_corpus import main
from tests import tiny

ROOT = Path(__file__).resolve().parents[3]
CLS, SEP = 2, 3
MARKS = [".", ",", "-", "@", "5", "<", ">", "unk"]


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    return tiny.write_vocabulary(tmp_path_factory.mktemp("vocab"), tiny.VOCABULARY + MARKS)


def paragraph(draw, sentences=4):
    return " ".join(f"{' '.join(draw.choice(tiny.WORDS, draw.integers(1, 30)))}." for _ in range(sentences))


def documents(count, seed=0):
    """Lists of lines."""
    draw = np.random.default_rng(seed)
    return [[paragraph(draw).title() for _ in range(draw.integers(1, 6))] for _ in range(count)]


def write_plain(path, texts):
    path.write_text("\n\n".join("\n".join(lines) for lines in texts) + "\n")
    return path


def command(vocab, text, out, *flags):
    paths = ["--input", str(text), "--vocab_file", str(vocab), "--output_dir", str(out)]
    return [*paths, "--max_seq_length", "32", *map(str, flags)]


def prepare(vocab, text, out, *flags):
    main(command(vocab, text, out, "--workers", 1, *flags))
    return json.loads((out / "manifest.json").read_text())


def start(vocab, text, out, *flags, **options):
    program = [sys.executable, "-m", "src.tools.prepare_corpus", *command(vocab, text, out, *flags)]
    return subprocess.Popen(
        program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def contents(out, suffix="tfrecord"):
    return {path.name: path.read_bytes() for path in sorted(out.glob(f"*.{suffix}"))}


def tokens_of(table):
    """All tokens in order, without [CLS] and [SEP]."""
    return table.tokens[(table.tokens != CLS) & (table.tokens != SEP)].tolist()


def expected_tokens(vocab, texts):
    return sum(load_tokenizer(vocab).encode([clean(line) for lines in texts for line in lines]), [])


@pytest.mark.parametrize("form", ["tfrecord", "mindrecord"])
def test_every_token_is_written_once_in_order(tmp_path, vocab, form):
    texts = documents(40)
    text, out = write_plain(tmp_path / "a.txt", texts), tmp_path / "out"
    manifest = prepare(vocab, text, out, "--num_shards", 4, "--dataset_type", form)
    names = [f"corpus-{i:05d}-of-00004.{form}" for i in range(4)]
    assert [entry["file"] for entry in manifest["files"].values()] == names
    table = read_records(out, form)
    assert tokens_of(table) == expected_tokens(vocab, texts)
    assert table.labels is None and table.max_seq_length == 32
    assert table.rows == manifest["rows"] == sum(e["rows"] for e in manifest["files"].values())
    assert (manifest["documents"], manifest["text_tokens"]) == (40, len(tokens_of(table)))
    assert manifest["tokens"] == table.tokens.size and load_tokenizer(out).settings == manifest["tokenizer"]
    # Names after no split of a task: a stage that asks for its training rows gets them all.
    assert read_records(out, form, split="train").rows == table.rows


def test_rows_are_pairs_of_one_document(tmp_path, vocab):
    texts = [[f"{word} " * 4 + "." for _ in range(9)] for word in tiny.WORDS[:20]]
    out = tmp_path / "out"
    prepare(vocab, write_plain(tmp_path / "a.txt", texts), out, "--num_shards", 1)
    table = read_records(out)
    dot, pairs = load_tokenizer(vocab).vocab["."], 0
    for begin, end in zip(table.offsets, table.offsets[1:], strict=False):
        tokens, segments = table.tokens[begin:end].tolist(), table.segments[begin:end].tolist()
        assert tokens[0] == CLS and tokens[-1] == SEP and tokens.count(SEP) == 1 + segments[-1]
        assert segments == sorted(segments) and len(set(tokens) - {CLS, SEP, dot}) == 1
        assert tokens[segments.count(0) - 1] == SEP and tokens[segments.count(0) - 2] == dot
        pairs += segments[-1]
    assert pairs > 0.8 * table.rows


def test_passes_differ_in_rows_and_agree_in_tokens(tmp_path, vocab):
    texts, out = documents(20), tmp_path / "out"
    manifest = prepare(
        vocab, write_plain(tmp_path / "a.txt", texts), out, "--epochs_to_generate", 3, "--num_shards", 1
    )
    table = read_records(out)
    assert tokens_of(table) == 3 * expected_tokens(vocab, texts)
    assert manifest["documents"] == 20 and manifest["text_tokens"] == len(tokens_of(table)) / 3
    third = table.rows // 3
    assert table.lengths[:third].tolist() != table.lengths[third : 2 * third].tolist()


def test_rows_do_not_depend_on_sharding(tmp_path, vocab):
    text = write_plain(tmp_path / "a.txt", documents(40))
    tables = []
    for shards in (1, 3, 8):
        prepare(vocab, text, tmp_path / str(shards), "--num_shards", shards, "--masked_lm_prob", 0.15)
        tables.append(read_records(tmp_path / str(shards)))
    assert all((table.tokens == tables[0].tokens).all() for table in tables)
    prepare(vocab, text, tmp_path / "seed", "--masked_lm_prob", 0.15, "--seed", 2)
    assert read_records(tmp_path / "seed").tokens.tolist() != tables[0].tokens.tolist()


def test_workers_and_processes_write_the_same_bytes(tmp_path, vocab, capsys):
    text = write_plain(tmp_path / "a.txt", documents(40))
    flags = ("--num_shards", 5)
    manifest = prepare(vocab, text, tmp_path / "one", *flags)
    main(command(vocab, text, tmp_path / "two", "--workers", 2, *flags))
    for part in (2, 0, 1):
        assert not (tmp_path / "parts" / "manifest.json").exists()
        share = ("--shard_index", part, "--shard_count", 3)
        main(command(vocab, text, tmp_path / "parts", *flags, "--workers", 1, *share))
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "parts")
    for other in ("two", "parts"):
        assert json.loads((tmp_path / other / "manifest.json").read_text()) == manifest
    assert "3 of 5 shards are finished; manifest.json is written by" in capsys.readouterr().out


def test_masked_ids_replace_the_ids(tmp_path, vocab):
    text = write_plain(tmp_path / "a.txt", documents(40))
    plain, masked = (prepare(vocab, text, tmp_path / str(p), "--masked_lm_prob", p) for p in (0, 0.15))
    assert plain["rows"] == masked["rows"] and masked["masked_lm_prob"] == 0.15
    one, other = read_records(tmp_path / "0").tokens, read_records(tmp_path / "0.15").tokens
    assert (one != other).mean() == pytest.approx(0.15 * 0.9, abs=0.03)
    assert (other == tiny.VOCABULARY.index("[MASK]")).mean() == pytest.approx(0.15 * 0.8, abs=0.03)
    columns = json.loads((tmp_path / "0.15" / "schema.json").read_text())["columns"]
    assert list(columns) == ["input_ids", "input_mask", "segment_ids"]


def test_wikitext_markup(tmp_path, vocab):
    text = " \n = Baba = \n \n deba @-@ kiba 5 @.@ 5 <unk> <unk> . \n \n = Muba = \n loba \n"
    (tmp_path / "a").write_text(text)
    manifest = prepare(vocab, tmp_path / "a", tmp_path / "out", "--num_shards", 1)
    assert (manifest["documents"], manifest["unknown"], manifest["marked"]) == (2, 2, 2)
    assert manifest["unk_share"] == 0
    pieces = [*tiny.VOCABULARY, *MARKS]
    assert " ".join(pieces[i] for i in tokens_of(read_records(tmp_path / "out"))) == (
        "baba deba - kiba 5 . 5 [UNK] [UNK] . muba loba"
    )


def test_chinese(tmp_path):
    text = "他说：“你好。”然后走了！" * 8
    vocab = tiny.write_vocabulary(tmp_path / "vocab", tiny.SPECIAL + sorted(set(text)))
    (tmp_path / "a.txt").write_text(f"{text}\n\n{text}\n")
    manifest = prepare(vocab, tmp_path / "a.txt", tmp_path / "out", "--num_shards", 2)
    assert manifest["sentences"] == 32 and manifest["unk_share"] == 0
    table = read_records(tmp_path / "out")
    assert tokens_of(table) == 2 * load_tokenizer(vocab).encode([text])[0]
    assert (table.lengths <= 32).all() and table.lengths.mean() > 20


def test_finished_shards_are_kept_and_damaged_ones_rewritten(tmp_path, vocab, capsys):
    text, out = write_plain(tmp_path / "a.txt", documents(40)), tmp_path / "out"
    flags = ("--num_shards", 4)
    prepare(vocab, text, out, *flags)
    whole = contents(out)
    kept, torn, lost, unnoted = sorted(out.glob("*.tfrecord"))
    before = {path: path.stat().st_ino for path in (kept, torn, lost, unnoted)}
    torn.write_bytes(torn.read_bytes()[:-5])
    lost.unlink()
    (out / "shards" / "corpus-00003-of-00004.json").unlink()
    (out / "shards" / "corpus-00002-of-00004.part").mkdir()
    (out / "manifest.json").unlink()
    capsys.readouterr()
    prepare(vocab, text, out, *flags)
    assert contents(out) == whole and kept.stat().st_ino == before[kept]
    assert unnoted.stat().st_ino != before[unnoted]
    assert "1 of 4 shards are already finished" in capsys.readouterr().out
    assert not list((out / "shards").glob("*.part"))


def test_a_folder_of_another_job(tmp_path, vocab):
    text, out = write_plain(tmp_path / "a.txt", documents(20)), tmp_path / "out"
    prepare(vocab, text, out)
    with pytest.raises(UserError, match="holds shards with seed 1, not 2; give another folder"):
        prepare(vocab, text, out, "--seed", 2)
    write_plain(text, documents(21))
    with pytest.raises(UserError, match="holds shards with text"):
        prepare(vocab, text, out)
    assert prepare(vocab, text, out, "--overwrite_output_dir")["documents"] == 21
    with pytest.raises(UserError, match="would delete the shards of the other"):
        prepare(vocab, text, out, "--overwrite_output_dir", "--shard_count", 2)
    (tmp_path / "mine" / "letters").mkdir(parents=True)
    with pytest.raises(UserError, match="is not empty"):
        prepare(vocab, text, tmp_path / "mine")


def test_concurrent_start_of_two_processes(tmp_path, vocab, monkeypatch):
    text, parts = write_plain(tmp_path / "a.txt", documents(20)), ("--shard_count", 2, "--shard_index")
    main(command(vocab, text, tmp_path / "out", "--workers", 1, *parts, 0))
    seen = Path.is_file
    # As a network file system has it: the file was not there a second ago, so it is not there.
    monkeypatch.setattr(Path, "is_file", lambda path: path.name != "job.json" and seen(path))
    assert prepare(vocab, text, tmp_path / "out", *parts, 1)["documents"] == 20


def test_shards_without_text(tmp_path, vocab, capsys):
    text = write_plain(tmp_path / "a.txt", documents(2))
    manifest = prepare(vocab, text, tmp_path / "out", "--num_shards", 6)
    assert 1 <= len(manifest["files"]) <= 2 and read_records(tmp_path / "out").rows == manifest["rows"]
    assert "shards have no text and no file" in capsys.readouterr().out
    text.write_text("\n \n\n")
    with pytest.raises(UserError, match="a.txt holds no text"):
        prepare(vocab, text, tmp_path / "other")
    assert not (tmp_path / "other").exists()


WRONG = {
    "--max_seq_length 5": "max_seq_length 5 is too short; give at least 8",
    "--short_seq_prob 1.5": "short_seq_prob 1.5 .command line. must be between 0 and 1",
    "--masked_lm_prob -0.1": "masked_lm_prob -0.1 .command line. must be between 0 and 1",
    "--num_shards 0": "num_shards 0 .command line. must be above 0",
    "--epochs_to_generate 0": "above 0",
    "--shard_count 9": "shard_count 9 is out of range; give at most 8",
    "--shard_index 1": "shard_index 1 is out of range; give at most 0",
    "--seed -1": "0 or more",
    "--text_format jsonl": 'did you mean "json"',
    "--nmu_shards 4": 'did you mean "--num_shards"',
}


@pytest.mark.parametrize("flags", WRONG)
def test_wrong_flags(tmp_path, vocab, flags):
    text = write_plain(tmp_path / "a.txt", documents(2))
    with pytest.raises(UserError, match=WRONG[flags]):
        prepare(vocab, text, tmp_path / "out", *flags.split())
    assert not (tmp_path / "out").exists()


def test_a_wrong_vocabulary_stops_the_run_early(tmp_path, vocab):
    (tmp_path / "a.txt").write_text("words that nobody knows. " * 99)
    with pytest.raises(UserError, match=r"\d\d% of the tokens of .*a.txt are \[UNK\] with"):
        prepare(vocab, tmp_path / "a.txt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_overlapping_input_and_output_are_rejected(tmp_path, vocab):
    write_plain(tmp_path / "a.txt", documents(2))
    for out in (tmp_path, tmp_path / "out"):
        with pytest.raises(UserError, match="overlap; give a separate folder"):
            prepare(vocab, tmp_path, out)


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_text(tmp_path, vocab, workers):
    lines = [json.dumps({"text": paragraph(np.random.default_rng(i))}) for i in range(1000)]
    lines[799] = "{broken"
    (tmp_path / "wiki.json").write_text("\n".join(lines))
    flags = ("--workers", workers, "--num_shards", 2)
    running = start(vocab, tmp_path / "wiki.json", tmp_path / "out", *flags)
    assert running.communicate()[1].strip() == (
        f"error: {tmp_path}/wiki.json, line 800: not valid JSON (Expecting property name enclosed in double "
        "quotes) (--on_bad_line skip skips such lines)"
    )
    assert running.returncode == 2
    manifest = prepare(vocab, tmp_path / "wiki.json", tmp_path / "other", *flags[2:], "--on_bad_line", "skip")
    assert manifest["skipped"] == 1 and manifest["documents"] == 999
    assert manifest["files"]["corpus-00001-of-00002"]["bad_lines"][0]["line"] == 800


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def long_text(tmp_path_factory):
    return write_plain(tmp_path_factory.mktemp("text") / "a.txt", documents(2000))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, vocab, long_text):
    out = tmp_path_factory.mktemp("unbroken")
    prepare(vocab, long_text, out, "--num_shards", 6)
    return contents(out)


@pytest.mark.parametrize("workers", [1, 2])
def test_resume_after_a_kill(tmp_path, vocab, long_text, unbroken, workers):
    out, flags = tmp_path / "out", ("--num_shards", 6)
    running = start(vocab, long_text, out, *flags, "--workers", workers)
    wait_for(lambda: any(out.glob("*.tfrecord")))
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    running.kill()
    running.communicate()
    wait_for(lambda: not any(map(alive, children)), 20)
    tiny.assert_overwritable(out)
    # The shards that are there are whole, but the corpus is not: nobody trains on a part by mistake.
    with pytest.raises(UserError, match="is not finished"):
        read_records(out)
    prepare(vocab, long_text, out, *flags)
    assert contents(out) == unbroken


@pytest.mark.parametrize("workers", [1, 2])
def test_three_processes_may_write_the_same_shards(tmp_path, vocab, workers):
    """At fc5fcf9 they deleted each other's unfinished files, and one or two failed."""
    text, out = write_plain(tmp_path / "a.txt", documents(300)), tmp_path / "out"
    prepare(vocab, text, tmp_path / "alone", "--num_shards", 3)
    processes = [start(vocab, text, out, "--num_shards", 3, "--workers", workers) for _ in range(3)]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert contents(out) == contents(tmp_path / "alone")
    assert not list(out.glob("shards/*.part"))
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=out, check=True)


def test_nothing_of_a_folder_in_use_is_deleted(tmp_path, vocab, long_text):
    out = tmp_path / "out"
    process = start(vocab, long_text, out, "--num_shards", 4, "--workers", 1)
    try:
        wait_for(lambda: list(out.glob("shards/corpus-*.part")))
        with pytest.raises(UserError, match="another process is writing to .*; wait for it, or give another"):
            prepare(vocab, long_text, out, "--num_shards", 4, "--overwrite_output_dir")
    finally:
        process.kill()
        process.communicate()
    # The lock of a killed process blocks nobody.
    prepare(vocab, long_text, out, "--num_shards", 4, "--overwrite_output_dir")


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted(tmp_path, vocab, long_text, workers):
    out = tmp_path / "out"
    # A group of its own, as a terminal would give it: Ctrl+C reaches the workers too.
    running = start(vocab, long_text, out, "--num_shards", 8, "--workers", workers, start_new_session=True)
    wait_for(lambda: any(out.glob("*.tfrecord")))
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130 and "Traceback" not in said
    assert "shards were finished and are kept: run the same command again to resume" in said


def test_a_killed_worker(tmp_path, vocab, long_text):
    running = start(vocab, long_text, tmp_path / "out", "--num_shards", 4, "--workers", 2)
    wait_for(lambda: any((tmp_path / "out").glob("shards/*.part")))
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    os.kill(max(map(int, children)), signal.SIGKILL)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 2 and "a worker process was killed" in said and "Traceback" not in said
