"""Reads pytorch_model.bin without torch and without running its pickle.

torch.save (1.6 and later) writes a zip: `<name>/data.pkl` describes the tensors, `<name>/data/<key>` holds
their bytes. Only the names of tensors, of storage types and of OrderedDict may stand in that pickle.
"""

import math
import zipfile
from pathlib import Path

import numpy as np

from ..errors import UserError
from .safetensors_file import widen_bfloat16
from .unpickler import RestrictedUnpickler

STORAGE_TYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
NESTED = ("state_dict", "model_state_dict", "model")
# What reading a damaged archive or an ill-formed pickle may raise.
BROKEN = (
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
)


def read_torch_zip(path):
    """{name: array} of a state dict saved by torch; bfloat16 comes back as float32.

    Raises UserError when the file is of torch's format before 1.6, is broken, or names anything but tensors.
    """
    path = Path(path)
    if not zipfile.is_zipfile(path):
        raise UserError(_not_a_zip(path))
    try:
        with zipfile.ZipFile(path) as archive:
            root = _root(archive, path)
            machine = RestrictedUnpickler(ALLOWED, FUNCTIONS, _Storages(archive, root), path)
            return _state_dict(machine.run(archive.read(f"{root}data.pkl")), path)
    except BROKEN as error:
        raise UserError(f"{path} is broken ({error}); download or save it again") from None


def _not_a_zip(path):
    with open(path, "rb") as handle:
        first = handle.read(2)
    if first == b"\x80\x02":
        return (
            f"{path} was saved by torch before 1.6 or with its legacy format; open it in torch and save "
            "it again (torch.save or safetensors)"
        )
    return f"{path} is truncated or was not saved by torch; download or save it again"


def _root(archive, path):
    roots = [name[: -len("data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise UserError(f"{path} is a zip file, but not one that torch saved (no data.pkl)")
    if f"{roots[0]}byteorder" in archive.namelist() and archive.read(f"{roots[0]}byteorder") != b"little":
        raise UserError(f"{path} was saved on a big-endian machine; save it again on this one")
    return roots[0]


def _state_dict(top, path):
    for key in NESTED:
        if isinstance(top, dict) and isinstance(top.get(key), dict):
            top = top[key]
    items = top.items() if isinstance(top, dict) else ()
    arrays = {k: v for k, v in items if isinstance(k, str) and isinstance(v, np.ndarray)}
    if not arrays:
        raise UserError(f"{path} holds no state dict (names and tensors); save model.state_dict()")
    return arrays


class _Storages:
    """The byte blocks of the archive, each read once however many tensors share it."""

    def __init__(self, archive, root):
        self.archive, self.root, self.blocks = archive, root, {}

    def __call__(self, persistent_id):
        """("storage", type, key, device, count) -> the one-dimensional array of that storage."""
        what, kind, key, _device, count = persistent_id
        if what != "storage" or not isinstance(kind, _StorageType):
            raise ValueError("a persistent object that is no storage")
        if key not in self.blocks:
            info = self.archive.getinfo(f"{self.root}data/{key}")
            dtype = np.dtype(STORAGE_TYPES[kind])
            # torch never compresses; a compressed entry could unfold to any size.
            if info.compress_type != zipfile.ZIP_STORED or info.file_size < count * dtype.itemsize:
                raise ValueError(f"storage {key} has {info.file_size} bytes for {count} numbers")
            block = np.frombuffer(self.archive.read(info), dtype=dtype, count=count)
            self.blocks[key] = widen_bfloat16(block) if kind == "BFloat16Storage" else block
        return self.blocks[key]


class _StorageType(str):
    """The name of a storage class: the only kind of class that a file may mention, and never called."""


def _ordered_dict(pairs=()):
    return dict(pairs)


def _tensor(storage, offset, size, stride, *_unused):
    """The strided view (offset and strides in numbers, not bytes) of a storage, copied."""
    # as_strided trusts its caller: everything that could lead outside the block is refused first.
    if storage.ndim != 1 or any(n < 0 for n in (offset, *size, *stride)) or len(size) != len(stride):
        raise ValueError("a tensor with senseless sizes or strides")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and (last >= storage.size or count > storage.size):
        raise ValueError(f"a tensor of shape {tuple(size)} lies outside its storage")
    if not count:
        return np.zeros(size, storage.dtype)
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, [s * storage.itemsize for s in stride])
    return np.array(view, order="C")


def _parameter(tensor, *_unused):
    return tensor


ALLOWED = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): tuple,
    **{("torch", name): _StorageType(name) for name in STORAGE_TYPES},
}
FUNCTIONS = (_ordered_dict, _tensor, _parameter, tuple)
