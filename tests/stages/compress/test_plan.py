"""Plans against numbers worked out by hand."""

import types
from pathlib import Path

import numpy as np
import pytest

from src.config.bert_config import BertConfig
from src.data.dataset import TokenizedDataset
from src.errors import UserError
from src.stages.compress.planning.costs import Costs
from src.stages.compress.planning.ladder import Base, Candidate, Ladder, Schedule
from src.stages.compress.planning.measure import Measurement, parse_log
from src.stages.compress.planning.plan import Plan, in_time, make_plan, schedules, seconds_of
from src.stages.compress.report_data import LeftOut
from src.stages.compress.steps.journal import INTERRUPTED, Journal
from src.stages.compress.steps.progress import duration
from src.stages.compress.steps.runner import Step
from src.stages.compress.steps.workspace import Workspace
from src.tasks import TaskSpec
from src.tools.compress import CompressConfig
from src.train.throughput import forward_flops
from tests.tiny import TINY

BASE = BertConfig(labels=("0", "1"))  # BERT-base
MEASURED = Measurement(
    flops_per_second=1e9,
    compile_seconds=2.0,
    startup_seconds=1.0,
    export_seconds=10.0,
    memory_gb=1.0,
    free_gb=50.0,
)


def rows_of(lengths, labeled=True):
    """Rows of tokens 5 of these lengths, for training and for both halves."""
    labels = np.zeros(len(lengths), np.int32) if labeled else None
    dataset = TokenizedDataset.from_flat(
        np.full(sum(lengths), 5), np.zeros(sum(lengths)), lengths, labels, 16
    )
    paths = dict.fromkeys(("train", "choose", "report"), "records")
    datasets = dict.fromkeys(paths, dataset)
    task = TaskSpec("task", ("text",), labels=("0", "1"))
    return types.SimpleNamespace(task=task, labeled=labeled, paths=paths, datasets=datasets, task_flags={})


def ladder_of(teacher, tmp_path, general=None, **more):
    config = CompressConfig(model_dir="model", output_dir="out")
    return Ladder(teacher, general, rows_of([8] * 40, **more), Workspace(tmp_path), config)


@pytest.mark.parametrize(
    "text, seconds",
    [("2h", 7200), ("40m", 2400), ("1h30m", 5400), ("90s", 90), ("1.5h", 5400), ("5min", 300)],
)
def test_time_budgets(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0m", "soon", "40", "2 hours", "-1h"])
def test_no_time_budget(text):
    with pytest.raises(UserError, match="is not a time; write 40m, 2h or 1h30m"):
        seconds_of(text)


@pytest.mark.parametrize(
    "rows, expected",
    [
        (4000, [(8, 8, 4000), (4, 4, 4000), (2, 2, 4000)]),
        (67349, [(1, 2, 67349), (1, 2, 32000), (1, 2, 16000), (1, 2, 8000)]),
        (20000, [(2, 2, 20000), (1, 2, 20000), (1, 2, 16000), (1, 2, 8000)]),
        (40, [(10, 10, 40)]),
    ],
)
def test_schedules_of_about_500_steps_a_phase(rows, expected):
    assert schedules(rows) == expected


@pytest.mark.parametrize(
    "seconds, text",
    [(45, "45 s"), (89, "89 s"), (720, "12 min"), (3900, "1 h 05 min"), (3599, "1 h 00 min"), (100, "2 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_students_are_fewer_layers_of_the_model(tmp_path):
    found = {base.name: base for base in ladder_of(BASE, tmp_path).students(Schedule(1, 1, 40))}
    assert {name: base.config.num_hidden_layers for name, base in found.items()} == {
        "half": 6,
        "third": 4,
        "half-narrow": 6,
    }
    assert found["half"].steps[0].flags["layer_map"] == "2,4,6,8,10,12"
    assert found["third"].how == "layers 3, 6, 9, 12 of 12, distilled from the model"
    prune, distill = found["half-narrow"].steps
    assert prune.flags["layers"] == "1,3,5,7,9,11" and found["half-narrow"].config.intermediate_size == 1536
    assert distill.flags["student_init"] == prune.output
    # A general student comes second; of relations heads may differ.
    for heads, loss in ((12, None), (4, "relation")):
        small = BASE.replace(num_hidden_layers=4, hidden_size=312, num_attention_heads=heads, labels=())
        names = [base.name for base in ladder_of(BASE, tmp_path, small).students(Schedule(1, 1, 40))]
        assert names == ["half", "general", "third", "half-narrow"]
        general = ladder_of(BASE, tmp_path, small).students(Schedule(1, 1, 40))[1]
        assert general.config == small.replace(labels=("0", "1"))
        assert general.steps[0].flags.get("intermediate_loss") == loss
        assert not {"layer_map", "student_init"} & set(general.steps[0].flags)
    # Half and a third of two layers are the same layer; of one layer there are none.
    assert [base.name for base in ladder_of(TINY, tmp_path).students(Schedule(1, 1, 40))] == ["half"]
    assert not ladder_of(TINY.replace(num_hidden_layers=1), tmp_path).students(Schedule(1, 1, 40))


def test_the_surest_candidates_are_tried_first(tmp_path):
    names = [entry.name for entry in ladder_of(BASE, tmp_path).candidates(Schedule(1, 1, 40), has_text=True)]
    assert names[:3] == ["model-int8", "model-int8-mixed", "half-int8"]
    # Of BERT-base 21 % are embeddings, of six layers 35 %.
    assert "model-int8-vocabulary" not in names and "half-int8-vocabulary" in names
    assert [name for name in names if name.endswith("q8bert")] == names[-4:]
    ladder = ladder_of(BASE, tmp_path, labeled=False)
    assert [left.name for left in ladder.impossible(has_text=False)] == [
        "int8-vocabulary",
        "half-narrow-int8",
    ]
    names = [entry.name for entry in ladder.candidates(Schedule(1, 1, 40), has_text=False)]
    assert not [name for name in names if "vocabulary" in name or "narrow" in name]


def test_the_cost_of_a_distillation_by_hand(tmp_path):
    """40 rows of 8 tokens in one length: 2 + 3 epochs of the student at three passes, one of the teacher, and
    in each epoch of phase 2 an evaluation, all of phase 2 without most of the last layer; 2 + 0.4 graphs of
    training and 2 of evaluation."""
    ladder = ladder_of(TINY, tmp_path)
    costs = Costs(MEASURED, TINY, ladder.rows, Schedule(2, 3, 40))
    (entry,) = [each for each in ladder.candidates(Schedule(2, 3, 40), False) if each.name == "half-int8"]
    timed = costs.timed(entry)
    small = TINY.replace(num_hidden_layers=1)
    phase1, phase2 = (40 * forward_flops(small, 8, logits_only=only) for only in (False, True))
    flops = 3 * (2 * phase1 + 3 * phase2) + 3 * phase2
    flops += 40 * (forward_flops(TINY, 8) + forward_flops(TINY, 8, logits_only=True))
    assert timed.steps[0].seconds == pytest.approx(1.0 + (2.4 + 0.8) * 2.0 + flops / 1e9)
    assert timed.steps[1].seconds > 0.4 * 10


def test_the_cost_of_a_calibration_by_hand(tmp_path):
    """Rows of 8 tokens; a layer has four weights of 32 inputs and 32 outputs, one of 32 and 48, one of 48 and
    32, and there are a pooler and a classifier of two labels."""
    costs = Costs(MEASURED, TINY, rows_of([8] * 40), Schedule(1, 1, 40))
    weights = [*(2 * [*(4 * [(32, 32)]), (48, 32), (32, 48)]), (32, 32), (2, 32)]
    gptq = sum(2 * 512 * 8 * i * i + 2 * (6 * i**3 + 2 * o * i * i) for o, i in weights)
    assert costs.calibration(TINY) == pytest.approx((3 * 512 * forward_flops(TINY, 8) + gptq) / 1e9)


def candidate(name, *steps, base_steps=(), breaks=""):
    """A candidate with steps {name: seconds}; a student where it has `base_steps`."""
    made = tuple(Step(each, "export", {}, Path(each), seconds) for each, seconds in steps)
    base = Base(name, "", TINY, "model", made[: len(base_steps)])
    return Candidate(name, "", "int8", base, made, breaks)


LADDER = [
    candidate("model-fp32", ("export-model-fp32", 10)),
    candidate("model-int8", ("export-model-int8", 10)),
    candidate("model-mixed", ("export-mixed", 500), breaks="model-int8"),
    candidate("half", ("distill", 100), ("export-half", 10), base_steps=(1,)),
    candidate("half-small", ("distill", 100), ("export-small", 15), base_steps=(1,)),
    candidate("third", ("distill-third", 60), ("export-third", 10), base_steps=(1,)),
    candidate("third-trained", ("distill-third", 60), ("train", 60), base_steps=(1,), breaks="third"),
]


@pytest.fixture
def journal(tmp_path, monkeypatch):
    """A run that has spent 40 seconds on the export of the given model; files are relative to its folder."""
    monkeypatch.chdir(tmp_path)
    made = Journal(tmp_path / "journal.json", {}, {})
    finish(made, LADDER[0].steps[0], 40.0)
    return made


def finish(journal, step, seconds):
    step.output.write_text("made")
    journal.end(step.name, step.arguments, seconds, None, step.output)


class FixedCosts:
    """Costs that are those in the steps."""

    measured = MEASURED

    def timed(self, entry):
        return entry

    def disk_gb(self, entry):
        return 1.0 if entry.name != "third" else 60.0


@pytest.mark.parametrize(
    "seconds, names",
    [
        (0, ["model-fp32", "model-int8", "model-mixed"]),
        (119, ["model-fp32", "model-int8", "model-mixed", "third", "third-trained"]),
        (120, ["model-fp32", "model-int8", "model-mixed", "half"]),
        (135, ["model-fp32", "model-int8", "model-mixed", "half", "half-small"]),
        (205, [entry.name for entry in LADDER]),
    ],
)
def test_what_fits_the_time(seconds, names, journal):
    """The model and its integers always; a step counts once; what may not be needed takes no time."""
    kept, left_out = in_time(LADDER, seconds, journal)
    assert [entry.name for entry in kept] == names
    if seconds == 120:
        assert left_out[0] == LeftOut("half-small", "it needs 15 s, and 0 s of --time_budget are left")


def growing_ladder(schedule):
    """A student whose training takes ten seconds an epoch, and one for which the disk has no room."""
    seconds = 10.0 * (schedule.first + schedule.second)
    return [
        LADDER[0],
        candidate("half", ("distill", seconds), ("export-half", 10), base_steps=(1,)),
        candidate("third", ("distill-third", 1), base_steps=(1,)),
    ]


def test_as_many_epochs_as_fit(journal, monkeypatch):
    """A student that the disk has no room for makes no training shorter."""
    large = LeftOut("third", "it needs 60.0 GB of disk, and 50.0 GB are free")
    for budget, epochs, late in ((220, (8, 8), 0), (140, (4, 4), 0), (90, (2, 2), 0), (89, (2, 2), 1)):
        journal.content["values"].clear()
        found = make_plan(growing_ladder, lambda schedule: FixedCosts(), 4000, budget, journal)
        assert found.schedule[:2] == epochs and found.left_out[0] == large, budget
        assert len(found.left_out) == 1 + late
    assert found.seconds == 40  # the setup; the export of the model is part of it
    journal.content["values"].clear()
    found = make_plan(growing_ladder, lambda schedule: FixedCosts(), 4000, 90, journal)
    assert found.seconds == 40 + 40 + 10
    assert "plan: about 2 min, 40 s of them done, of 2 min (--time_budget)" in found.table()


@pytest.mark.parametrize("budget", [90, 10_000])
def test_a_resumed_run_keeps_its_schedule_and_what_is_done(journal, tmp_path, budget):
    """Another --time_budget trains no finished student anew, and leaves none out."""
    first = make_plan(growing_ladder, lambda schedule: FixedCosts(), 4000, 140, journal)
    for step in first.candidates[1].steps:
        finish(journal, step, 60.0)
    again = make_plan(growing_ladder, lambda schedule: FixedCosts(), 4000, budget, journal)
    assert again.schedule == first.schedule and again.candidates == first.candidates
    assert again.done_seconds == 40 + 2 * 60 and not again.steps


def test_a_plan_alone_binds_no_later_budget(journal):
    """--plan, and then --resume with another --time_budget."""
    first = make_plan(growing_ladder, lambda schedule: FixedCosts(), 4000, 90, journal)
    again = make_plan(growing_ladder, lambda schedule: FixedCosts(), 4000, 220, journal)
    assert (first.schedule[:2], again.schedule[:2]) == ((2, 2), (8, 8))


def test_an_interrupted_training_asks_for_the_rest_of_its_time(journal):
    """What it took is already a part of the time that is spent."""
    entry = LADDER[3]
    journal.end(entry.steps[0].name, entry.steps[0].arguments, 70.0, INTERRUPTED, entry.steps[0].output)
    assert entry.undone(journal) == {"distill": 30.0, "export-half": 10}
    kept, late = in_time([LADDER[0], entry], 150 - journal.seconds, journal)
    assert kept[-1] is entry and not late


def test_students_of_many_rows_train_on_a_sample(tmp_path):
    """Half as many rows take half the passes; prune and the calibration still see all."""
    ladder = ladder_of(BASE, tmp_path)
    whole, half = ladder.once, ladder.once._replace(rows=20)
    for entry in ladder.candidates(whole, True):
        assert not [step for step in entry.steps if "max_rows" in step.flags]
    trained = [step for entry in ladder.candidates(half, True) for step in entry.steps if step.run_folder]
    assert trained and all(step.flags["max_rows"] == 20 for step in trained)
    costs = [Costs(MEASURED, BASE, ladder.rows, schedule) for schedule in (whole, half)]
    (entry,) = [each for each in ladder.candidates(whole, False) if each.name == "half-int8"]
    fixed = 1.0 + (2.4 + 0.8) * 2.0  # startup and graphs; then the evaluations
    fixed += 40 * sum(forward_flops(c, 8, logits_only=True) for c in (entry.base.config, BASE)) / 1e9
    trained = [each.distill(entry) - fixed for each in costs]
    assert trained[0] == pytest.approx(2 * trained[1]) and trained[1] > 1
    assert costs[0].cache_gb(entry.base.config) == pytest.approx(2 * costs[1].cache_gb(entry.base.config))
    plan = Plan((), (), 60.0, 1.0, half, 40, 1.0, {}, {})
    assert "students train on 20 of the 40 training rows" in plan.table()


def test_the_log_of_the_trial_steps():
    log = (
        "compiled the graph of length 64 in 3.0 s (train step)\n"
        "throughput: 160.0 examples/s, 3000 real tokens/s, 80.5 GFLOP/s (matmul rate not measured)\n"
    )
    assert parse_log(log, 320, 9.0) == (80.5e9, 3.0, 4.0)
    with pytest.raises(UserError, match="printed no throughput"):
        parse_log("compiled", 1, 1.0)
