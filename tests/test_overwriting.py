"""--overwrite_output_dir of every command: what others made is refused, what the command made is replaced."""

import subprocess
from functools import partial

import numpy as np
import pytest

from run_finetune import main as finetune
from run_general_distill import main as general_distill
from run_q8bert_train import main as q8bert
from run_task_distill import main as task_distill
from src.errors import run_main
from src.output_dir import MARKER
from src.tools.benchmark import main as benchmark
from src.tools.compare import main as compare
from src.tools.convert import main as convert
from src.tools.export import main as export
from src.tools.prepare import main as prepare
from src.tools.prepare_corpus import main as prepare_corpus
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
SHALLOW = tiny.TINY.replace(num_hidden_layers=1)
QUICK = {"timed_sentences": 1, "kernels": "off", "length_buckets": "off"}
FLOAT = {"activation_bits": 0, "calibration_steps": 0}
LOOP = {"length_buckets": "off", "kernels": "off", "max_rows": 8}
STUDENT = {"num_hidden_layers": 1, "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 32}


@pytest.fixture(scope="module")
def commands(tmp_path_factory, vocabulary, sst2):
    """{name: a function of further flags}: each command on inputs that suit it."""
    folder = tmp_path_factory.mktemp("inputs")
    model = tiny.write_model(folder / "model", vocabulary, SHALLOW)
    draw = np.random.default_rng(0)
    texts = (" ".join(draw.choice(tiny.WORDS, 9)) for _ in range(12))
    (folder / "text.txt").write_text("\n\n".join(texts))
    text = {"input": folder / "text.txt", "vocab_file": vocabulary, "max_seq_length": 16, "workers": 1}
    prepare_corpus(tiny.flags(**text, output_dir=folder / "corpus"))
    task = {"task_name": "SST-2", "eval_data_dir": sst2, "train_data_dir": sst2}
    has_teacher = {"load_teacher_ckpt_path": model, "teacher_cache": "off", **STUDENT, **LOOP}
    data = {"task_name": "SST-2", "data_dir": sst2.parent / "text"}
    # Training has its graphs compiled, which takes longer than all the rest; tests of whole runs see to that
    # all they leave is in their mark.
    values = {
        "prepare": (prepare, {**data, "vocab_file": vocabulary}),
        "prepare_corpus": (prepare_corpus, text),
        "convert": (convert, {"input": model}),
        "export": (export, {"model_dir": model, "kernels": "off"}),
        "compare": (compare, {"task_name": "SST-2", "models": f"a={model}", "eval_data_dir": sst2, **QUICK}),
        "benchmark": (benchmark, {"models": f"a={model}", "lengths": 8, "batches": 1, "repeats": 1}),
        "finetune": (finetune, {"load_pretrained_path": model, **task, **LOOP, "epoch_size": 0}),
        "q8bert": (q8bert, {"load_ckpt_path": model, **task, **LOOP, **FLOAT, "epoch_num": 0}),
        "task_distill": (
            task_distill,
            {**task, **has_teacher, **{f"td_phase{n}_epoch_size": 0 for n in (1, 2)}},
        ),
        "general_distill": (general_distill, {"data_dir": folder / "corpus", **has_teacher, "epoch_size": 0}),
    }
    return {name: partial(called, main, given) for name, (main, given) in values.items()}


NAMES = (
    "prepare",
    "prepare_corpus",
    "convert",
    "export",
    "compare",
    "benchmark",
    "finetune",
    "q8bert",
    "task_distill",
    "general_distill",
)


def called(main, given, output_dir, **more):
    main(tiny.flags(**{**given, "output_dir": output_dir, **more}))


def refusal(command, output_dir, capsys):
    """The sentence with which an overwriting command line is refused."""
    with pytest.raises(SystemExit) as stop:
        run_main(lambda: command(output_dir, overwrite_output_dir="true"))
    errors = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and errors[-1].startswith("error: ") and "Traceback" not in errors
    return errors[-1]


def state(folder):
    return {path: path.is_dir() or path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Folders that this project has not made: documents, sources in a checkout, its .git, links to them."""
    folder = tmp_path_factory.mktemp("others")
    for name in ("documents/letters", "checkout/src/stages"):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.txt").write_text("kept")
    (folder / "documents" / "log.txt").write_text("kept")  # a name that a run would use too
    subprocess.run(["git", "init", "-q", folder / "checkout"], check=True)
    for name, to in (("to_documents", "documents"), ("to_git", "checkout/.git")):
        (folder / name).symlink_to(folder / to)
    return folder


@pytest.mark.parametrize("place", ["documents", "checkout/src", "checkout/.git", "to_documents", "to_git"])
@pytest.mark.parametrize("name", NAMES)
def test_what_others_made_is_refused(name, place, commands, others, capsys):
    before = state(others)
    said = refusal(commands[name], others / place, capsys)
    assert f"output_dir {others / place} " in said and "; give " in said
    assert state(others) == before


@pytest.mark.parametrize("name", NAMES)
def test_what_the_command_made_is_replaced(name, commands, tmp_path, capsys):
    command, out = commands[name], tmp_path / "out"
    command(out)
    made = {path.relative_to(out) for path in out.rglob("*") if path.is_file() and "events" not in path.parts}
    (out / "notes").mkdir()
    (out / "notes" / "mine").write_text("kept")
    before = state(out)
    assert "out contains notes, which this program did not write" in refusal(command, out, capsys)
    assert state(out) == before
    (out / "notes" / "mine").rename(tmp_path / "mine")
    (out / "notes").rmdir()
    command(out, overwrite_output_dir="true")
    assert (out / MARKER).is_file() and all((out / path).is_file() for path in made)
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "mine"}
