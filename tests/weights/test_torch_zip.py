"""pytorch_model.bin is read without torch, and none of its code is executed."""

import collections
import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from src.errors import UserError
from src.weights.torch.zip_format import read_torch_zip
from tests.weights.torch_files import DATA, tensor_program, torch_state, write_zip


def test_a_handwritten_file(tmp_path):
    write_zip(tmp_path / "m.bin", tensor_program(), {"0": DATA.tobytes()})
    np.testing.assert_array_equal(read_torch_zip(tmp_path / "m.bin")["w"], DATA.reshape(2, 2))
    write_zip(tmp_path / "m.bin", tensor_program(stride=(1, 2)), {"0": DATA.tobytes()})
    np.testing.assert_array_equal(read_torch_zip(tmp_path / "m.bin")["w"], DATA.reshape(2, 2).T)


@pytest.mark.parametrize(
    "lie",
    [
        dict(size=(3, 2)),
        dict(offset=1),
        dict(stride=(4, 1)),
        dict(offset=-1),
        dict(size=(2, 2), stride=(1,)),
        dict(count=5),
        dict(size=(100, 100), stride=(0, 0)),
    ],
)
def test_tensors_outside_their_storage_are_rejected(tmp_path, lie):
    write_zip(tmp_path / "m.bin", tensor_program(**lie), {"0": DATA.tobytes()})
    with pytest.raises(UserError, match="damaged"):
        read_torch_zip(tmp_path / "m.bin")


class _Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_a_malicious_pickle_is_named_and_never_run(tmp_path, protocol):
    target = tmp_path / "ran"
    write_zip(tmp_path / "m.bin", pickle.dumps({"w": _Malicious(target)}, protocol=protocol))
    with pytest.raises(UserError, match=r"(posix|nt)\.system"):
        read_torch_zip(tmp_path / "m.bin")
    assert not target.exists()


@pytest.mark.parametrize("evil", [eval, getattr, io.open, collections.Counter, np.load])
def test_other_globals_are_rejected(tmp_path, evil):
    write_zip(tmp_path / "m.bin", pickle.dumps({"w": evil}, protocol=2))
    with pytest.raises(UserError, match="not part of a state dict"):
        read_torch_zip(tmp_path / "m.bin")


@pytest.mark.parametrize(
    "program", [b"", b".", b"\x80\x02", b"}", b"R.", b"(((", b"\xff\xff", b"}}s.", b"0.", b"i"]
)
def test_malformed_pickles_are_user_errors(tmp_path, program):
    write_zip(tmp_path / "m.bin", program)
    with pytest.raises(UserError):
        read_torch_zip(tmp_path / "m.bin")


@pytest.mark.parametrize("attribute", ["__defaults__", "__code__", "_function", "__class__"])
def test_a_pickle_cannot_modify_what_it_references(tmp_path, attribute):
    name = f"X{len(attribute):c}\0\0\0{attribute}".encode()
    build = b"ctorch._utils\n_rebuild_tensor_v2\nN}" + name + b"Ns\x86b0"
    write_zip(tmp_path / "m.bin", b"\x80\x02" + build + tensor_program()[2:], {"0": DATA.tobytes()})
    np.testing.assert_array_equal(read_torch_zip(tmp_path / "m.bin")["w"], DATA.reshape(2, 2))


@pytest.mark.parametrize(
    "program", [b"}r\xff\xff\xff\xff.", b"}p99999999999\n.", b"\x8e" + b"\xff" * 7 + b"\x0f.", b"\x82\x01."]
)
def test_memory_stays_bounded_by_the_pickle(tmp_path, program):
    write_zip(tmp_path / "m.bin", program)
    with pytest.raises(UserError, match="damaged|no state dict"):
        read_torch_zip(tmp_path / "m.bin")


def test_truncated_compressed_and_foreign_files(tmp_path):
    file = tmp_path / "m.bin"
    write_zip(file, tensor_program(), {"0": DATA.tobytes()})
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(UserError, match="truncated"):
        read_torch_zip(file)
    write_zip(file, tensor_program(), {"0": DATA.tobytes()}, compress=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="damaged"):
        read_torch_zip(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "no model")
    with pytest.raises(UserError, match="no data.pkl"):
        read_torch_zip(file)


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def lightning_program(hyper_parameters):
    """The opcodes of a Lightning checkpoint: settings by the given opcodes, and the state dict of above."""
    entries = {
        "pytorch-lightning_version": text("2.4.0"),
        "hyper_parameters": hyper_parameters,
        "state_dict": tensor_program()[2:-1],
    }
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u."


@pytest.mark.parametrize(
    "settings",
    [
        b"cposix\nsystem\n{command}\x85R",  # a call
        b"cbuiltins\ndict\n)\x81({command}{command}u",  # an object with items
        b"cbuiltins\nlist\n)\x81({command}e",
        b"cpathlib\nPosixPath\n{command}\x85R}{command}Nsb",  # an object with attributes
    ],
)
def test_a_lightning_checkpoint_gives_its_tensors_and_runs_nothing(tmp_path, settings):
    target = tmp_path / "ran"
    program = lightning_program(settings.replace(b"{command}", text(f"touch {target}")))
    write_zip(tmp_path / "last.ckpt", program, {"0": DATA.tobytes()})
    np.testing.assert_array_equal(read_torch_zip(tmp_path / "last.ckpt")["w"], DATA.reshape(2, 2))
    assert not target.exists()


class Settings(dict):
    """As Lightning's AttributeDict."""


@pytest.mark.reference
def test_a_lightning_checkpoint_saved_by_torch(tmp_path):
    torch = pytest.importorskip("torch")
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {f"model.{name}": value for name, value in layer.state_dict().items()}
    checkpoint = {
        "epoch": 1,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": state,
        "callbacks": {"ModelCheckpoint{}": {"best_model_score": torch.tensor(0.5), "dirpath": tmp_path}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [{"base": np.float64(0.1), "milestones": collections.Counter([3])}],
        "hyper_parameters": Settings(rate=0.1, path=tmp_path, dtype=torch.float32, numbers=np.ones(3)),
        "loops": {"fit_loop": {"state_dict": {}, "progress": Settings(ready=1)}},
    }
    torch.save(checkpoint, tmp_path / "last.ckpt")
    read = read_torch_zip(tmp_path / "last.ckpt")
    assert set(read) == set(state)
    for name, tensor in state.items():
        np.testing.assert_array_equal(read[name], tensor.numpy())


@pytest.mark.reference
def test_files_saved_by_torch(tmp_path):
    torch = pytest.importorskip("torch")
    state = torch_state(torch)
    for name, value in (("plain", state), ("nested", {"epoch": 3, "state_dict": state})):
        torch.save(value, tmp_path / name)
        read = read_torch_zip(tmp_path / name)
        assert set(read) == set(state)
        for key, tensor in state.items():
            expected = tensor.detach().float().numpy() if key == "bfloat16" else tensor.detach().numpy()
            np.testing.assert_array_equal(read[key], expected)
            assert read[key].shape == expected.shape
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module")
    with pytest.raises(UserError, match="torch.nn.modules.linear.Linear"):
        read_torch_zip(tmp_path / "module")
