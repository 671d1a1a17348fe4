"""The training loop over a step that only counts: log lines, checkpoints, evaluation, Ctrl+C, resuming."""

import json
import os
import re
import signal
import types

import numpy as np
import pytest
from mindspore import Tensor, float32
from tensorboardX.proto.event_pb2 import Event
from tfrecord import tfrecord_iterator

from src.data.dataloader import BucketDataLoader
from src.data.dataset import TokenizedDataset
from src.errors import Interrupted, UserError
from src.train.callbacks import CheckpointCallback, EvaluationCallback, LoggingCallback, LossWindow
from src.train.logger import RunLogger
from src.train.signals import StopSignal
from src.train.trainer import Trainer, TrainPhase, phase_steps

ROWS = 10
LOG_LINE = re.compile(
    r"^epoch: (\d+), step: (\d+), outputs are \(([^,]+), (True|False), ([^)]+)\), "
    r"hidden (\S+), attention (\S+), skipped steps (\d+), (\S+) examples/s, ETA \d+:\d\d:\d\d$"
)
TIME_LINE = re.compile(r"^epoch time: \d+\.\d+ ms, per step time: \d+\.\d+ ms$")


class CountingStep:
    """Keeps the rows it was given; the loss of step n is 1/n."""

    def __init__(self, interrupt_at=0, loss=None, scale=8.0, signal_number=signal.SIGINT):
        self.rows, self.interrupt_at, self.loss, self.scale = [], interrupt_at, loss, scale
        self.signal_number = signal_number
        self.loss_scale = types.SimpleNamespace(skipped=Tensor(2))

    def __call__(self, input_ids, token_type_ids, attention_mask, labels, weights):
        self.rows.append(labels.asnumpy()[weights.asnumpy() > 0].tolist())
        if len(self.rows) == self.interrupt_at:
            os.kill(os.getpid(), self.signal_number)
        loss = 1.0 / len(self.rows) if self.loss is None else self.loss
        return Tensor(loss), Tensor([0.25, 0.5]), Tensor(False), Tensor(self.scale)


class RecordedCheckpoints:
    """Checkpoints of which only the positions are kept."""

    folder = "checkpoints"

    def __init__(self):
        self.positions = []

    def save(self, step, position):
        self.positions.append((position["phase"], position["step"]))


def table():
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, 9, ROWS)
    total = lengths.sum()
    return TokenizedDataset.from_flat(
        draw.integers(5, 50, total), np.zeros(total), lengths, np.arange(ROWS), 8
    )


@pytest.fixture
def logger(tmp_path):
    logger = RunLogger(quiet=True)
    logger.open(tmp_path)
    yield logger
    logger.close()


class Training:
    """A phase over 10 rows in batches of 4, three steps an epoch, with the callbacks of a stage."""

    def __init__(self, logger, step, **options):
        """Options: logging_step, save_ckpt_step, epochs, max_steps, evaluate, eval_steps."""
        loader = BucketDataLoader(table(), 4, [8], shuffle=True, seed=3)
        sizes = options.get("epochs", 2), options.get("max_steps", -1)
        self.phase = TrainPhase(1, "phase 1", step, loader, *sizes)
        self.trainer, self.checkpoints = Trainer("python run.py --resume"), RecordedCheckpoints()
        parts, evaluate = ("hidden", "attention"), options.get("evaluate")
        logging_step = options.get("logging_step", 2)
        self.callbacks = [
            LoggingCallback(logger, step, logging_step, parts, checkpoint_folder="checkpoints"),
            *([EvaluationCallback(evaluate, options.get("eval_steps", 0))] if evaluate else []),
            CheckpointCallback(self.checkpoints, step, options.get("save_ckpt_step", 100)),
        ]

    def run(self, start_step=0):
        self.trainer.run(self.phase, self.callbacks, start_step)


def lines(tmp_path):
    return (tmp_path / "log.txt").read_text().splitlines()


def test_two_epochs(logger, tmp_path):
    evaluated, step = [], CountingStep()
    training = Training(logger, step, evaluate=lambda epoch, number: evaluated.append((epoch, number)))
    assert training.phase.total_steps == 6
    training.run()
    assert evaluated == [(1, 3), (2, 6)] and training.checkpoints.positions == [(1, 3), (1, 6)]
    epochs = [sum(step.rows[:3], []), sum(step.rows[3:], [])]
    assert [sorted(rows) for rows in epochs] == [list(range(ROWS))] * 2 and epochs[0] != epochs[1]
    rows = [len(batch) for batch in step.rows]
    means = [np.average([1 / n, 1 / (n + 1)], weights=rows[n - 1 : n + 1]) for n in (1, 3, 5)]
    found = [LOG_LINE.match(line) for line in lines(tmp_path) if line.startswith("epoch:")]
    assert [match.groups()[:8] for match in found] == [
        ("1", "2", f"{means[0]:.6g}", "False", "8", "0.25", "0.5", "2"),
        ("2", "4", f"{means[1]:.6g}", "False", "8", "0.25", "0.5", "2"),
        ("2", "6", f"{means[2]:.6g}", "False", "8", "0.25", "0.5", "2"),
    ]
    assert sum(bool(TIME_LINE.match(line)) for line in lines(tmp_path)) == 2
    entries = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [2, 4, 6]
    assert entries[0]["parts"] == {"hidden": 0.25, "attention": 0.5} and entries[0]["phase"] == 1
    logger.log_metrics({"eval_accuracy": 0.75, "eval_samples": 20, "epoch": 2, "step": 6})
    logger.close()
    curves = read_curves(tmp_path / "events")
    assert curves["phase1/loss"] == [(2 * n + 2, pytest.approx(mean)) for n, mean in enumerate(means)]
    assert curves["phase1/parts/hidden"] == [(2, 0.25), (4, 0.25), (6, 0.25)]
    assert curves["eval/eval_accuracy"] == [(6, 0.75)] and "phase1/step" not in curves


def read_curves(folder):
    """{tag: [(step, value), ...]} of TensorBoard's event files, read as the TFRecord files they are."""
    curves = {}
    for path in sorted(folder.iterdir()):
        for record in tfrecord_iterator(str(path)):
            event = Event.FromString(bytes(record))
            for value in event.summary.value:
                curves.setdefault(value.tag, []).append((event.step, value.simple_value))
    return curves


def test_a_window_of_losses_continues_from_a_checkpoint():
    def add(window, steps):
        for step in steps:
            loss = float("nan") if step == 5 else 0.1 * step
            window.add(Tensor(loss, dtype=float32), Tensor([loss, 2 * loss], dtype=float32), rows=step)

    whole, first = LossWindow(), LossWindow()
    add(whole, range(1, 60))
    add(first, range(1, 40))
    rest = LossWindow(json.loads(json.dumps(first.state())))
    add(rest, range(40, 60))
    means = whole.means()
    np.testing.assert_array_equal(rest.means(), means)
    kept = np.array([step for step in range(1, 60) if step != 5])
    mean = np.average(0.1 * kept, weights=kept)
    np.testing.assert_allclose(means, [mean, mean, 2 * mean], rtol=1e-6)
    assert np.isnan(whole.means()).all()  # nothing since


@pytest.mark.parametrize("max_steps, count", [(2, 2), (3, 3), (5, 5), (-1, 6)])
def test_train_steps(logger, max_steps, count):
    step, evaluated = CountingStep(), []
    training = Training(logger, step, max_steps=max_steps, evaluate=lambda *place: evaluated.append(place))
    training.run()
    assert len(step.rows) == count and training.checkpoints.positions[-1] == (1, count)
    assert evaluated[-1] == (-(-count // 3), count)
    assert phase_steps(2, max_steps, 3) == count
    assert phase_steps(0, max_steps, 3) == 0  # td_phase1_epoch_size 0 leaves phase 1 out


def test_more_steps_than_the_epochs_have(logger):
    step = CountingStep()
    training = Training(logger, step, max_steps=8, epochs=1)
    training.run()
    assert len(step.rows) == 8


def test_save_ckpt_step(logger):
    training = Training(logger, CountingStep(), save_ckpt_step=2)
    training.run()
    assert training.checkpoints.positions == [(1, 2), (1, 3), (1, 4), (1, 6)]


@pytest.mark.parametrize("max_steps, last", [(-1, 6), (5, 5)])
def test_what_is_saved_has_been_evaluated(logger, max_steps, last):
    """A resumed run evaluates nothing that lies before its checkpoint."""
    done, saved = [], []
    options = {"save_ckpt_step": 1, "eval_steps": 2, "evaluate": lambda epoch, step: done.append(step)}
    training = Training(logger, CountingStep(), max_steps=max_steps, **options)
    training.checkpoints.save = lambda _, position: saved.append((position["step"], done.copy()))
    training.run()
    due = [step for step in range(1, last + 1) if step % 2 == 0 or step % 3 == 0 or step == last]
    assert saved == [(step, [at for at in due if at <= step]) for step in range(1, last + 1)]


@pytest.mark.parametrize("at", [1, 2, 4, 5])
def test_ctrl_c_saves_and_a_resumed_run_reads_the_same_rows(logger, at):
    whole = CountingStep()
    training = Training(logger, whole)
    training.run()
    step = CountingStep(interrupt_at=at)
    training = Training(logger, step)
    with pytest.raises(
        Interrupted, match=rf"interrupted at step {at} of phase 1, state saved(.|\n)*--resume"
    ):
        training.run()
    assert training.checkpoints.positions[-1] == (1, at) and len(step.rows) == at
    rest = CountingStep()
    training = Training(logger, rest)
    training.run(at)
    assert step.rows + rest.rows == whole.rows


def test_ctrl_c_at_an_epoch_s_end_evaluates_it_first(logger):
    evaluated = []
    training = Training(logger, CountingStep(3), evaluate=lambda epoch, number: evaluated.append(number))
    with pytest.raises(Interrupted):
        training.run()
    assert evaluated == [3] and training.checkpoints.positions[-1] == (1, 3)


def test_ctrl_c_at_the_end_of_a_phase_stops_the_next(logger):
    training = Training(logger, CountingStep(interrupt_at=6))
    training.run()  # nothing of it is left to interrupt
    step = CountingStep()
    following = Training(logger, step)
    with pytest.raises(Interrupted, match="interrupted"):
        training.trainer.run(following.phase, following.callbacks)
    assert step.rows == [] and training.checkpoints.positions[-1] == (1, 6)


def test_resuming_a_finished_phase_measures_it_and_does_nothing_else(logger):
    step, evaluated = CountingStep(), []
    training = Training(logger, step, evaluate=lambda *place: evaluated.append(place))
    training.run(6)
    assert step.rows == [] and evaluated == [(2, 6)] and training.checkpoints.positions == []


def test_a_loss_that_no_scale_helps(logger):
    training = Training(logger, CountingStep(loss=float("nan"), scale=1.0))
    with pytest.raises(UserError, match="the loss is nan at step 2 of phase 1 .*lower --learning_rate"):
        training.run()
    training = Training(logger, CountingStep(loss=float("inf"), scale=8.0))
    training.run()  # an overflow that a lower scale may mend


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2])
def test_a_signal_saves_a_checkpoint(logger, number):
    training = Training(logger, CountingStep(interrupt_at=2, signal_number=number))
    with pytest.raises(Interrupted, match="interrupted at step 2 .*state saved") as stop:
        training.run()
    assert training.checkpoints.positions == [(1, 2)]
    assert stop.value.exit_code == (130 if number == signal.SIGUSR2 else 128 + number)


def test_nohup(logger, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        Training(logger, CountingStep(interrupt_at=2, signal_number=signal.SIGHUP)).run()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signal_handlers_are_restored():
    before = signal.getsignal(signal.SIGINT)
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
