"""Hostile weight files: pickles that run commands, grow or nest, headers that lie, files that never end."""

import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..inputs import Inputs

Make = Callable[[Path], object]


def model_with(inputs: Inputs, write: Callable[[Path], object], name: str, place: Path) -> None:
    """A model folder whose weight file `write(path)` writes."""
    shutil.copy(inputs.model() / "config.json", place)
    write(place / name)


def safetensors_header(header: object, data: bytes = bytes(64)) -> Callable[[Path], object]:
    """Writes a file with this header, an object or its text."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return lambda path: path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def one_shape(text: str) -> Callable[[Path], object]:
    """Writes a file with one tensor of a shape that is given as text."""
    return safetensors_header('{"a":{"dtype":"F32","data_offsets":[0,4],"shape":[' + text + "]}}")


def ckpt(content: bytes) -> tuple[str, Callable[[Path], object]]:
    """A MindSpore checkpoint of these bytes."""
    return "model.ckpt", lambda path: path.write_bytes(content)


def tensor(shape: object = (2, 2), ends: object = (0, 16), dtype: object = "F32") -> dict:
    """A header with one tensor."""
    return {"bert.x": {"dtype": dtype, "shape": shape, "data_offsets": ends}}


def torch_zip(program: bytes, name: str = "archive/data.pkl", method: int = zipfile.ZIP_STORED) -> Callable:
    """Writes a zip as torch.save does, with this pickle."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr(name, program)
            archive.writestr("archive/data/0", bytes(16))

    return write


def damaged_zip(method: int) -> Callable[[Path], object]:
    """A compressed zip whose data are damaged."""

    def write(path: Path) -> None:
        torch_zip(pickle.dumps({"a": list(range(5000))}, 2), method=method)(path)
        content = bytearray(path.read_bytes())
        content[60:90] = b"\xff" * 30
        path.write_bytes(content)

    return write


class Attack:
    """Unpickled by Python, it would make a file."""

    def __reduce__(self):
        return os.system, ("touch attacked",)


def weight_files(inputs: Inputs) -> list[tuple[str, Make]]:
    """Hostile weight files, by name."""
    files = {**safetensors_files(), **torch_files(), **mindspore_files()}
    return [(name, partial(model_with, inputs, write, file)) for name, (file, write) in files.items()]


def safetensors_files() -> dict[str, tuple[str, Callable]]:
    """Files in the place of model.safetensors."""
    tensors = "model.safetensors"
    return {
        "a shape of 2^62": (tensors, safetensors_header(tensor((0, 2**62), (0, 0)))),
        "a shape of 2^40 x 2^40": (tensors, safetensors_header(tensor((2**40, 2**40)))),
        "65 dimensions": (tensors, safetensors_header(tensor((1,) * 65, (0, 4)))),
        "a negative dimension": (tensors, safetensors_header(tensor((-2, -2)))),
        "Infinity as dimension": (
            tensors,
            one_shape("Infinity"),
        ),
        "a list as dtype": (tensors, safetensors_header(tensor(dtype=["F32"]))),
        "an unknown dtype": (tensors, safetensors_header(tensor(dtype="F999"))),
        "5,000 digits": (
            tensors,
            one_shape("9" * 5000),
        ),
        "a deep header": (tensors, safetensors_header("[" * 100_000)),
        "a deep object": (tensors, safetensors_header('{"a":' * 50_000 + "1" + "}" * 50_000)),
        "overlapping tensors": (
            tensors,
            safetensors_header({**tensor(), "bert.y": tensor()["bert.x"]}),
        ),
        "offsets beyond the end": (tensors, safetensors_header(tensor(ends=(0, 10**15)))),
        "offsets backwards": (tensors, safetensors_header(tensor(ends=(16, 0)))),
        "a header of 2^63": (tensors, lambda path: path.write_bytes(struct.pack("<Q", 2**63) + b"{}")),
        "a header of 2^40": (tensors, lambda path: path.write_bytes(struct.pack("<Q", 2**40) + b"{}")),
        "an empty file": (tensors, lambda path: path.write_bytes(b"")),
        "a key of 100,000 letters": (tensors, safetensors_header({"k" * 100_000: tensor()["bert.x"]})),
        "a FIFO": (tensors, os.mkfifo),
        "a folder": (tensors, Path.mkdir),
        "a link to itself": (tensors, lambda path: path.symlink_to(path)),
        "/dev/zero": (tensors, lambda path: path.symlink_to("/dev/zero")),
    }


def torch_files() -> dict[str, tuple[str, Callable]]:
    """Files in the place of pytorch_model.bin."""
    torch_file = "pytorch_model.bin"
    deep = b"\x80\x02" + b"(" * 1_000_000 + b"t" * 1_000_000 + b"."
    empty = b"\x80\x02(" + b")" * 5_000_000 + b"t."
    memos = b"\x80\x02" + b"".join(b"}r" + struct.pack("<I", n * 99999) for n in range(999)) + b"."
    grown = b"\x80\x02]q\x00" + b"(h\x00h\x00e" * 2_000_000 + b"."
    return {
        "a FIFO as pickle": (torch_file, os.mkfifo),
        "a pickle that runs a command": (torch_file, torch_zip(pickle.dumps({"w": Attack()}, 2))),
        "a pickle nested a million times": (torch_file, torch_zip(deep)),
        "a pickle that grows": (torch_file, torch_zip(grown)),
        "a pickle that repeats an empty tuple": (
            torch_file,
            torch_zip(empty),
        ),
        "a pickle of 5,000 digits": (torch_file, torch_zip(b"\x80\x02I" + b"9" * 5000 + b"\n.")),
        "a pickle with a negative length": (torch_file, torch_zip(b"\x80\x02\x8b\xff\xff\xff\xff.")),
        "a pickle without an end": (torch_file, torch_zip(b"\x80\x02}q\x00")),
        "a pickle that pops nothing": (torch_file, torch_zip(b"\x80\x020000.")),
        "a pickle of memos": (
            torch_file,
            torch_zip(memos),
        ),
        "8 GB compressed": (torch_file, huge_zip),
        "no pickle": (torch_file, torch_zip(b"", "archive/other.pkl")),
        "damaged deflate": (torch_file, damaged_zip(zipfile.ZIP_DEFLATED)),
        "damaged bzip2": (torch_file, damaged_zip(zipfile.ZIP_BZIP2)),
        "damaged lzma": (torch_file, damaged_zip(zipfile.ZIP_LZMA)),
        "half a zip": (torch_file, half_zip),
        "a zip with offsets beyond its end": (torch_file, far_zip),
        "a legacy pickle that runs a command": (torch_file, legacy),
    }


def mindspore_files() -> dict[str, tuple[str, Callable]]:
    """Files in the place of model.ckpt."""
    return {
        "a .ckpt of zeros": ckpt(bytes(1000)),
        "a .ckpt of ones": ckpt(b"\xff" * 1000),
        "a .ckpt that promises 2^60 bytes": ckpt(
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(99),
        ),
        "a .ckpt that is a FIFO": ("model.ckpt", os.mkfifo),
    }


def huge_zip(path: Path) -> None:
    """A small zip whose pickle is almost 4 GB long."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(b")" * (1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    data, size, name = block * 232 + packer.flush(), 232 << 24, b"archive/data.pkl"
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(data), size, len(name), 0)
    local = b"PK\3\4" + fields + name + data
    directory = b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), len(local), 0)
    path.write_bytes(local + directory + end)


def legacy(path: Path) -> None:
    """A bare pickle that would run a command."""
    path.write_bytes(pickle.dumps(Attack(), 2))


def half_zip(path: Path) -> None:
    """A zip that was cut."""
    torch_zip(pickle.dumps({"a": 1}, 2))(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def far_zip(path: Path) -> None:
    """A zip whose directory leads beyond its end."""
    torch_zip(pickle.dumps({"a": 1}, 2))(path)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 42 : at + 46] = b"\xff\xff\xff\x7f"
    path.write_bytes(content)
