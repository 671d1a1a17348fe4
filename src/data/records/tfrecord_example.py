"""Rows of integer or float columns as serialized tf.train.Example messages, a chunk at a time by NumPy.

The same rows give the same bytes in every process, which protobuf does not promise (its maps have no order),
and neither protobuf nor what the tfrecord package imports has to be loaded.

R rows of a chunk, S values of a column, G groups of seven bits.
"""

import numpy as np

# Field numbers of Example, Features, its map entry, Feature and the lists; all are length-delimited.
FEATURES = ENTRY = KEY = LIST_VALUE = 1
ENTRY_VALUE = FLOAT_LIST = 2
INT64_LIST = 3


def examples(chunk):
    """Iterate over the messages of a chunk {column: array [R, S] or [R]}, whole numbers or floats."""
    columns = [
        _entries(name, values if values.ndim > 1 else values[:, None])
        for name, values in sorted(chunk.items())
    ]
    for entries in zip(*columns, strict=True):
        yield _field(FEATURES, b"".join(entries))


def _entries(name, values):
    """The map entry of a column for each row; `values` [R, S]."""
    key = _field(KEY, name.encode())
    floats = values.dtype.kind == "f"
    number, rows = (FLOAT_LIST, _floats(values)) if floats else (INT64_LIST, _varints(values))
    for row in rows:
        yield _field(ENTRY, key + _field(ENTRY_VALUE, _field(number, _field(LIST_VALUE, row))))


def _field(number, data):
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value):
    groups = []
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _floats(values):
    return map(bytes, values.astype("<f4"))


def _varints(values):
    """Each row's integers as protobuf writes them: seven bits a byte, the lowest first."""
    # [R, S]; negative numbers are 64 bits long
    values = values.astype(np.int64).view(np.uint64)
    groups = max(1, -(-int(values.max(initial=0)).bit_length() // 7))
    # [R, S, G]
    shifted = values[..., None] >> (7 * np.arange(groups)).astype(np.uint64)
    written = shifted > 0
    written[..., 0] = True
    follows = np.zeros_like(written)
    follows[..., :-1] = written[..., 1:]
    parts = (shifted & np.uint64(0x7F)).astype(np.uint8) | (follows.astype(np.uint8) << 7)
    data = parts[written].tobytes()
    ends = np.cumsum(written.sum(axis=(1, 2))).tolist()
    return (data[start:end] for start, end in zip([0, *ends], ends, strict=False))
