"""TFRecord files of tf.train.Example: written and verified record by record, read by mindspore.dataset."""

import functools
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from ...errors import UserError
from ...files import atomic_path

HEADER_SIZE, FOOTER_SIZE = 12, 4
READ_BATCH = 1024
FIELD = descriptor_pb2.FieldDescriptorProto
# tensorflow/core/example/example.proto and feature.proto without BytesList: (field, number, type, repeated).
# Features' map is written as the repeated entries that it is on the wire: they keep the order they are added
# in, so that the same rows give the same bytes in every process, which a protobuf map does not promise.
MESSAGES = {
    "Int64List": (("value", 1, FIELD.TYPE_INT64, True),),
    "FloatList": (("value", 1, FIELD.TYPE_FLOAT, True),),
    "Feature": (("float_list", 2, "FloatList", False), ("int64_list", 3, "Int64List", False)),
    "Entry": (("key", 1, FIELD.TYPE_STRING, False), ("value", 2, "Feature", False)),
    "Features": (("feature", 1, "Entry", True),),
    "Example": (("features", 1, "Features", False),),
}


@functools.cache
def example_class() -> type[Message]:
    """Message class of tf.train.Example, in its own descriptor pool so that it cannot clash with others."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="example", syntax="proto3")
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            field = described.field.add(name=name, number=number)
            field.label = FIELD.LABEL_REPEATED if repeated else FIELD.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = FIELD.TYPE_MESSAGE, f".example.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("example.Example"))


def write(path: Path, chunks: Iterable[dict[str, np.ndarray]]) -> None:
    """Write chunks {column: array [rows, S] or [rows]} as one file, atomically (int64 or float lists)."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for chunk in chunks:
            for data in examples(chunk):
                size = struct.pack("<Q", len(data))
                file.write(b"".join((size, _masked_crc(size), data, _masked_crc(data))))


def examples(chunk: dict[str, np.ndarray]) -> Iterator[bytes]:
    """Serialized tf.train.Example of each row of a chunk {column: array [rows, S] or [rows]}."""
    message = example_class()()  # one for all rows: a new one for each takes twice the time
    columns = []
    for name, values in sorted(chunk.items()):
        feature = message.features.feature.add(key=name).value
        numbers = (feature.float_list if values.dtype.kind == "f" else feature.int64_list).value
        columns.append((numbers, values if values.ndim > 1 else values[:, None]))
    for row in range(len(columns[0][1])):
        for numbers, values in columns:
            del numbers[:]
            numbers.extend(values[row].tolist())
        yield message.SerializeToString()


def looks_like(path: Path) -> bool:
    """True when the file begins with the header of a TFRecord record."""
    with open(path, "rb") as file:
        header = file.read(HEADER_SIZE)
    return len(header) == HEADER_SIZE and _masked_crc(header[:8]) == header[8:]


def columns(path: Path) -> list[str]:
    """Column names of the first row. Raises UserError when it is not a tf.train.Example."""
    with open(path, "rb") as file:
        data = _read_record(file, path, 1)
    try:
        return sorted(entry.key for entry in example_class().FromString(data).features.feature)
    except DecodeError:
        raise UserError(f"{path} does not hold tf.train.Example rows") from None


def check(path: Path) -> int:
    """Verify the checksums of every record; returns the number of rows.

    Raises UserError that names the first damaged row: mindspore.dataset itself would skip the checksums.
    """
    rows = 0
    with open(path, "rb") as file:
        while _read_record(file, path, rows + 1) is not None:
            rows += 1
    return rows


def batches(path: Path, names: Iterable[str]) -> Iterator[dict[str, np.ndarray]]:
    """Iterate over dicts {column: array [<=1024, S] or [<=1024, 1]} in file order."""
    import mindspore.dataset as ds

    rows = ds.TFRecordDataset([str(path)], columns_list=list(names), shuffle=False, num_parallel_workers=1)
    return rows.batch(READ_BATCH).create_dict_iterator(num_epochs=1, output_numpy=True)


def _read_record(file: BinaryIO, path: Path, row: int) -> bytes | None:
    """Data of the record at the file's position, None at the end of the file."""
    header = file.read(HEADER_SIZE)
    if not header:
        return None
    if len(header) == HEADER_SIZE and _masked_crc(header[:8]) == header[8:]:
        size = struct.unpack("<Q", header[:8])[0]
        data, footer = file.read(size), file.read(FOOTER_SIZE)
        if len(data) == size and _masked_crc(data) == footer:
            return data
    raise UserError(f"{path} is truncated or damaged at row {row}; copy it again, or prepare it again")


def _masked_crc(data: bytes) -> bytes:
    """TFRecord's masked CRC-32C, little-endian."""
    crc = crc32c.crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
