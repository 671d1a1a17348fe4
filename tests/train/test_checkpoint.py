"""Resume checkpoints: whole files, the newest kept, a damaged one skipped, another run's refused."""

import logging
import resource
from pathlib import Path

import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from src.errors import UserError, WriteError
from src.train.checkpoint import Checkpoints, restore, saved_parameters


class Holder(nn.Cell):
    """Stands for a train step: a network with a student and a teacher, and a scale."""

    def __init__(self, size=3, names=("student", "teacher")):
        super().__init__(auto_prefix=False)
        self.network = nn.Cell(auto_prefix=False)
        for name in names:
            setattr(self.network, name, Leaf(size))
        self.scale = Parameter(Tensor(7, dtype=None), requires_grad=False, name="scale")


class Leaf(nn.Cell):
    """One weight."""

    def __init__(self, size):
        super().__init__()
        self.weight = Parameter(Tensor(np.arange(size, dtype=np.float32)), name="weight")


def names(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_what_a_killed_save_left_is_deleted(tmp_path, monkeypatch):
    """safetensors writes under a name of its own first, which has to be in the temporary folder too."""

    class Killed(BaseException):
        """Nothing is cleaned up."""

    def die(arrays, path, metadata):
        Path(path).with_name(".tmpXsqcRr").write_bytes(b"half")
        raise Killed

    step, checkpoints = Holder(), Checkpoints(tmp_path, 1)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("src.train.checkpoint.save_file", die)
        patch.setattr("src.files.shutil.rmtree", lambda *arguments, **options: None)
        checkpoints.save(step, {"phase": 1, "step": 2})
    (left,) = names(tmp_path)
    assert left.startswith(".phase1_step_2.safetensors.") and left.endswith(".part")
    checkpoints.save(step, {"phase": 1, "step": 2})
    assert names(tmp_path) == ["phase1_step_2.safetensors"]


def test_save_and_restore(tmp_path):
    step, checkpoints = Holder(), Checkpoints(tmp_path, 1)
    assert checkpoints.last() is None
    checkpoints.save(step, {"phase": 1, "step": 20})
    assert set(saved_parameters(step)) == {"network.student.weight", "scale"}
    other = Holder()
    for cell in (other.network.student, other.network.teacher):
        cell.weight.set_data(Tensor(np.full(3, 9, np.float32)))
    other.scale.set_data(Tensor(1))
    position, path = checkpoints.last()
    assert position == {"phase": 1, "step": 20} and path.name == "phase1_step_20.safetensors"
    restore(other, path)
    assert other.network.student.weight.asnumpy().tolist() == [0, 1, 2] and int(other.scale.asnumpy()) == 7
    # The teacher is read from its own folder, never from a checkpoint.
    assert other.network.teacher.weight.asnumpy().tolist() == [9, 9, 9]


def test_the_newest_are_kept_by_phase_and_number(tmp_path):
    step, checkpoints = Holder(), Checkpoints(tmp_path, 2)
    for phase, number in ((1, 9), (1, 10), (1, 100), (2, 5)):
        checkpoints.save(step, {"phase": phase, "step": number})
    assert names(tmp_path) == ["phase1_step_100.safetensors", "phase2_step_5.safetensors"]
    assert checkpoints.last()[0] == {"phase": 2, "step": 5}
    Checkpoints(tmp_path, 0).save(step, {"phase": 2, "step": 6})  # one is always kept
    assert names(tmp_path) == ["phase2_step_6.safetensors"]


def test_other_files_are_left_alone(tmp_path):
    checkpoints = Checkpoints(tmp_path, 1)
    checkpoints.save(Holder(), {"phase": 1, "step": 1})
    (tmp_path / "checkpoints" / "phase1_best.safetensors").write_text("mine")
    checkpoints.save(Holder(), {"phase": 1, "step": 2})
    assert names(tmp_path) == ["phase1_best.safetensors", "phase1_step_2.safetensors"]


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * 99]
)
def test_a_damaged_checkpoint_is_skipped(tmp_path, damage, caplog):
    step, checkpoints = Holder(), Checkpoints(tmp_path, 2)
    checkpoints.save(step, {"phase": 1, "step": 1})
    checkpoints.save(step, {"phase": 1, "step": 2})
    truncated = tmp_path / "checkpoints" / "phase1_step_2.safetensors"
    truncated.write_bytes(damage(truncated.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert checkpoints.last()[0]["step"] == 1
    assert "phase1_step_2.safetensors is damaged, skipped" in caplog.text
    truncated.rename(truncated.with_name("phase1_step_9.safetensors"))
    Checkpoints(tmp_path, 1).save(
        step, {"phase": 1, "step": 3}
    )  # the truncated one does not count as the newest
    assert names(tmp_path) == ["phase1_step_3.safetensors"]


@pytest.mark.parametrize("place", range(40))
def test_a_flipped_bit_changes_nothing_unnoticed(tmp_path, place, caplog):
    """At fc5fcf9 a flip in a weight, an optimizer state or the position was resumed from."""
    checkpoints = Checkpoints(tmp_path, 2)
    position = {"phase": 1, "step": 7, "best": 0.25, "rows": "ab"}
    checkpoints.save(Holder(), position)
    path = checkpoints.last()[1]
    data, draw = bytearray(path.read_bytes()), np.random.default_rng(place)
    bit = int(draw.integers(8 * len(data)))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    with caplog.at_level(logging.CRITICAL):
        try:
            assert checkpoints.last()[0] == position
        except UserError as error:
            assert "holds no intact checkpoint; restore one, or start over with" in str(error)
            return
    step = Holder()
    for parameter in saved_parameters(step).values():
        parameter.set_data(Tensor(np.zeros(parameter.shape), parameter.dtype))
    restore(step, path)
    assert step.network.student.weight.asnumpy().tolist() == [0, 1, 2] and int(step.scale.asnumpy()) == 7


def test_a_checkpoint_of_an_earlier_version_has_no_digest(tmp_path):
    checkpoints = Checkpoints(tmp_path, 1)
    checkpoints.save(Holder(), {"phase": 1, "step": 7})
    path = checkpoints.last()[1]
    with safe_open(str(path), "numpy") as file:
        metadata = {"position": file.metadata()["position"]}
    save_file(load_file(path), path, metadata)
    assert checkpoints.last() == ({"phase": 1, "step": 7}, path)


def test_an_interrupted_save_leaves_the_old_one(tmp_path, monkeypatch):
    step, checkpoints = Holder(), Checkpoints(tmp_path, 1)
    checkpoints.save(step, {"phase": 1, "step": 1})

    def fail(*arguments, **options):
        raise OSError("no space left")

    monkeypatch.setattr("src.train.checkpoint.save_file", fail)
    with pytest.raises(WriteError, match="phase1_step_2.safetensors could not be written: no space left"):
        checkpoints.save(step, {"phase": 1, "step": 2})
    assert names(tmp_path) == ["phase1_step_1.safetensors"]


def test_another_run_s_checkpoint_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path, 1)
    checkpoints.save(Holder(), {"phase": 1, "step": 1})
    path = checkpoints.last()[1]
    projected = Holder(names=("student", "teacher", "hidden_projection"))
    with pytest.raises(UserError, match="from a run with other settings .it differs in network.hidden_proj"):
        restore(projected, path)
    wide = Holder(size=5)
    with pytest.raises(UserError, match=r"student.weight has shape \(3,\) instead of \(5,\)"):
        restore(wide, path)
    assert wide.network.student.weight.asnumpy().tolist() == [0, 1, 2, 3, 4]


def test_a_full_disk_costs_no_earlier_checkpoint(tmp_path):
    step, checkpoints = Holder(size=30_000), Checkpoints(tmp_path, 1)
    checkpoints.save(step, {"phase": 1, "step": 20})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # bytes a file may have
    try:
        with pytest.raises(UserError, match="step_40.safetensors could not be written: no space left"):
            checkpoints.save(step, {"phase": 1, "step": 40})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ["phase1_step_20.safetensors"]
    assert checkpoints.last()[0] == {"phase": 1, "step": 20}
