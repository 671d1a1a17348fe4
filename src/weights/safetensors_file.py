"""Reads .safetensors files into NumPy, bfloat16 among them (which NumPy itself does not have).

The format: 8 bytes of header length, a JSON header {name: {dtype, shape, data_offsets}}, then the data.
"""

import json
import math
import struct
from pathlib import Path

import numpy as np

from ..errors import UserError

HEADER_LIMIT = 100_000_000
NUMPY_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
    "U16": "<u2",
    "U32": "<u4",
    "U64": "<u8",
}


def read_safetensors(path):
    """{name: array} of a .safetensors file; bfloat16 comes back as float32, other types as they are.

    Raises UserError, one sentence, when the file is truncated or is not safetensors at all.
    """
    path = Path(path)
    header, start = _read_header(path)
    header.pop("__metadata__", None)
    data = np.empty(0, np.uint8)
    if path.stat().st_size > start:
        data = np.memmap(path, dtype=np.uint8, mode="r", offset=start)
    return {name: _tensor(path, name, entry, data) for name, entry in header.items()}


def widen_bfloat16(bits):
    """float32 from bfloat16 bits held as uint16: the same number with 16 zero bits behind it."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _read_header(path):
    size = path.stat().st_size
    with open(path, "rb") as handle:
        first = handle.read(8)
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else None
        if length is None or length > min(HEADER_LIMIT, size - 8):
            raise _corrupt(path, "its header is cut off or is not one")
        try:
            header = json.loads(handle.read(length))
        except (UnicodeDecodeError, json.JSONDecodeError):
            raise _corrupt(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _corrupt(path, "its header is not a table of tensors")
    return header, 8 + length


def _tensor(path, name, entry, data):
    try:
        kind, shape = entry["dtype"], tuple(int(n) for n in entry["shape"])
        begin, end = (int(n) for n in entry["data_offsets"])
    except (TypeError, KeyError, ValueError):
        raise _corrupt(path, f'the header\'s entry of "{name}" is broken') from None
    if kind not in NUMPY_TYPES:
        raise UserError(f'{path}: "{name}" is stored as {kind}, which is not read; store it as F32')
    dtype = np.dtype(NUMPY_TYPES[kind])
    size = math.prod(shape) * dtype.itemsize
    if min((begin, *shape)) < 0 or end > data.size or end - begin != size:
        raise _corrupt(path, f'"{name}" does not fit into the {data.size:,} bytes of data')
    # A copy: the caller may keep the array for longer than the file lives.
    array = np.array(data[begin:end]).view(dtype).reshape(shape)
    return widen_bfloat16(array) if kind == "BF16" else array


def _corrupt(path, why):
    return UserError(f"{path} is truncated or not a safetensors file: {why}; download or write it again")
