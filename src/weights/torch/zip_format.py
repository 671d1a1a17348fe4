"""Reads pytorch_model.bin without torch and without executing its pickle.

torch.save (1.6 and later) writes a zip: `<name>/data.pkl` describes the tensors, `<name>/data/<key>` holds
their bytes. A checkpoint of Lightning is such a file, whose settings, callbacks and optimizers may be of any
class: all but the tensors of its state dict is ignored.
"""

import io
import zipfile
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...files import reading
from .tensors import ALLOWED, StorageSpec, elements, find_tensors, read_tensors, storage_spec
from .unpickler import RestrictedUnpickler

LIGHTNING_KEY = b"pytorch-lightning_version"


def read_torch_zip(path: Path) -> dict[str, np.ndarray]:
    """{name: array} of a state dict saved by torch 1.6 or later; bfloat16 is widened to float32.

    Raises UserError if the file is broken, or references anything but tensors.
    """
    path = Path(path)
    size = path.stat().st_size
    with (
        reading(path, "a file saved by torch"),
        zipfile.ZipFile(path) as archive,
    ):
        root = _root(archive, path)
        program = _read_stored(archive, f"{root}data.pkl", size)
        is_lightning = LIGHTNING_KEY in program
        top = RestrictedUnpickler(io.BytesIO(program), ALLOWED, storage_spec, path, is_lightning).load()

        def read_storage(storage: StorageSpec) -> np.ndarray:
            return elements(storage, _read_stored(archive, f"{root}data/{storage.key}", size))

        return read_tensors(find_tensors(top, path), read_storage, size)


def _root(archive: zipfile.ZipFile, path: Path) -> str:
    names = archive.namelist()
    roots = [name[: -len("data.pkl")] for name in names if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise UserError(f"{path} is a zip file that torch did not save (no data.pkl)")
    if f"{roots[0]}constants.pkl" in names:
        raise UserError(
            f"{path} is a TorchScript program (torch.jit.save, or rust_model.ot), not a state dict; give "
            "pytorch_model.bin or model.safetensors of the same model"
        )
    byteorder = f"{roots[0]}byteorder"
    if byteorder in names and _read_stored(archive, byteorder, path.stat().st_size) != b"little":
        raise UserError(f"{path} was saved on a big-endian machine; save it again on this one")
    return roots[0]


def _read_stored(archive: zipfile.ZipFile, name: str, file_size: int) -> bytes:
    """The bytes of an entry. torch never compresses; a compressed entry could expand to any size."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise ValueError(f"{name} is compressed")
    if info.file_size > file_size:
        raise ValueError(f"{name} is larger than the file")
    return archive.read(info)
