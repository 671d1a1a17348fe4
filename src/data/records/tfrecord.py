"""TFRecord files: written and checked frame by frame, read by mindspore.dataset."""

import struct

import crc32c

from ...errors import UserError
from ...files import atomic_path
from .tfrecord_example import examples

FRAME_HEAD, FRAME_TAIL = 12, 4
READ_BATCH = 1024
LENGTH_DELIMITED = 2


def write(path, chunks):
    """Write chunks {column: array [rows, S] or [rows]} as one file, atomically (int64 or float lists)."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for chunk in chunks:
            for data in examples(chunk):
                size = struct.pack("<Q", len(data))
                file.write(b"".join((size, _checksum(size), data, _checksum(data))))


def looks_like(path):
    """True when the file begins with a TFRecord frame."""
    with open(path, "rb") as file:
        head = file.read(FRAME_HEAD)
    return len(head) == FRAME_HEAD and _checksum(head[:8]) == head[8:]


def columns(path):
    """The column names of the first row. Raises UserError when it is no tf.train.Example."""
    with open(path, "rb") as file:
        row = _frame(file, path, 1)
    try:
        # Example { features = 1 { repeated entry = 1 { name = 1, values = 2 } } }
        entries = [entry for features in _messages(row, 1) for entry in _messages(features, 1)]
        return sorted(name.decode() for entry in entries for name in _messages(entry, 1))
    except (ValueError, IndexError):
        raise UserError(f"{path} does not hold tf.train.Example rows") from None


def check(path):
    """Walk over every frame and its checksums; returns the number of rows.

    Raises UserError that names the first damaged row: mindspore.dataset itself would skip the checksums.
    """
    rows = 0
    with open(path, "rb") as file:
        while _frame(file, path, rows + 1) is not None:
            rows += 1
    return rows


def batches(path, names):
    """Iterate over dicts {column: array [<=1024, S] or [<=1024, 1]} in file order."""
    import mindspore.dataset as ds

    rows = ds.TFRecordDataset([str(path)], columns_list=list(names), shuffle=False, num_parallel_workers=1)
    return rows.batch(READ_BATCH).create_dict_iterator(num_epochs=1, output_numpy=True)


def _frame(file, path, row):
    head = file.read(FRAME_HEAD)
    if not head:
        return None
    if len(head) < FRAME_HEAD or _checksum(head[:8]) != head[8:]:
        raise _damaged(path, row)
    size = struct.unpack("<Q", head[:8])[0]
    data, tail = file.read(size), file.read(FRAME_TAIL)
    if len(data) < size or len(tail) < FRAME_TAIL or _checksum(data) != tail:
        raise _damaged(path, row)
    return data


def _messages(data, wanted):
    """The length-delimited fields number `wanted` of a protobuf message that holds no other kind of field.

    Read here because the tfrecord package would bring torch along, and mindspore warn for being asked.
    """
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        size, place = _varint(data, place)
        if tag & 7 != LENGTH_DELIMITED or place + size > len(data):
            raise ValueError("not a message of messages")
        if tag >> 3 == wanted:
            yield data[place : place + size]
        place += size


def _varint(data, place):
    """A protobuf integer at `place`, seven bits a byte, and the place after it."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _damaged(path, row):
    return UserError(f"{path} is truncated or damaged at row {row}; copy it again, or prepare it again")


def _checksum(data):
    # TFRecord's "masked" CRC-32C.
    crc = crc32c.crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
