"""Augmentation with a head trained on real text (WikiText-2 below BERT_DATA), and a run that is killed."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tokenizers import BertWordPieceTokenizer

from src.data.augmentation.words import find_words
from src.data.tokenization.tokenizer import load_tokenizer
from src.tools.augment import main
from tests import tiny
from tests.masked_lm_training import sentences, train, write

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("graph_mode")]
ROOT = Path(__file__).resolve().parents[3]
TEXT = Path(os.environ.get("BERT_DATA", "absent")) / "wikitext-2" / "wiki.valid.tokens"
needs_text = pytest.mark.skipif(not TEXT.is_file(), reason="BERT_DATA is not set to a folder with wikitext-2")
CONFIG = tiny.TINY.replace(
    vocab_size=3000, labels=(), hidden_size=96, intermediate_size=192, max_position_embeddings=64
)


def clauses():
    """Pieces of WikiText's lines, as long as a sentence of a task."""
    lines = (part.strip() for line in sentences(TEXT) for part in line.replace("<unk>", "").split(" . "))
    return [" ".join(line.split()[:25]) for line in lines if len(line.split()) > 5]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(model folder, losses, clauses that were held out) of two layers that learned from the others."""
    from src.model.masked_lm import BertMaskedLM

    folder, texts = tmp_path_factory.mktemp("trained"), clauses()
    trainer = BertWordPieceTokenizer(lowercase=True)
    trainer.train_from_iterator(texts, vocab_size=CONFIG.vocab_size, min_frequency=3, show_progress=False)
    by_id = sorted(trainer.get_vocab().items(), key=lambda entry: entry[1])
    vocabulary = tiny.write_vocabulary(folder / "vocabulary", [piece for piece, _ in by_id])
    tokenizer = load_tokenizer(vocabulary)
    kept, held_out = texts[: len(texts) * 9 // 10], texts[len(texts) * 9 // 10 :]
    config = CONFIG.replace(vocab_size=len(tokenizer.vocab))
    network = BertMaskedLM(config)
    losses = train(network, tokenizer.encode(kept), tokenizer, 3000, rate=1e-3)
    write(folder / "model", network, config, vocabulary)
    return folder / "model", losses, held_out


@needs_text
def test_the_head_learns_from_context(trained):
    """On held-out text the word is among 15 predictions more often than among the 15 commonest words."""
    from src.stages.augmentation.candidates import WordStats
    from src.stages.augmentation.sources import AugmentResources
    from src.stages.model.device import setup_device
    from src.tasks import TASKS
    from src.tools.augment import AugmentConfig

    model, losses, held_out = trained
    assert np.mean(losses[-100:]) < np.mean(losses[:20]) - 2
    resources = AugmentResources(
        AugmentConfig(task_name="SST-2", data_dir="", mlm_model=str(model)), TASKS["SST-2"]
    )
    stats = WordStats(resources.pieces)
    stats.add(held_out)
    candidates = resources.candidates(stats, setup_device(resources.config, print), model)
    wanted = [(text, find_words(text)) for text in held_out]
    asked = resources.pieces.contexts(wanted)
    contexts = [
        (word.key, context)
        for (_, words), each in zip(wanted, asked, strict=True)
        for word, context in zip(words, each, strict=True)
        if context is not None
    ]
    answers = candidates.masked_words([context for _, context in contexts])[:, :15]
    hits = [
        word in [candidates.words[index] for index in answer]
        for (word, _), answer in zip(contexts, answers, strict=True)
    ]
    frequent = Counter(word.key for text in clauses() for word in find_words(text)).most_common(15)
    common = [word in dict(frequent) for word, _ in contexts]
    print(f"{len(hits)} words: {np.mean(hits):.1%} among the predictions, {np.mean(common):.1%} by frequency")
    assert np.mean(hits) > 1.2 * np.mean(common)


def sst2(folder, texts):
    folder.mkdir()
    rows = [f"{text}\t{number % 2}\n" for number, text in enumerate(texts)]
    (folder / "train.tsv").write_text("sentence\tlabel\n" + "".join(rows))
    return folder


@needs_text
def test_resume_after_a_kill_with_another_batch_size(trained, tmp_path):
    model, _, _ = trained
    data = sst2(tmp_path / "data", clauses()[:3000])
    flags = tiny.flags(task_name="SST-2", data_dir=data, mlm_model=model, copies=6)
    output, parts = data / "train_aug.tsv", data / "train_aug.tsv.parts"
    process = subprocess.Popen([sys.executable, "-m", "src.tools.augment", *flags], cwd=ROOT)
    while len(list(parts.glob("part-*.txt"))) < 2:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in parts.glob("part-*.txt")}
    assert not output.exists() and 2 <= len(before) < 6
    main(flags)
    resumed = output.read_bytes()
    output.unlink()
    main(flags)
    assert output.read_bytes() == resumed
    for size in (7, 200):
        main([*flags, f"--batch_size={size}", "--overwrite_output_file"])
        assert output.read_bytes() == resumed
