"""--seeds: a process for each seed, resuming, signals, the table.

Most of it runs on a script that trains nothing and leaves what a training stage leaves.
"""

import contextlib
import json
import math
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from run_finetune import main as finetune
from run_q8bert_train import main as q8bert
from run_task_distill import main as task_distill
from src.config.finetune_config import resolve
from src.config.seeds_config import over_seeds
from src.config.td_config import resolve as resolve_distill
from src.errors import UserError
from src.output_dir import MARKER
from src.stages.training import multi_seed
from src.stages.training.multi_seed import repeat
from src.weights.reader import read_weights
from tests import tiny

ROOT = Path(__file__).resolve().parents[3]
# Accuracy is what the seed says; seed 66 fails, seed 77 waits for a signal.
STAGE = """
import json, os, signal, sys, time
from pathlib import Path
given = dict(word[2:].split("=", 1) for word in sys.argv[1:])
seed, out = int(given["seed"]), Path(given["output_dir"])
if "refused" in given["train_data_dir"]:
    sys.exit("error: refused" and 2)
(out / "best").mkdir(parents=True, exist_ok=True)
values = {"task_name": "SST-2", "learning_rate": float(given["learning_rate"]), "seed": seed,
          "train_data_dir": given["train_data_dir"], "eval_data_dir": given["eval_data_dir"], "seeds": "",
          "output_dir": str(out), "load_pretrained_path": "model", "batch_size": 32, "epoch_size": 3}
measured = json.loads(os.environ.get("RUN_MEASURED", "{}")) or {"measured_by": str(seed)}
(out / "run_config.json").write_text(json.dumps({"values": values, "measured": measured}))
with open(out / "losses.jsonl", "a") as calls:
    calls.write(given["resume"] + "\\n")
if seed == 66 and given["resume"] == "false":
    sys.exit(3)
if seed == 77 and given["resume"] == "false":
    def stop(number, frame):
        print("resume with:", os.environ["RESUME_COMMAND"], flush=True)
        sys.exit(130)
    signal.signal(signal.SIGINT, stop)
    print("ready", flush=True)
    time.sleep(60)
name = "eval_agreement" if given["eval_data_dir"] == "unlabeled" else "eval_accuracy"
metrics = {name: round(0.5 + seed ** 2 / 1000, 4), "eval_samples": 13, "epoch": 1, "step": 5}
(out / "best" / "metrics.json").write_text(json.dumps(metrics))
speeds = [(1.0, 7), (seed * 10 + 0.5, seed * 100)]  # it was resumed
(out / "log.txt").write_text("".join(f"throughput: {each} examples/s, {tokens} real tokens/s, 3.1 GFLOP/s\\n"
                                     for each, tokens in speeds))
"""


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """A function that repeats the script over seeds, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stage.py").write_text(STAGE)

    def run(seeds="1,2,3", *more, **values):
        known = {"task_name": "SST-2", "load_pretrained_path": "model", "train_data_dir": "records"}
        known.update(eval_data_dir="records", output_dir="out", learning_rate=1e-4, seeds=seeds)
        argv = [*tiny.flags(**{**known, **values}), *more]
        task, resolved = resolve(argv)
        assert over_seeds(resolved)
        return repeat("finetune", ["stage.py"], argv, task, resolved)

    return run


@pytest.mark.parametrize("name", ["epoch_size", "train_steps"])
def test_seeds_without_an_evaluation(stage, name):
    with pytest.raises(UserError, match=f"by their evaluation; with --{name} 0 there is none"):
        stage(**{name: 0})
    assert not Path("out").exists()


def calls(seed):
    """The --resume of each time that the script ran for a seed."""
    return Path(f"out/seed_{seed}/losses.jsonl").read_text().split()


def test_mean_spread_and_best(stage, capsys):
    result = stage()
    values = [0.501, 0.504, 0.509]
    assert result["mean"]["eval_accuracy"] == pytest.approx(sum(values) / 3)
    spread = math.sqrt(sum((value - sum(values) / 3) ** 2 for value in values) / 2)
    assert result["standard_deviation"]["eval_accuracy"] == pytest.approx(spread)
    assert result["best"] == {"seed": 3, "value": 0.509, "folder": "out/seed_3/best"}
    assert json.loads(Path("out/seeds.json").read_text()) == result
    table = Path("out/seeds.txt").read_text()
    assert table.strip() in capsys.readouterr().out
    assert "| 2                  |   0.5040 |       20.5 |         200.0 |" in table
    assert "| standard deviation |   0.0040 |       10.0 |         100.0 |" in table
    assert result["mean"]["examples_per_second"] == pytest.approx(20.5)
    assert "best seed: 3, out/seed_3/best" in table
    assert [calls(seed) for seed in (1, 2, 3)] == [["false"]] * 3


def test_finished_seeds_are_skipped_aloud(stage, capsys):
    stage("1,2")
    result = stage("1,2,4", "--resume=true")
    assert "== seed 2 (2 of 3): out/seed_2 is finished, skipped" in capsys.readouterr().out
    assert list(result["seeds"]) == ["1", "2", "4"] and calls(1) == calls(2) == calls(4) == ["false"]
    with pytest.raises(UserError, match="holds the seeds 1, 2, 4, and --seeds 4 omits 1; name all of"):
        stage("4", "--resume=true")
    assert json.loads(Path("out/seeds.json").read_text()) == result
    with pytest.raises(UserError, match="--resume: learning_rate was 0.0001 in the interrupted run and is"):
        stage("1,2", "--resume=true", learning_rate=1e-3)
    with pytest.raises(UserError, match="output_dir out is not empty"):
        stage("1,2")
    with pytest.raises(UserError, match="holds none of the runs 8,9"):
        stage("8,9", "--resume=true")


def test_the_exit_code_of_a_run_is_passed_on(stage, capsys):
    with pytest.raises(SystemExit) as stop:
        stage("5,66,7")
    assert stop.value.code == 3
    assert "seed 66 ended with exit code 3; --resume continues" in capsys.readouterr().err
    assert list(json.loads(Path("out/seeds.json").read_text())["seeds"]) == ["5"]
    stage("5,66,7", "--resume=true")
    assert (calls(5), calls(66), calls(7)) == (["false"], ["false", "true"], ["false"])


def test_later_seeds_take_what_the_first_has_measured(stage):
    """Otherwise the seeds of one table could learn from teachers in different precisions."""
    stage("3,1")
    stage("3,1,2", "--resume=true")
    files = [Path(f"out/seed_{seed}/run_config.json") for seed in (3, 1, 2)]
    assert [json.loads(file.read_text())["measured"] for file in files] == [{"measured_by": "3"}] * 3


def set_aside():
    return list(Path().glob(".out.*"))


@pytest.mark.parametrize("killed_in", ["fresh_output_dir", "_run", "_result"])
def test_overwriting_that_is_killed_loses_nothing(stage, monkeypatch, killed_in):
    """Before the first run has written, its previous version is restored; a link stays a link."""
    Path("disk").mkdir()
    Path("out").symlink_to("disk/seeds")
    stage("1,2")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(multi_seed, "_settle", lambda folder: None)
        patch.setattr(multi_seed, killed_in, kill)
        stage("1", "--overwrite_output_dir=true")
    with contextlib.suppress(UserError):  # of a folder that is not empty
        stage("3")
    ran = killed_in == "_result"
    assert Path("out").is_symlink() and Path("out/seed_2/best").is_dir() != ran
    assert [path.name for path in Path("disk").iterdir()] == ["seeds"]


class Killed(BaseException):
    """Ends a command as kill -9 does."""


def kill(*arguments, **options):
    raise Killed


def test_overwriting_waits_until_a_run_was_accepted(stage):
    stage("1,2")
    with pytest.raises(SystemExit) as stop:
        stage("1", "--overwrite_output_dir=true", train_data_dir="refused")
    assert stop.value.code == 2 and Path("out/seed_2/best").is_dir() and not set_aside()
    Path("out/seed_2/best/mine").write_text("x")
    with pytest.raises(UserError, match="out contains seed_2/best/mine, which this program did not write"):
        stage("1", "--overwrite_output_dir=true")
    Path("out/seed_2/best/mine").unlink()
    stage("1", "--overwrite_output_dir=true")
    assert sorted(path.name for path in Path("out").iterdir()) == [
        MARKER,
        "seed_1",
        "seeds.json",
        "seeds.txt",
    ]
    assert not set_aside()
    with pytest.raises(SystemExit):
        stage("1", output_dir="new", train_data_dir="refused")
    assert not Path("new").exists()


def test_a_cache_that_cannot_be_deleted_is_a_warning(stage, monkeypatch, caplog):
    def refuse(caches):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(multi_seed, "delete_caches", refuse)
    places = {"load_teacher_ckpt_path": "model", "train_data_dir": "records", "eval_data_dir": "records"}
    argv = tiny.flags(task_name="SST-2", **places, output_dir="out", learning_rate=1e-4, seeds="1,2")
    assert list(repeat("task_distill", ["stage.py"], argv, *resolve_distill(argv))["seeds"]) == ["1", "2"]
    assert "a teacher cache in teacher_cache cannot be deleted: [Errno 13]" in caplog.text


def test_ctrl_c_reaches_the_run_once_and_names_the_command_of_all(tmp_path):
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "all.py").write_text(f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from src.config.finetune_config import resolve
from src.errors import run_main
from src.stages.training import multi_seed
from src.stages.training.multi_seed import repeat
run_main(lambda: repeat("finetune", ["stage.py"], None, *resolve()))
""")
    flags = tiny.flags(
        task_name="SST-2",
        load_pretrained_path="model",
        train_data_dir="records",
        eval_data_dir="records",
        output_dir="out",
        learning_rate=1e-4,
        seeds="77,78",
    )
    process = subprocess.Popen(
        [sys.executable, "all.py", *flags],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    printed = ""
    while "ready" not in printed:
        printed += process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    printed += process.communicate(timeout=60)[0]
    assert process.returncode == 130 and printed.count("resume with:") == 1
    assert "resume with: python all.py" in printed and "--seeds=77,78" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "out" / "seed_78").exists()


def test_against_another_run(stage, capsys, tmp_path):
    stage("1,2", output_dir="base")
    result = stage("1,2", output_dir="out")
    compared = stage("2,1", "--resume=true", output_dir="out", seeds_against="base")
    assert compared["against"]["differences"] == {"2": 0.0, "1": 0.0}
    assert "against base: +0.0000, +0.0000" in capsys.readouterr().out and "against" not in result
    with pytest.raises(UserError, match="base/seeds.json has no seed 3 but 1, 2; run it over the same seeds"):
        stage("1,2,3", output_dir="more", seeds_against="base")
    with pytest.raises(UserError, match="nowhere/seeds.json does not exist"):
        stage("1,2", output_dir="more", seeds_against="nowhere")
    other = json.loads(Path("base/seeds.json").read_text())
    for changes, complaint in [
        ({"task": "RTE"}, "base/seeds.json is of RTE"),
        (
            {"seeds": {s: {**each, "eval_samples": 9} for s, each in other["seeds"].items()}},
            "base was evaluated on 9 rows, this run on 13",
        ),
    ]:
        Path("base/seeds.json").write_text(json.dumps({**other, **changes}))
        with pytest.raises(UserError, match=complaint):
            stage("1,2", "--resume=true", output_dir="out", seeds_against="base")
    Path("base/seeds.json").write_text("[1]")
    with pytest.raises(UserError, match="give a folder written with --seeds"):
        stage("1,2", output_dir="more", seeds_against="base")
    assert not Path("more").exists()


def test_rows_without_a_label_are_compared_by_agreement(stage):
    """Only the first evaluation tells; where the runs to compare with are of another kind, it stops there."""
    stage("1,2", output_dir="labeled")
    stage("1,2", output_dir="unlabeled", eval_data_dir="unlabeled")
    result = stage("1,2", eval_data_dir="unlabeled", seeds_against="unlabeled")
    assert (result["metric"], result["against"]["mean"]) == ("eval_agreement", 0.0)
    assert result["mean"]["eval_agreement"] == pytest.approx((0.501 + 0.504) / 2)
    for records, base in (("unlabeled", "labeled"), ("labeled", "unlabeled")):
        with pytest.raises(UserError, match=f"{base}/seeds.json is of SST-2 "):
            stage("1,2", output_dir=f"new_{records}", eval_data_dir=records, seeds_against=base)
        assert Path(f"new_{records}/seed_1").exists() and not Path(f"new_{records}/seed_2").exists()


@pytest.mark.parametrize(
    "flags, complaint",
    [
        ("--seeds=1,x", r"--seeds 1,x \(command line\) must be different integers"),
        ("--seeds=1,2,1", "must be different integers"),
        ("--seeds=-1,2", "must be different integers"),
        ("--seeds=1,4294967296", "must be different integers"),
        ("--seeds=1,2 --seed=3", "--seed 3 and --seeds 1,2 are mutually exclusive"),
        ("--seeds=1,2 --distribute", "run the launcher once per --seed"),
        ("--seeds_against=elsewhere", "--seeds_against elsewhere requires --seeds"),
    ],
)
@pytest.mark.parametrize("main", [finetune, task_distill, q8bert])
def test_contradictions(main, flags, complaint):
    with pytest.raises(UserError, match=complaint):
        main(["--task_name=SST-2", *flags.split()])


@pytest.mark.parametrize(
    "main, flag", [(task_distill, "do_train"), (task_distill, "do_eval"), (q8bert, "do_eval")]
)
def test_without_evaluation_there_is_nothing_to_compare(main, flag):
    with pytest.raises(UserError, match=f"leave --{flag} true"):
        main(["--task_name=SST-2", "--seeds=1,2", f"--{flag}=false"])


@pytest.fixture
def demo(tmp_path):
    """A function that runs scripts/repeat_demo.sh in an empty folder."""

    def run(*arguments):
        command = ["bash", ROOT / "scripts" / "repeat_demo.sh", *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHON": sys.executable},
        )

    return run


def test_the_launcher_repeats_a_short_distillation(demo):
    shown = demo("20", "--dry_run", "--task_name", "SST-2", "--train_steps=50").stdout
    seeds = ",".join(str(seed) for seed in range(1, 21))
    words = shlex.split(shown)
    assert words[words.index("--seeds") + 1] == seeds and shown.count("--train_steps") == 1
    assert "--load_teacher_ckpt_path <unset>" in shown and shown.strip().endswith("--train_steps=50")
    assert "--train_steps 1000" in demo("3", "--dry_run").stdout


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ([], "REPEATS is missing"),
        (["many"], "expected a number of runs, found 'many'"),
        (["3", "--task_name", "SST-2"], "load_teacher_ckpt_path is unset: edit line"),
    ],
)
def test_a_wrong_call_of_the_launcher(demo, arguments, complaint):
    refused = demo(*arguments)
    assert refused.returncode == 2 and complaint in refused.stderr


@pytest.mark.slow
def test_each_run_is_the_one_that_its_seed_alone_makes(tmp_path, vocabulary, sst2, graph_mode):
    arrays = {n: a for n, a in tiny.random_arrays(tiny.TINY, spread=0.1).items() if n.startswith("bert.")}
    model = tiny.write_model(tmp_path / "model", vocabulary, tiny.TINY.replace(labels=()), arrays)
    flags = tiny.flags(
        task_name="SST-2",
        load_pretrained_path=model,
        train_data_dir=sst2,
        eval_data_dir=sst2,
        epoch_size=1,
        batch_size=8,
        length_buckets="off",
    )
    finetune([*flags, *tiny.flags(seeds="1,2", output_dir=tmp_path / "all")])
    finetune([*flags, *tiny.flags(seed=2, output_dir=tmp_path / "alone")])
    alone, among = (read_weights(tmp_path / name / "last").arrays for name in ("alone", "all/seed_2"))
    for name, array in alone.items():
        np.testing.assert_array_equal(array, among[name], err_msg=name)
    results = json.loads((tmp_path / "all" / "seeds.json").read_text())["seeds"]
    assert list(results) == ["1", "2"] and results["2"]["eval_samples"] == 13
