"""The comparison of models: a table, and a plot for models with training logs."""

import json

import pytest

from src.errors import UserError
from src.metrics import share_of
from src.output_dir import fresh_output_dir
from src.stages.evaluation.compare import render
from src.stages.model.inference import parse_named_models
from src.tasks import find_task
from src.tools.compare import main
from tests import tiny


def test_table_columns_line_up():
    row = {
        "model": "teacher",
        "eval_accuracy": 0.9,
        "of_the_first": 1.0,
        "parameters": 22713986,
        "megabytes": 90.9,
        "milliseconds": 12.345,
    }
    lines = render([row, {**row, "model": "s", "parameters": 5}], find_task("SST-2")).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2] == "| teacher |   0.9000 |       100.0% | 22,713,986 | 90.9 |         12.35 |"


@pytest.mark.parametrize("first", [0.0, -0.1])
def test_no_share_of_a_first_model_at_or_below_zero(first):
    row = {
        "model": "s",
        "eval_matthews_correlation": 0.2,
        "of_the_first": share_of(0.2, first),
        "parameters": 5,
        "megabytes": 9.0,
        "milliseconds": 1.0,
    }
    assert [cell.strip() for cell in render([row], find_task("CoLA")).splitlines()[2].split("|")][2:4] == [
        "0.2000",
        "-",
    ]


@pytest.mark.parametrize("text", ["teacher", "teacher=", "=/", "teacher=/nowhere/at/all", "", ","])
def test_a_model_needs_a_name_and_a_folder(text):
    with pytest.raises(UserError, match="name=FOLDER"):
        parse_named_models(text)


def test_names_are_unique():
    with pytest.raises(UserError, match="the name a is used twice; give each model its own name"):
        parse_named_models("a=/,a=/tmp")


def test_compared_models_are_never_deleted(tmp_path, vocabulary, sst2):
    model = tiny.write_model(tmp_path / "out" / "best", vocabulary)
    out = tmp_path / "out"
    flags = tiny.flags(task_name="SST-2", models=f"a={model}", eval_data_dir=sst2, output_dir=out)
    with pytest.raises(UserError, match="contains .*best, which this run reads"):
        main([*flags, "--overwrite_output_dir"])
    # Nor is an older table when the new one fails.
    fresh_output_dir(tmp_path / "old", written=["table.md"])
    (tmp_path / "old" / "table.md").write_text("old")
    (model / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match="model.safetensors differs from its digest in SHA256SUMS"):
        main([*flags[:-1], f"--output_dir={tmp_path / 'old'}", "--overwrite_output_dir"])
    assert (tmp_path / "old" / "table.md").read_text() == "old"


def test_timing_requires_a_sentence(tmp_path, sst2):
    with pytest.raises(UserError, match="--timed_sentences 0 .command line. must be above 0"):
        main(tiny.flags(task_name="SST-2", models="a=/", eval_data_dir=sst2, timed_sentences=0))


def test_two_models_are_compared(tmp_path, sst2, vocabulary, capsys):
    run = tmp_path / "run"
    tiny.write_model(run / "best", vocabulary)
    tiny.write_model(tmp_path / "other", vocabulary, tiny.TINY.replace(num_hidden_layers=1), seed=1)
    entries = [{"phase": 1, "title": "finetune", "step": step, "loss": 1 / step} for step in (1, 2)]
    (run / "losses.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    main(
        [
            "--task_name",
            "SST-2",
            "--models",
            f"big={run / 'best'},small={tmp_path / 'other'}",
            "--eval_data_dir",
            str(sst2),
            "--output_dir",
            str(tmp_path / "out"),
            "--timed_sentences",
            "5",
        ]
    )
    rows = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [row["model"] for row in rows] == ["big", "small"] and rows[0]["eval_samples"] == 13
    assert rows[0]["parameters"] > rows[1]["parameters"] and rows[1]["milliseconds"] > 0
    assert (tmp_path / "out" / "table.md").read_text().strip() in capsys.readouterr().out
    assert (tmp_path / "out" / "losses.png").is_file()


def test_folders_with_commas(tmp_path):
    folders = {name: tmp_path / f"{name},1" for name in "ab"}
    for folder in folders.values():
        folder.mkdir()
    text = ",".join(f"{name}={folder}" for name, folder in folders.items())
    assert parse_named_models(text) == {name: str(folder) for name, folder in folders.items()}
