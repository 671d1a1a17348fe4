"""TFRecord files: written with the `tfrecord` package, checked frame by frame, read by mindspore.dataset."""
import struct

import crc32c

from src.errors import UserError
from src.files import atomic_path

FRAME_HEAD, FRAME_TAIL = 12, 4
READ_BATCH = 1024


def write(path, chunks):
    """Write chunks {column: array [rows, S] or [rows]} as one file, atomically (int64 or float lists)."""
    # Imported here: mindspore switches protobuf to its slow Python form, unless protobuf is imported first.
    from tfrecord.writer import TFRecordWriter
    with atomic_path(path) as temporary:
        writer = TFRecordWriter(str(temporary))
        for chunk in chunks:
            kinds = {name: "float" if values.dtype.kind == "f" else "int" for name, values in chunk.items()}
            for row in zip(*(values.tolist() for values in chunk.values()), strict=True):
                writer.write({name: (value if isinstance(value, list) else [value], kinds[name])
                              for name, value in zip(chunk, row, strict=True)})
        writer.close()


def looks_like(path):
    """True when the file begins with a TFRecord frame."""
    with open(path, "rb") as file:
        head = file.read(FRAME_HEAD)
    return len(head) == FRAME_HEAD and _checksum(head[:8]) == head[8:]


def columns(path):
    """The column names of the first row."""
    from tfrecord import example_pb2
    with open(path, "rb") as file:
        first = _frame(file, path, 1)
    try:
        return sorted(example_pb2.Example.FromString(first).features.feature)
    except Exception as error:  # protobuf's backends raise different classes
        raise UserError(f"{path} does not hold tf.train.Example rows ({type(error).__name__})") from None


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


def _damaged(path, row):
    return UserError(f"{path} is truncated or damaged at row {row}; copy it again, or prepare it again")


def _checksum(data):
    # TFRecord's "masked" CRC-32C.
    crc = crc32c.crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
