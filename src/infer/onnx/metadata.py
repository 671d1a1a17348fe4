"""Metadata of an ONNX file: what its outputs mean, and the SHA-256 of its weights, checked before use.

The digest covers the initializers as serialized, in their order. It is computed from the file's protobuf
fields, without the onnx package and without a copy of the weights.
"""

import hashlib
import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...commands import program_version
from ...config.bert_config import BertConfig
from ...errors import UserError

if TYPE_CHECKING:
    from onnx import ModelProto

DIGEST = "weights_sha256"
# Field numbers of onnx.proto: ModelProto.graph, GraphProto.initializer; wire types of protobuf.
GRAPH, INITIALIZER = 7, 5
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def add_metadata(model: "ModelProto", config: BertConfig) -> None:
    """Set producer_version and metadata_props of a classifier's ModelProto."""
    from onnx import helper

    digest = hashlib.sha256()
    for tensor in model.graph.initializer:
        digest.update(tensor.SerializeToString())
    model.producer_version = program_version()
    helper.set_model_props(
        model,
        {
            "labels": json.dumps(config.labels, ensure_ascii=False),
            "output_mode": config.output_mode,
            "max_length": str(config.max_position_embeddings),
            DIGEST: digest.hexdigest(),
        },
    )


def check_digest(file: Path, expected: str | None) -> None:
    """Raise UserError if the weights in an ONNX file are not those of the digest in its metadata, if any."""
    if expected is not None and weights_digest(file) != expected:
        raise UserError(
            f"{file} is damaged or was changed: its weights do not have the SHA-256 of its metadata; copy it "
            "again, or export the model again"
        )


def weights_digest(file: Path) -> str:
    """SHA-256, in hexadecimal, of the initializers of an ONNX file."""
    digest = hashlib.sha256()
    with open(file, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for start, end in _fields(content, 0, len(content), GRAPH):
            for first, last in _fields(content, start, end, INITIALIZER):
                with memoryview(content)[first:last] as tensor:
                    digest.update(tensor)
    return digest.hexdigest()


def _fields(content: mmap.mmap, start: int, end: int, number: int) -> Iterator[tuple[int, int]]:
    """(first byte, end) of each embedded message of field `number` in a protobuf message."""
    while start < end:
        key, start = _varint(content, start)
        kind = key & 7
        size = {FIXED64: 8, FIXED32: 4}.get(kind, 0)
        if kind in (VARINT, BYTES):
            value, start = _varint(content, start)
            size = value if kind == BYTES else 0
        if key >> 3 == number and kind == BYTES:
            yield start, min(start + size, end)
        start += size


def _varint(content: mmap.mmap, start: int) -> tuple[int, int]:
    """(the number at `start`, the position after it): seven bits per byte, the lowest first."""
    value = shift = 0
    for byte in content[start : start + 10]:
        value |= (byte & 0x7F) << shift
        shift, start = shift + 7, start + 1
        if byte < 0x80:
            break
    return value, start
