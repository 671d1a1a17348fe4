"""Files as torch.save writes them, made by hand so that tests need no torch; DATA is a 2x2 tensor's."""

import collections
import pickle
import struct
import zipfile

import numpy as np

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001


def write_zip(path, program, storages=None, compress=zipfile.ZIP_STORED):
    """A file as torch.save lays it out: the pickle and the raw storages."""
    with zipfile.ZipFile(path, "w", compress) as archive:
        archive.writestr("archive/data.pkl", program)
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)


def tensor_program(size=(2, 2), stride=(2, 1), offset=0, count=4):
    """The opcodes of {"w": tensor} by hand, so that the test needs no torch."""

    def numbers(values):
        return b"(" + b"".join(b"J" + v.to_bytes(4, "little", signed=True) for v in values) + b"t"

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + b"J"
        + count.to_bytes(4, "little", signed=True)
        + b"tQ"
    )
    call = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + b"J"
        + offset.to_bytes(4, "little", signed=True)
        + numbers(size)
        + numbers(stride)
        + b"\x89"
        + b"ccollections\nOrderedDict\n)R"
        + b"tR"
    )
    return b"\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00w" + call + b"s."


def write_legacy(path, program, storages=None, machine=None):
    """A file in the format of before 1.6: pickles, then the storages with their number of elements."""
    facts = {"protocol_version": VERSION, "little_endian": True, "type_sizes": {"int": 4}, **(machine or {})}
    parts = [pickle.dumps(value, protocol=2) for value in (MAGIC, VERSION, facts)]
    storages = storages or {}
    parts += [program, pickle.dumps(list(storages), protocol=2)]
    for data in storages.values():
        parts.append(struct.pack("<q", len(data) // 4) + data)
    path.write_bytes(b"".join(parts))


DATA = np.arange(4, dtype="<f4")


def torch_state(torch):
    """A state dict of every kind of tensor that a weight file may have; `torch` is the module."""
    base = torch.arange(24, dtype=torch.float32)
    return collections.OrderedDict(
        plain=base.reshape(4, 6),
        transposed=base.reshape(4, 6).t(),
        shared=base,
        slice=base.reshape(4, 6)[1:3, 2:5],
        half=base.half(),
        bfloat16=base.bfloat16(),
        double=base.double(),
        long=torch.arange(3),
        byte=torch.arange(3, dtype=torch.uint8),
        flag=torch.tensor([True]),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(base.clone()),
    )
