"""`python -m src.tools.prepare_corpus` on real and on large text."""

import os
import time
from pathlib import Path

import pytest

from src.data.corpus.sentences import clean
from src.data.records.io import read_records
from src.data.tokenization.tokenizer import load_tokenizer
from src.tools.prepare_corpus import main
from tests import tiny
from tests.stages.preparation.test_prepare_corpus import MARKS, alive, documents, start, tokens_of


@pytest.mark.skipif("BERT_DATA" not in os.environ, reason="BERT_DATA is not set to a folder with wikitext-2")
def test_wikitext(tmp_path):
    source = Path(os.environ["BERT_DATA"]) / "wikitext-2" / "wiki.valid.tokens"
    lines = source.read_text(encoding="utf-8").split("\n")
    words = {word for line in lines for word in clean(line).lower().split()}
    letters = sorted({letter for word in words for letter in word})
    pieces = [*tiny.SPECIAL, *sorted(words - set(letters))[::2], *letters, *(f"##{x}" for x in letters)]
    vocab = tiny.write_vocabulary(tmp_path / "vocab", pieces)
    paths = {"input": source, "vocab_file": vocab, "output_dir": tmp_path / "out"}
    main(tiny.flags(**paths, num_shards=4, workers=2))
    table = read_records(tmp_path / "out")
    kept = [clean(line).strip("= ") if line.startswith(" =") else clean(line) for line in lines]
    assert tokens_of(table) == sum(load_tokenizer(vocab).encode(kept), [])
    assert table.manifest["documents"] == 60 and table.manifest["marked"] == " ".join(lines).count("<unk>")


def peak_memory(pid):
    """Peak resident bytes of a process so far."""
    (line,) = (x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.slow
@pytest.mark.parametrize("form", ["tfrecord", "mindrecord"])
def test_memory_is_flat(tmp_path, form):
    """The first minute of 1 GB of text takes at most 1.1 times the memory of 10 MB."""
    vocab = tiny.write_vocabulary(tmp_path / "vocab", tiny.VOCABULARY + MARKS)
    block = "\n\n".join("\n".join(lines) for lines in documents(2000)) + "\n\n"
    peaks = {}
    for size in (10_000_000, 1_000_000_000):
        text = tmp_path / f"{size}.txt"
        with open(text, "w") as file:
            for _ in range(size // len(block) + 1):
                file.write(block)
        running = start(vocab, text, tmp_path / str(size), "--workers", 1, "--dataset_type", form)
        end = time.monotonic() + 60
        while running.poll() is None and time.monotonic() < end:
            peaks[size] = peak_memory(running.pid) if alive(running.pid) else peaks[size]
            time.sleep(0.05)
        running.kill()
        running.communicate()
        text.unlink()
    print(form, {size: f"{peak / 1e6:.1f} MB" for size, peak in peaks.items()})
    small, large = peaks.values()
    assert large <= 1.1 * small
