"""Curves for TensorBoard: event files, which are TFRecord files of Event messages."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from ...files import atomic_path
from ..append_file import AppendFile

VERSION = "brain.Event:2"
PHASE = re.compile(r"phase(\d+)/")
LENGTH, CRC = struct.Struct("<Q"), struct.Struct("<I")


class EventFile:
    """A new event file in `folder`, written without a buffer; `on_refusal` as of an AppendFile."""

    def __init__(self, folder: Path, on_refusal: Callable[[Path, OSError], None]) -> None:
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}"
        self._file = AppendFile(folder / name, on_refusal)
        event_class, _, _ = _tensorboard()
        self._file.write(_record(event_class(wall_time=time.time(), file_version=VERSION)))

    def add_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Append {name of the curve: value} at a step."""
        event_class, scalar, _ = _tensorboard()
        now = time.time()
        events = [
            event_class(wall_time=now, step=step, summary=scalar(name, value))
            for name, value in scalars.items()
        ]
        self._file.write(b"".join(map(_record, events)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def truncate_events(folder: Path, phase: int, step: int) -> None:
    """Drop from the event files of a folder what comes after a step of a phase: a resumed run repeats it.

    Curves `phase1/...` name their phase; others, of evaluations, belong to that of the last one before them.
    """
    files = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        with contextlib.suppress(DecodeError):  # it holds something else
            files[path] = list(_read_events(path))
    phases = [found for events in files.values() for event in events if (found := _phase_of(event))]
    current = phases[0] if phases else phase
    for path, events in files.items():
        kept = []
        for event in events:
            current = _phase_of(event) or current
            if event.file_version or (current, event.step) <= (phase, step):
                kept.append(event)
        data = b"".join(map(_record, kept))
        if len(data) == path.stat().st_size:
            continue
        if any(event.HasField("summary") for event in kept):
            with atomic_path(path) as temporary:
                temporary.write_bytes(data)
        else:
            path.unlink()


def _phase_of(event: Any) -> int:
    match = PHASE.match(event.summary.value[0].tag) if event.summary.value else None
    return int(match[1]) if match else 0


def _read_events(path: Path) -> Iterator[Any]:
    """The events of a file, up to the first incomplete one: a killed run may leave a part of it."""
    event_class, _, masked_crc32c = _tensorboard()
    data, place = path.read_bytes(), 0
    while place + LENGTH.size + CRC.size <= len(data):
        length = LENGTH.unpack_from(data, place)[0]
        begin = place + LENGTH.size + CRC.size
        message, place = data[begin : begin + length], begin + length + CRC.size
        if place > len(data) or CRC.unpack_from(data, place - CRC.size)[0] != masked_crc32c(message):
            return
        yield event_class.FromString(message)


def _record(event: Any) -> bytes:
    _, _, masked_crc32c = _tensorboard()
    data = event.SerializeToString()
    length = LENGTH.pack(len(data))
    return b"".join((length, CRC.pack(masked_crc32c(length)), data, CRC.pack(masked_crc32c(data))))


def _tensorboard() -> tuple[Any, Any, Any]:
    """tensorboardX's message class of an event, its function of a scalar, and the checksum of TFRecord.

    tensorboardX imports PyTorch where it is installed, to convert tensors that this project does not have:
    0.13 GB of memory and more than a second at each start.
    """
    absent = "torch" not in sys.modules
    if absent:
        sys.modules["torch"] = None  # type: ignore[assignment]  # makes `import torch` raise ImportError
    try:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import masked_crc32c
        from tensorboardX.summary import scalar
    finally:
        if absent:
            del sys.modules["torch"]
    return Event, scalar, masked_crc32c
