"""torch's format of before 1.6 is read without torch, and none of its code is executed."""

import os
import pickle

import numpy as np
import pytest

from src.errors import UserError
from src.weights.reader import read_weights
from src.weights.torch.legacy_format import read_torch_legacy
from tests.weights.torch_files import DATA, tensor_program, torch_state, write_legacy


def test_a_handwritten_file(tmp_path):
    file = tmp_path / "pytorch_model.bin"
    write_legacy(file, tensor_program(), {"0": DATA.tobytes()})
    np.testing.assert_array_equal(read_torch_legacy(file)["w"], DATA.reshape(2, 2))
    np.testing.assert_array_equal(read_weights(tmp_path).arrays["w"], DATA.reshape(2, 2))
    write_legacy(file, tensor_program(size=(3,), stride=(1,), offset=1), {"0": DATA.tobytes()})
    np.testing.assert_array_equal(read_torch_legacy(file)["w"], DATA[1:])


def test_what_old_versions_wrote(tmp_path):
    """Views of storages (before torch 0.4), and the OrderedDict of Python 2, which holds a list of pairs."""
    file = tmp_path / "m.bin"
    view = b"K\x04(X\x01\x00\x00\x00vK\x01K\x03tt"  # 4 elements, of which the view has 3 from the second on
    program = tensor_program(size=(3,), stride=(1,)).replace(b"J\x04\x00\x00\x00t", view)
    write_legacy(file, program, {"0": DATA.tobytes()})
    np.testing.assert_array_equal(read_torch_legacy(file)["w"], DATA[1:])
    start, end = b"ccollections\nOrderedDict\n)R", b"s."
    pairs = tensor_program().replace(start, b"ccollections\nOrderedDict\n(]](", 1)
    write_legacy(file, pairs[: -len(end)] + b"eatR.", {"0": DATA.tobytes()})
    np.testing.assert_array_equal(read_torch_legacy(file)["w"], DATA.reshape(2, 2))
    write_legacy(file, program.replace(b"K\x01K\x03tt", b"K\x02K\x03tt"), {"0": DATA.tobytes()})
    with pytest.raises(UserError, match="lies outside its storage"):
        read_torch_legacy(file)


class _Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def test_a_malicious_pickle_is_named_and_never_run(tmp_path):
    file, target = tmp_path / "m.bin", tmp_path / "ran"
    malicious = pickle.dumps({"w": _Malicious(target)}, protocol=2)
    for program, facts in ((malicious, {}), (tensor_program(), {"w": _Malicious(target)})):
        write_legacy(file, program, {"0": DATA.tobytes()}, facts)
        with pytest.raises(UserError, match=r"posix\.system, which is not part of a state dict"):
            read_torch_legacy(file)
    assert not target.exists()


def test_damaged_files(tmp_path):
    file = tmp_path / "m.bin"
    write_legacy(file, tensor_program(), {"0": DATA.tobytes()}, {"little_endian": False})
    with pytest.raises(UserError, match="big-endian"):
        read_torch_legacy(file)
    write_legacy(file, tensor_program(count=5), {"0": DATA.tobytes()})
    with pytest.raises(UserError, match="has 16 bytes for 5 numbers"):
        read_torch_legacy(file)
    write_legacy(file, tensor_program(), {"1": DATA.tobytes()})
    with pytest.raises(UserError, match="truncated or damaged"):
        read_torch_legacy(file)
    write_legacy(file, tensor_program(), {"0": DATA.tobytes()})
    whole = file.read_bytes()
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        with pytest.raises(UserError, match="truncated or"):
            read_weights(file)


@pytest.mark.reference
def test_files_saved_by_torch(tmp_path):
    torch = pytest.importorskip("torch")
    state = torch_state(torch)
    for value in (state, {"epoch": 3, "state_dict": state}):
        torch.save(value, tmp_path / "m.bin", _use_new_zipfile_serialization=False)
        read = read_torch_legacy(tmp_path / "m.bin")
        assert list(read) == list(state)
        for key, tensor in state.items():
            expected = tensor.detach().float().numpy() if key == "bfloat16" else tensor.detach().numpy()
            np.testing.assert_array_equal(read[key], expected)
            assert read[key].shape == expected.shape and read[key].dtype == expected.dtype
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module", _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match="torch.nn.modules.linear.Linear"):
        read_torch_legacy(tmp_path / "module")
