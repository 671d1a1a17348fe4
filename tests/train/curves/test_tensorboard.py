"""Event files of TensorBoard: what a reader sees of runs that were killed and resumed."""

import struct

import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from src.train.curves import tensorboard
from src.train.logger import RunLogger


def points(folder):
    """[(curve, step, value)] of the event files in the order that TensorBoard reads them."""
    found = []
    for path in sorted((folder / "events").iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            found += [(value.tag, event.step, round(value.simple_value, 4)) for value in event.summary.value]
            data = data[16 + length :]
    return found


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(tensorboard, "time", tensorboard.time)  # restores it


def log(folder, last=None, steps=(), at=0):
    """Log in one process: steps are (phase, step), an evaluation after each even one; `at` is the time."""
    tensorboard.time = type("Clock", (), {"time": staticmethod(lambda: 1.7e9 + at)})
    logger = RunLogger(quiet=True)
    logger.open(folder, last)
    for phase, step in steps:
        logger.log_step(phase=phase, step=step, loss=step / 8, parts={"hidden": 0.5})
        if step % 2 == 0:
            logger.log_metrics({"eval_accuracy": phase / 4, "step": step, "epoch": 1})
    logger.close()


STEPS = [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3), (2, 4)]


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("kills", [[5], [3], [8, 6], [6, 7], [0]])
def test_a_resumed_run_has_the_points_of_an_unbroken_one(tmp_path, kills, torn):
    """`kills`: from how many steps on the run is resumed, after it had made one step more."""
    log(tmp_path / "whole", steps=STEPS)
    first, last = 0, None
    for number, kept in enumerate(kills):
        log(tmp_path / "broken", last, STEPS[first : kept + 1], number)
        first, last = kept, STEPS[kept - 1] if kept else (0, 0)
        if torn:
            newest = max((tmp_path / "broken" / "events").iterdir())
            newest.write_bytes(newest.read_bytes()[:-5])
    log(tmp_path / "broken", last, STEPS[first:], len(kills))
    assert points(tmp_path / "broken") == points(tmp_path / "whole") and len(points(tmp_path / "whole")) == 20


def test_a_foreign_file_is_left_alone(tmp_path):
    log(tmp_path)
    foreign = tmp_path / "events" / "events.out.tfevents.0.host"
    data = b"\xff" * 20
    foreign.write_bytes(struct.pack("<QI", 20, 0) + data + struct.pack("<I", masked_crc32c(data)))
    before = foreign.read_bytes()
    log(tmp_path, (1, 1), at=1)
    assert foreign.read_bytes() == before
