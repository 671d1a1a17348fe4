"""--overwrite_output_dir of every command: its own output is replaced, foreign files are never deleted."""

import shutil
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from run_finetune import main as finetune
from run_general_distill import main as general_distill
from run_q8bert_train import main as q8bert
from run_task_distill import main as task_distill
from src.errors import run_main
from src.files import final_name
from src.output_dir import MARKER, fresh_output_dir, write_marker
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
    """{name: function of additional flags}: each command with suitable inputs."""
    folder = tmp_path_factory.mktemp("inputs")
    model = tiny.write_model(folder / "model", vocabulary, SHALLOW)
    rng = np.random.default_rng(0)
    texts = (" ".join(rng.choice(tiny.WORDS, 9)) for _ in range(12))
    (folder / "text.txt").write_text("\n\n".join(texts))
    text = {"input": folder / "text.txt", "vocab_file": vocabulary, "max_seq_length": 16, "workers": 1}
    prepare_corpus(tiny.flags(**text, output_dir=folder / "corpus"))
    task = {"task_name": "SST-2", "eval_data_dir": sst2, "train_data_dir": sst2}
    teacher = {"load_teacher_ckpt_path": model, "teacher_cache": "off", **STUDENT, **LOOP}
    data = {"task_name": "SST-2", "data_dir": sst2.parent / "text"}
    # Training stages run no epochs, since compiling their graphs takes longer than everything else; tests of
    # complete runs check that the marker file lists all their output.
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
            {**task, **teacher, **{f"td_phase{n}_epoch_size": 0 for n in (1, 2)}},
        ),
        "general_distill": (general_distill, {"data_dir": folder / "corpus", **teacher, "epoch_size": 0}),
    }
    return {name: partial(call, main, flags) for name, (main, flags) in values.items()}


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


def call(main, flags, output_dir, **extra_flags):
    main(tiny.flags(**{**flags, "output_dir": output_dir, **extra_flags}))


def overwrite_error(command, output_dir, capsys):
    """Run a command with --overwrite_output_dir; returns its error message."""
    with pytest.raises(SystemExit) as stop:
        run_main(lambda: command(output_dir, overwrite_output_dir="true"))
    errors = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2 and errors[-1].startswith("error: ") and "Traceback" not in errors
    return errors[-1]


def state(folder):
    return {path: path.is_dir() or path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Folders not written by this project: documents, sources in a checkout, its .git, links to them."""
    folder = tmp_path_factory.mktemp("foreign")
    for name in ("documents/letters", "checkout/src/stages"):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.txt").write_text("kept")
    (folder / "documents" / "log.txt").write_text("kept")  # a file name that a run uses too
    subprocess.run(["git", "init", "-q", folder / "checkout"], check=True)
    for name, to in (("to_documents", "documents"), ("to_git", "checkout/.git")):
        (folder / name).symlink_to(folder / to)
    return folder


@pytest.mark.parametrize("path", ["documents", "checkout/src", "checkout/.git", "to_documents", "to_git"])
@pytest.mark.parametrize("name", NAMES)
def test_foreign_folder_is_rejected(name, path, commands, foreign, capsys):
    before = state(foreign)
    message = overwrite_error(commands[name], foreign / path, capsys)
    assert f"output_dir {foreign / path} " in message and "; give " in message
    assert state(foreign) == before


@pytest.mark.parametrize("name", NAMES)
def test_own_output_is_replaced(name, commands, tmp_path, capsys):
    command, out = commands[name], tmp_path / "out"
    command(out)
    written = {
        path.relative_to(out) for path in out.rglob("*") if path.is_file() and "events" not in path.parts
    }
    (out / "notes").mkdir()
    (out / "notes" / "mine").write_text("kept")
    before = state(out)
    assert "out contains notes, which this program did not write" in overwrite_error(command, out, capsys)
    assert state(out) == before
    (out / "notes" / "mine").rename(tmp_path / "mine")
    (out / "notes").rmdir()
    command(out, overwrite_output_dir="true")
    assert (out / MARKER).is_file() and all((out / path).is_file() for path in written)
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "mine"}


@pytest.mark.parametrize("name", ["prepare", "convert", "export"])
def test_the_next_start_deletes_the_folder_that_a_killed_one_left(name, commands, tmp_path):
    for folder in (tmp_path / ".out.abcd_123.part", tmp_path / ".out.abcd_124.part"):
        write_marker(fresh_output_dir(folder), ["model.safetensors"])
        (folder / "model.safetensors").write_text("half")
    commands[name](tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name, more", [("finetune", {"resume": "true"}), ("prepare_corpus", {})])
def test_the_next_start_deletes_the_files_that_a_killed_one_left(name, more, commands, tmp_path):
    out = tmp_path / "out"
    commands[name](out)
    for path in [path for path in out.rglob("*") if path.is_file() and path.name != MARKER]:
        path.with_name(f".{path.name}.abcd_123.part").write_text("half")  # as an earlier version left it
        folder = path.with_name(f".{path.name}.abcd_124.part")
        folder.mkdir()
        (folder / ".tmpXyZ123").write_text("half")  # as safetensors leaves it
    for folder in filter(Path.is_dir, (out / "last", out / "shards")):
        shutil.copytree(folder, folder.with_name(f".{folder.name}.abcd_123.part"))
    mine = out / ".mine.abcd_123.part"
    mine.write_text("kept")
    commands[name](out, **more)
    assert {path for path in out.rglob(".*") if final_name(path.name) != path.name} == {mine}
