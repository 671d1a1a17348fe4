"""Flags of other projects are answered with ours; test_readme.py writes the table in docs/migration.md."""

import re

import pytest

from src.config.migration.foreign_flags import FLAG, FOREIGN
from src.errors import UserError
from tests.test_migration import NAMED, code, flags_of
from tests.test_readme import PARSERS

TASK_DISTILL = "python run_task_distill.py"
ALL_FLAGS = set().union(*map(flags_of, PARSERS))


def answer(command, *words):
    with pytest.raises(UserError) as caught:
        PARSERS[command][1](list(words))
    return str(caught.value)


@pytest.mark.parametrize(
    "command, words, expected",
    [
        (TASK_DISTILL, ["--T", "2"], "--T is --temperature here"),
        (TASK_DISTILL, ["--teacher_path=x"], "--teacher_path is --load_teacher_ckpt_path here"),
        (TASK_DISTILL, ["--student_model", "x"], "--student_model is --load_gd_ckpt_path here"),
        (TASK_DISTILL, ["--aug_train"], "--aug_train is --augmented_data_dir here"),
        (TASK_DISTILL, ["--pred_distill"], "--pred_distill is --load_td1_ckpt_path"),
        (TASK_DISTILL, ["--num_train_epochs=3"], "is --td_phase1_epoch_size and --td_phase2_epoch_size here"),
        ("python run_finetune.py", ["--num_train_epochs=3"], "--num_train_epochs is --epoch_size here"),
        ("python run_finetune.py", ["--T=1"], "--T is --temperature of another command"),
        ("python run_general_distill.py", ["--student_model=x"], "--student_model is --student_preset here"),
        ("python -m src.tools.evaluate", ["--student_model=x"], "--student_model is --model_dir here"),
        (TASK_DISTILL, ["--data_url", "s3"], "--data_url is --train_data_dir and --eval_data_dir here"),
        (TASK_DISTILL, ["--model_type=bert"], "--model_type is not needed here: the family"),
        (TASK_DISTILL, ["--no_cuda"], "--no_cuda is --device_target CPU here"),
    ],
)
def test_one_sentence_with_our_flag(command, words, expected):
    assert answer(command, *words).startswith(expected) or expected in answer(command, *words)


def test_every_answer_names_flags_that_exist():
    for name, ways in FOREIGN.items():
        for way in ways:
            for found in FLAG.findall(way):
                assert f"--{found}" in ALL_FLAGS, f"{name}: {way}"
        assert f"--{name}" not in ALL_FLAGS or any(
            f"--{name}" not in flags_of(command) for command in PARSERS
        ), f"{name} is a flag of every command"


def test_every_renamed_flag_of_the_tables_is_answered():
    for title, source, rows in NAMED:
        if source == "log" or "variable" in title:
            continue
        for theirs, word, ours, _ in rows[1:]:
            name = re.fullmatch(r"`([a-z]\w*|T)`", theirs)
            flags = [token for token in code(ours) if token.startswith("--")]
            if not name or word != "renamed" or not flags or name[1] in ("h", "dataset"):
                continue
            answers = " ".join(FOREIGN.get(name[1], ()))
            assert all(flag in answers for flag in flags), f"{title}: {theirs} is {ours}, not {answers}"


def test_a_bare_switch_of_three_values():
    prepare, paths = PARSERS["python -m src.tools.prepare"][1], ["--vocab_file=v", "--output_dir=o"]
    assert prepare(["--do_lower_case", *paths]).config.do_lower_case == "true"
    assert prepare([*paths, "--do_lower_case", "false"]).config.do_lower_case == "false"
    _, resolved = PARSERS[TASK_DISTILL][1](["--task_name=RTE", "--enable_data_sink"])
    assert resolved.config.enable_data_sink == "true"


def test_a_whole_epoch_of_sink_steps():
    config = PARSERS[TASK_DISTILL][1](["--task_name=RTE", "--data_sink_steps=-1"])[1].config
    assert config.data_sink_steps == -1
    assert "above 0, or -1" in answer(TASK_DISTILL, "--task_name=RTE", "--data_sink_steps=0")
