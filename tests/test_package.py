"""The wheel: what it installs, and that a fresh environment serves an exported model with it.

Offline: the environment gets the wheel and, as links, what requirements-serve.txt names, but nothing else.
"""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from src.stages.serving.predict import Classifier
from src.tools.export import main as export
from tests import tiny

ROOT = Path(__file__).resolve().parent.parent
BUILT_FROM = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
TEXTS = ["baba bade", "deki baba baba"]
TRAIN_ONLY = {"mindspore", "scipy", "scikit-learn", "safetensors", "matplotlib", "onnx", "crc32c"}


def run(*command, cwd):
    return subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=600)


def requirements(file):
    """The lines of a requirements file without comments."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [line for line in (line.partition("#")[0].strip() for line in lines) if line]


def name_of(requirement):
    return re.match(r"[\w.-]+", requirement)[0]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built in a copy: setuptools leaves folders where it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    for file in [*(ROOT / name for name in BUILT_FROM), *ROOT.glob("requirements*.txt")]:
        shutil.copy(file, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    build = ("wheel", ".", "--no-deps", "--no-build-isolation", "-w", "dist")
    built = run(sys.executable, "-m", "pip", *build, cwd=folder)
    assert built.returncode == 0, built.stderr
    (file,) = (folder / "dist").iterdir()
    return file


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """(python, what the wheel added to site-packages, what it added to bin) of a fresh environment."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    assert run(sys.executable, "-m", "venv", folder, cwd=folder.parent).returncode == 0
    (packages,) = folder.glob("lib/python*/site-packages")
    before = listing(packages), listing(folder / "bin")
    python = folder / "bin" / "python"
    installed = run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=folder)
    assert installed.returncode == 0, installed.stderr
    added = [listing(packages) - before[0], listing(folder / "bin") - before[1]]
    for requirement in requirements("requirements-serve.txt"):
        link(name_of(requirement), packages)
    return python, *added


def listing(folder):
    return {path.name for path in folder.iterdir() if path.name != "__pycache__"}


def link(distribution, packages):
    """Make an installed distribution importable from another site-packages folder."""
    files = metadata.distribution(distribution).files
    for name in {file.parts[0] for file in files} - {"..", "__pycache__"}:
        (packages / name).symlink_to(files[0].locate().parents[len(files[0].parts) - 1] / name)


@pytest.fixture(scope="module")
def model(tmp_path_factory, vocabulary):
    """An exported folder, and the (label, probability) of each text by Classifier in this environment."""
    folder = tmp_path_factory.mktemp("model")
    tiny.write_model(folder / "weights", vocabulary, tiny.TINY.replace(labels=("bad", "good")))
    export(tiny.flags(model_dir=folder / "weights", output_dir=folder / "onnx", kernels="off"))
    return folder / "onnx", Classifier(folder / "onnx")(TEXTS)


def probabilities(output):
    return [json.loads(line)["probability"] for line in output.splitlines()]


def test_the_wheel_holds_the_folder_src_and_nothing_else(wheel):
    sources = [path for path in (ROOT / "src").rglob("*") if path.suffix in {".py", ".cpp", ".h"}]
    expected = {f"bert_compression/{path.relative_to(ROOT / 'src').as_posix()}" for path in sources}
    found = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in found if ".dist-info/" not in name} == expected
    assert {name.partition("/")[0] for name in found - expected} == {
        f"{wheel.name.removesuffix('-py3-none-any.whl')}.dist-info"
    }


def test_requirements_have_one_place(wheel):
    archive = zipfile.ZipFile(wheel)
    (file,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
    lines = archive.read(file).decode().partition("\n\n")[0].splitlines()
    needed = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    extra = {kind: {name_of(r) for r in needed if f'extra == "{kind}"' in r} for kind in ("train", "dev")}
    plain = {name_of(requirement) for requirement in needed if "extra ==" not in requirement}
    assert plain == set(map(name_of, requirements("requirements-serve.txt"))) and not plain & TRAIN_ONLY
    assert extra["train"] >= TRAIN_ONLY and extra["dev"] > extra["train"] and "torch" in extra["dev"]
    assert "Requires-Python: <3.13,>=3.10" in lines and "License-Expression: Apache-2.0" in lines


def test_a_fresh_environment_gets_one_package_and_one_command(environment):
    _, packages, commands = environment
    (info,) = packages - {"bert_compression"}
    assert re.fullmatch(r"bert_compression-[\d.]+\.dist-info", info)
    assert packages == {"bert_compression", info} and commands == {"bert-compression"}


def test_a_plain_install_answers_texts(environment, model, tmp_path):
    python, folder, expected = environment[0], *model
    command = python.with_name("bert-compression")
    done = run(command, "predict", "--model_dir", folder, "--format", "json", "--text", *TEXTS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert probabilities(done.stdout) == [pytest.approx(value, abs=1e-5) for _, value in expected]
    program = (
        "import sys; from bert_compression import Classifier; "
        f"print(*[label for label, _ in Classifier({str(folder)!r})({TEXTS!r})]); "
        "assert 'src' not in sys.modules"
    )
    done = run(python, "-c", program, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.split() == [label for label, _ in expected], done.stderr


def test_commands_of_a_plain_install(environment, tmp_path):
    command = environment[0].with_name("bert-compression")
    listed = run(command, cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "bert-compression task_distill " in listed.stdout and "src" not in listed.stdout
    assert listed.stdout == run(environment[0], "-m", "bert_compression", cwd=tmp_path).stdout
    assert run(command, "--version", cwd=tmp_path).stdout.startswith("bert-compression 0.")
    names = re.findall(r"^bert-compression (\w+)  ", listed.stdout, re.MULTILINE)
    assert {"finetune", "task_distill", "prepare", "rank_table"} < set(names)
    for name in names:  # none of them loads what training needs before its flags are known
        shown = run(command, name, "--help", cwd=tmp_path)
        assert shown.stdout.startswith(f"usage: bert-compression {name} "), shown.stderr
    unknown = run(command, "fintune", cwd=tmp_path)
    assert unknown.returncode == 2 and 'did you mean "finetune"?' in unknown.stderr


def test_training_without_the_extra_names_it(environment, tmp_path):
    command = environment[0].with_name("bert-compression")
    done = run(command, "finetune", "--task_name", "SST-2", "--output_dir", "out", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "is not installed; install bert-compression with its extra: pip install '.[train]'" in done.stderr


@pytest.mark.slow  # fetches the packages
def test_pip_installs_what_serving_needs(wheel, model, tmp_path):
    folder, expected = model
    assert run(sys.executable, "-m", "venv", "venv", cwd=tmp_path).returncode == 0
    installed = run("venv/bin/python", "-m", "pip", "install", wheel, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    listed = run("venv/bin/python", "-m", "pip", "list", "--format", "json", cwd=tmp_path).stdout
    names = {package["name"] for package in json.loads(listed.splitlines()[0])}
    assert "bert-compression" in names and not names & TRAIN_ONLY
    command = (
        "venv/bin/bert-compression",
        "predict",
        "--model_dir",
        folder,
        "--format",
        "json",
        "--text",
        *TEXTS,
    )
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert probabilities(done.stdout) == [pytest.approx(value, abs=1e-5) for _, value in expected]
