"""State dicts as PyTorch pickles them: which globals are part of one, and its tensors as NumPy arrays.

The pickle is read into TensorSpecs; the bytes of the storages are read afterwards. Both of torch.save's
formats share this: zip_format.py (1.6 and later) and legacy_format.py.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import UserError
from ..safetensors_file import widen_bfloat16
from .unpickler import IGNORED, StandIn

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
MAX_DIMENSIONS, MAX_SIZE = 64, 1 << 62
# Tied weights share a storage. A file whose tensors together are many times its size would fill the memory.
MAX_COPIES, SMALL = 4, 1 << 20


class StorageSpec(NamedTuple):
    """A storage as the pickle describes it; `kind` is a key of STORAGE_TYPES.

    `first` is where a view of it begins, in elements (only before torch 0.4).
    """

    kind: str
    key: str
    numel: int
    first: int = 0


class TensorSpec(NamedTuple):
    """A strided tensor as the pickle describes it; `offset` and `stride` in elements."""

    storage: StorageSpec
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.size)


def find_tensors(top: object, path: Path) -> dict[str, TensorSpec]:
    """{name: TensorSpec} of a state dict, or of one under a usual key. Raises UserError without tensors."""
    for key in NESTED_KEYS:
        if isinstance(top, dict) and isinstance(top.get(key), dict):
            top = top[key]
    items = top.items() if isinstance(top, dict) else ()
    specs = {name: spec for name, spec in items if isinstance(name, str) and isinstance(spec, TensorSpec)}
    if not specs:
        raise UserError(f"{path} holds no state dict (names and tensors); save model.state_dict()")
    return specs


def read_tensors(
    specs: Mapping[str, TensorSpec], read_storage: Callable[[StorageSpec], np.ndarray], file_size: int
) -> dict[str, np.ndarray]:
    """{name: array} of `specs`, bfloat16 widened to float32.

    `read_storage` returns the elements of a storage, [numel]; each is read once. Raises ValueError for
    tensors that lie outside their storage, or that together are much larger than the file.
    """
    total = sum(spec.numel * np.dtype(STORAGE_TYPES[spec.storage.kind]).itemsize for spec in specs.values())
    if total > MAX_COPIES * file_size + SMALL:
        raise ValueError(f"its {len(specs):,} tensors share storages and take {total:,} bytes of memory")
    by_storage: dict[str, list[str]] = {}
    for name, spec in specs.items():
        by_storage.setdefault(spec.storage.key, []).append(name)
    arrays = {}
    for key, names in by_storage.items():
        storage, *others = {specs[name].storage for name in names}
        if others:
            raise ValueError(f"storage {key} has two types or sizes")
        block = read_storage(storage)
        arrays.update({name: _read_tensor(specs[name], block) for name in names})
    return {name: arrays[name] for name in specs}


def elements(storage: StorageSpec, data: bytes | memoryview) -> np.ndarray:
    """The elements [numel] of a storage from its bytes."""
    dtype = np.dtype(STORAGE_TYPES[storage.kind]).newbyteorder("<")
    if len(data) < storage.numel * dtype.itemsize:
        raise ValueError(f"storage {storage.key} has {len(data)} bytes for {storage.numel} numbers")
    return np.frombuffer(data, dtype, storage.numel)


def _read_tensor(spec: TensorSpec, block: np.ndarray) -> np.ndarray:
    """A copy of the strided view of the storage `block` that `spec` describes."""
    storage, offset, size, stride = spec
    # as_strided does not check bounds.
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if spec.numel and (last >= storage.numel or spec.numel > storage.numel):
        raise ValueError(f"a tensor of shape {size} lies outside its storage")
    if spec.numel:
        steps = [step * block.itemsize for step in stride]
        array = np.array(np.lib.stride_tricks.as_strided(block[offset:], size, steps), order="C")
    else:
        array = np.zeros(size, block.dtype)
    return widen_bfloat16(array) if storage.kind == "BFloat16Storage" else array


def storage_spec(persistent_id: Any) -> StorageSpec:
    """("storage", type, key, device, count, view) -> StorageSpec; view (key, offset, count) is legacy."""
    what, kind, key, _device, count, *view = persistent_id
    if what != "storage" or kind not in STORAGE_TYPES or not isinstance(key, str):
        raise ValueError("a persistent object is not a storage")
    first = view[0][1] if view and view[0] is not None else 0
    if not (_is_size(count) and _is_size(first)):
        raise ValueError("a storage has an invalid size")
    return StorageSpec(kind, key, count, first)


def _is_size(number: object) -> bool:
    return type(number) is int and 0 <= number < MAX_SIZE


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_unused: Any) -> TensorSpec:
    if not isinstance(storage, StorageSpec):
        raise ValueError("a tensor without a storage")
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)):
        raise ValueError("a tensor has no sizes and strides")
    if len(size) > MAX_DIMENSIONS or not all(map(_is_size, (offset, *size, *stride))):
        raise ValueError("a tensor has invalid sizes or strides")
    return TensorSpec(storage._replace(first=0), storage.first + offset, size, stride)


def _ordered_dict(*pairs: Any) -> dict[str, Any]:
    """OrderedDict; Python 2 gave it a list of pairs, which is emptied so that it is not copied repeatedly."""
    values: dict[str, Any] = {}
    for key, value in pairs[0] if pairs else ():
        if not isinstance(key, str):
            raise ValueError("a key in its pickle is not text")
        values[key] = value
    if pairs:
        pairs[0].clear()
    return values


def _size(sizes: Any = ()) -> tuple[Any, ...]:
    if not isinstance(sizes, tuple):
        raise ValueError("a torch.Size is not made of a tuple")
    return sizes


ALLOWED: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): StandIn(_ordered_dict),
    ("torch._utils", "_rebuild_tensor_v2"): StandIn(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor"): StandIn(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): StandIn(lambda tensor, *_unused: tensor),
    ("torch._utils", "_rebuild_parameter_with_state"): StandIn(lambda tensor, *_unused: tensor),
    ("torch", "Size"): StandIn(_size),
    **{(module, kind): kind for kind in STORAGE_TYPES for module in ("torch", "torch.cuda")},
    # What trainers store beside a state dict: settings, dates, scores. Ignored, never created.
    **{
        (module, name): IGNORED
        for module, names in {
            "argparse": ("Namespace",),
            "collections": ("defaultdict",),
            "pathlib": ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
            "datetime": ("date", "datetime", "timedelta"),
            "numpy": ("dtype", "ndarray"),
            "numpy.core.multiarray": ("scalar", "_reconstruct"),
            "numpy._core.multiarray": ("scalar", "_reconstruct"),
            "_codecs": ("encode",),
            "torch": ("device", "float64", "float32", "float16", "bfloat16", "int64", "int32"),
            "builtins": ("set", "dict", "list", "int", "float", "bool", "str"),
        }.items()
        for name in names
    },
}
