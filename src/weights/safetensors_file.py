"""Reads .safetensors files into NumPy arrays, including bfloat16, which NumPy does not have."""

from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import reading

BFLOAT16 = "BF16"
NUMPY_TYPES = (
    *("F64", "F32", "F16", BFLOAT16),
    *("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"),
)


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """{name: array} of a .safetensors file; bfloat16 is widened to float32, other types stay as they are.

    Raises UserError if the file is truncated, not safetensors, or holds a type that NumPy does not have.
    """
    from safetensors import safe_open

    with reading(path, "a safetensors file"):
        with safe_open(str(path), framework="np") as file:
            types = {name: file.get_slice(name).get_dtype() for name in file.keys()}
            for name, dtype in types.items():
                if dtype not in NUMPY_TYPES:
                    raise UserError(
                        f'{path}: "{name}" is stored as {dtype}, which is not supported; store it as F32'
                    )
            plain = {name: file.get_tensor(name) for name, dtype in types.items() if dtype != BFLOAT16}
        return {**plain, **_read_bfloat16(path)} if BFLOAT16 in types.values() else plain


def _read_bfloat16(path: Path) -> dict[str, np.ndarray]:
    """The bfloat16 tensors of a file as float32; safe_open cannot return them as NumPy arrays."""
    from safetensors import deserialize

    entries = dict(deserialize(Path(path).read_bytes()))
    arrays = {}
    while entries:  # frees each tensor's bytes once it is widened
        name, entry = entries.popitem()
        if entry["dtype"] == BFLOAT16:
            arrays[name] = widen_bfloat16(np.frombuffer(entry["data"], np.uint16)).reshape(entry["shape"])
    return arrays


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """float32 from bfloat16 bits held as uint16: the same number followed by 16 zero bits."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
