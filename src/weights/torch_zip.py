"""Reads pytorch_model.bin without torch and without executing its pickle.

torch.save (1.6 and later) writes a zip: `<name>/data.pkl` describes the tensors, `<name>/data/<key>` holds
their bytes. The pickle may reference tensors, storage types and OrderedDict only. It is loaded into
TensorSpecs; the bytes are read afterwards.
"""

import math
import pickle
import zipfile
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from .safetensors_file import widen_bfloat16
from .unpickler import RestrictedUnpickler, StandIn

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
NESTED_KEYS = ("state_dict", "model_state_dict", "model")
# Exceptions that a damaged archive or a malformed pickle raises.
BROKEN = (
    zipfile.BadZipFile,
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)


class StorageSpec(NamedTuple):
    """A storage as the pickle describes it; `kind` is a key of STORAGE_TYPES."""

    kind: str
    key: str
    numel: int


class TensorSpec(NamedTuple):
    """A strided tensor as the pickle describes it; `offset` and `stride` in elements."""

    storage: StorageSpec
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class StateDict(dict):
    """OrderedDict's stand-in; BUILD, by which torch stores its version numbers, is ignored."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


def read_torch_zip(path: Path) -> dict[str, np.ndarray]:
    """{name: array} of a state dict saved by torch; bfloat16 is widened to float32.

    Raises UserError if the file predates torch 1.6, is broken, or references anything but tensors.
    """
    path = Path(path)
    if not zipfile.is_zipfile(path):
        raise UserError(_not_a_zip(path))
    try:
        with zipfile.ZipFile(path) as archive:
            root = _root(archive, path)
            program = _read_stored(archive, f"{root}data.pkl")
            specs = _tensor_specs(RestrictedUnpickler(program, ALLOWED, _storage_spec, path).load(), path)
            # Tensors that share a storage usually follow one another.
            read_storage = lru_cache(maxsize=1)(partial(_read_storage, archive, root))
            return {name: _read_tensor(spec, read_storage) for name, spec in specs.items()}
    except BROKEN as error:
        raise UserError(f"{path} is broken ({error}); download or save it again") from None


def _not_a_zip(path: Path) -> str:
    with open(path, "rb") as handle:
        first = handle.read(2)
    if first == b"\x80\x02":
        return (
            f"{path} was saved by torch before 1.6 or in its legacy format; load it in torch and save "
            "it again (torch.save or safetensors)"
        )
    return f"{path} is truncated or was not saved by torch; download or save it again"


def _root(archive: zipfile.ZipFile, path: Path) -> str:
    roots = [name[: -len("data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise UserError(f"{path} is a zip file that torch did not save (no data.pkl)")
    byteorder = f"{roots[0]}byteorder"
    if byteorder in archive.namelist() and _read_stored(archive, byteorder) != b"little":
        raise UserError(f"{path} was saved on a big-endian machine; save it again on this one")
    return roots[0]


def _read_stored(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of an entry. torch never compresses; a compressed entry could expand to any size."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    return archive.read(info)


def _tensor_specs(top: object, path: Path) -> dict[str, TensorSpec]:
    for key in NESTED_KEYS:
        if isinstance(top, dict) and isinstance(top.get(key), dict):
            top = top[key]
    items = top.items() if isinstance(top, dict) else ()
    specs = {name: spec for name, spec in items if isinstance(name, str) and isinstance(spec, TensorSpec)}
    if not specs:
        raise UserError(f"{path} holds no state dict (names and tensors); save model.state_dict()")
    return specs


def _read_storage(archive: zipfile.ZipFile, root: str, storage: StorageSpec) -> np.ndarray:
    dtype = np.dtype(STORAGE_TYPES[storage.kind])
    data = _read_stored(archive, f"{root}data/{storage.key}")
    if len(data) < storage.numel * dtype.itemsize:
        raise ValueError(f"storage {storage.key} has {len(data)} bytes for {storage.numel} numbers")
    return np.frombuffer(data, dtype, storage.numel)


def _read_tensor(spec: TensorSpec, read_storage: Callable[[StorageSpec], np.ndarray]) -> np.ndarray:
    """A copy of the strided view that `spec` describes."""
    storage, offset, size, stride = spec
    # as_strided does not check bounds.
    numbers = (storage.numel, offset, *size, *stride)
    if any(type(number) is not int or number < 0 for number in numbers) or len(size) != len(stride):
        raise ValueError("a tensor has invalid sizes or strides")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and (last >= storage.numel or count > storage.numel):
        raise ValueError(f"a tensor of shape {size} lies outside its storage")
    block = read_storage(storage)
    steps = [step * block.itemsize for step in stride]
    view = (
        np.lib.stride_tricks.as_strided(block[offset:], size, steps) if count else np.zeros(size, block.dtype)
    )
    array = np.array(view, order="C")
    return widen_bfloat16(array) if storage.kind == "BFloat16Storage" else array


def _storage_spec(persistent_id: Any) -> StorageSpec:
    """("storage", type, key, device, count) -> StorageSpec."""
    what, kind, key, _device, count = persistent_id
    if what != "storage" or kind not in STORAGE_TYPES or not isinstance(key, str):
        raise ValueError("a persistent object is not a storage")
    return StorageSpec(kind, key, count)


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_unused: Any) -> TensorSpec:
    if not isinstance(storage, StorageSpec):
        raise ValueError("a tensor without a storage")
    return TensorSpec(storage, offset, tuple(size), tuple(stride))


ALLOWED = {
    ("collections", "OrderedDict"): StandIn(StateDict),
    ("torch._utils", "_rebuild_tensor_v2"): StandIn(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor"): StandIn(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): StandIn(lambda tensor, *_unused: tensor),
    ("torch", "Size"): StandIn(tuple),
    **{("torch", kind): kind for kind in STORAGE_TYPES},
}
