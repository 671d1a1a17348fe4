"""Reads what torch.save wrote before 1.6, or writes with _use_new_zipfile_serialization=False.

Five pickles in a row: a magic number, a version, facts about the machine, the object, and the list of its
storages' keys; then each storage, as its number of elements (int64) and its bytes. See _legacy_load in
torch/serialization.py.
"""

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...files import reading
from .tensors import (
    ALLOWED,
    STORAGE_TYPES,
    StorageSpec,
    elements,
    find_tensors,
    read_tensors,
    storage_spec,
)
from .unpickler import RestrictedUnpickler

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of torch's magic number
VERSION = 1001
COUNT = struct.Struct("<q")


def read_torch_legacy(path: Path) -> dict[str, np.ndarray]:
    """{name: array} of a state dict in torch's format of before 1.6; bfloat16 is widened to float32.

    Nothing in the file is executed. Raises UserError if it is broken, or references anything but tensors.
    """
    path = Path(path)
    with (
        reading(path, "a file saved by torch"),
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        kinds: dict[str, str] = {}

        def load_persistent(persistent_id: Any) -> StorageSpec:
            spec = storage_spec(persistent_id)
            if kinds.setdefault(spec.key, spec.kind) != spec.kind:
                raise ValueError(f"storage {spec.key} has two types")
            return spec

        content.seek(len(MAGIC))
        version, machine, top, keys = (
            RestrictedUnpickler(content, ALLOWED, load_persistent, path).load()  # type: ignore[arg-type]
            for _ in range(4)
        )
        if version != VERSION:
            raise ValueError(f"its format has the version {version!r:.20}, not {VERSION}")
        if not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise UserError(f"{path} was saved on a big-endian machine; save it again on this one")
        places = _places(content, keys, kinds)

        def read_storage(storage: StorageSpec) -> np.ndarray:
            start, size = places[storage.key]
            return elements(storage, content[start : start + size])

        return read_tensors(find_tensors(top, path), read_storage, len(content))


def _places(content: mmap.mmap, keys: Any, kinds: dict[str, str]) -> dict[str, tuple[int, int]]:
    """{key: (first byte, bytes)} of the storages, which follow one another from the current position."""
    places = {}
    position = content.tell()
    for key in keys:
        count = COUNT.unpack_from(content, position)[0]
        start, size = position + COUNT.size, count * np.dtype(STORAGE_TYPES[kinds[key]]).itemsize
        if not 0 <= size <= len(content) - start:
            raise ValueError(f"storage {key} is larger than the rest of the file")
        places[key] = start, size
        position = start + size
    return places
