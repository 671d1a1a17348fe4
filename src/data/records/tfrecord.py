"""TFRecord files of tf.train.Example: written, verified and read record by record."""

import functools
import itertools
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from ...errors import UserError
from ...files import atomic_path, check_regular

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
    check_regular(path)
    with open(path, "rb") as file:
        header = file.read(HEADER_SIZE)
    return len(header) == HEADER_SIZE and _masked_crc(header[:8]) == header[8:]


def columns(path: Path) -> list[str]:
    """Column names of the first row. Raises UserError when it is not a tf.train.Example."""
    with open(path, "rb") as file:
        data = _read_record(file, path, 1)
    return sorted(_features(data or b"", path, 1))


def batches(path: Path, names: Iterable[str]) -> Iterator[dict[str, np.ndarray]]:
    """Iterate over dicts {column: array [<=1024, S] or [<=1024, 1] int64 or float32} in file order.

    Raises UserError that names the first row that is damaged (each has a checksum), lacks a column, or has
    other sizes or types than the first.
    """
    first: dict[str, np.ndarray] = {}
    with open(path, "rb") as file:
        for start in itertools.count(1, READ_BATCH):
            records = (_read_record(file, path, start + row) for row in range(READ_BATCH))
            rows = [
                _row(data, names, path, start + row, first)
                for row, data in enumerate(itertools.takewhile(lambda data: data is not None, records))
            ]
            if rows:
                yield {name: np.stack([row[name] for row in rows]) for name in rows[0]}
            if len(rows) < READ_BATCH:
                return


def _row(
    data: bytes | None, names: Iterable[str], path: Path, number: int, first: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The columns `names` of one record; `first` are those of the first row, which this adds."""
    features = _features(data or b"", path, number)
    row = {}
    for name in names:
        if name not in features:
            raise UserError(f"{path}, row {number}: there is no column {name}; prepare the records again")
        floats, integers = features[name].float_list.value, features[name].int64_list.value
        row[name] = np.fromiter(*((floats, np.float32) if floats else (integers, np.int64)))
        like = first.setdefault(name, row[name])
        if (row[name].size, row[name].dtype) != (like.size, like.dtype):
            raise UserError(
                f"{path}, row {number}: {name} holds {row[name].size} numbers of type {row[name].dtype}, "
                f"row 1 {like.size} of type {like.dtype}; prepare the records again"
            )
    return row


def _features(data: bytes, path: Path, row: int) -> dict[str, Any]:
    """{column: Feature} of a serialized tf.train.Example."""
    try:
        return {entry.key: entry.value for entry in example_class().FromString(data).features.feature}
    except DecodeError:
        raise UserError(f"{path}, row {row}: not a tf.train.Example; prepare the records again") from None


def _read_record(file: BinaryIO, path: Path, row: int) -> bytes | None:
    """Data of the record at the file's position, None at the end of the file."""
    header = file.read(HEADER_SIZE)
    if not header:
        return None
    if len(header) == HEADER_SIZE and _masked_crc(header[:8]) == header[8:]:
        size = struct.unpack("<Q", header[:8])[0]
        # Read no more than there is: read() allocates the size it is given.
        left = os.fstat(file.fileno()).st_size - file.tell()
        data, footer = file.read(min(size, left)), file.read(FOOTER_SIZE)
        if len(data) == size and _masked_crc(data) == footer:
            return data
    raise UserError(f"{path} is truncated or damaged at row {row}; copy it again, or prepare it again")


def _masked_crc(data: bytes) -> bytes:
    """TFRecord's masked CRC-32C, little-endian."""
    crc = crc32c.crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
