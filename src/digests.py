"""SHA-256 of the files that this project writes, in SHA256SUMS beside them or inside the file itself."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError

if TYPE_CHECKING:
    import numpy as np

SUMS_FILE = "SHA256SUMS"
# A line of sha256sum: the digest, a space, a space or * (read as binary), the file's name.
LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
MAX_SUMS = 1 << 24  # bytes of SHA256SUMS, some hundred thousand lines
BLOCK = 1 << 20  # bytes
DIGEST = "digest"  # key of a JSON object's own digest


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def hash_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of {name: array}: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.reshape(-1).data)
    return digest.hexdigest()


def with_digest(values: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with the SHA-256 of its content under DIGEST."""
    return {**values, DIGEST: hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()}


def is_intact(values: Any) -> bool:
    """Whether a value read from JSON is an object with its own digest, or without any."""
    content = (
        {name: value for name, value in values.items() if name != DIGEST} if isinstance(values, dict) else {}
    )
    return bool(content) and values.get(DIGEST) in (None, with_digest(content)[DIGEST])


def sums_of(folder: Path, known: Mapping[str, str] | None = None) -> str:
    """The content of SHA256SUMS for all files below a folder but hidden ones; `sha256sum -c` verifies it.

    `known` {name: digest} are files that need not be read, whether they exist yet or not.
    """
    sums = dict(known or {})
    for root, folders, files in os.walk(folder):
        # Hidden folders are another writer's, and may vanish now.
        folders[:] = [name for name in folders if name[0] != "."]
        for file in (Path(root) / name for name in files if name[0] != "."):
            name = file.relative_to(folder).as_posix()
            if file.is_file() and name not in (SUMS_FILE, *sums):
                sums[name] = sha256(file)
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def check_digest(path: str | Path) -> bool:
    """Raise UserError where SHA256SUMS in the folder of a file, or in the one above, has another digest.

    Returns whether one of them lists the file; else it is not checked.
    """
    path, listed = Path(path), False
    for folder in path.parents[:2]:
        sums_file = folder / SUMS_FILE
        if path.is_file() and sums_file.is_file():
            expected = _read_sums(sums_file).get(path.relative_to(folder).as_posix())
            if expected:
                require_digest(path, expected, sums_file, f"delete {sums_file} if you changed it on purpose")
                listed = True
    return listed


def require_digest(path: Path, expected: str, source: Path, remedy: str) -> None:
    """Raise UserError unless a file has the digest that the file `source` gives."""
    if sha256(path) != expected:
        raise UserError(
            f"{path} differs from its digest in {source.name}: the file was damaged, or changed after it was "
            f"written; restore it, or {remedy}"
        )


def _read_sums(file: Path) -> dict[str, str]:
    """{name: digest} of a SHA256SUMS."""
    if file.stat().st_size > MAX_SUMS:
        raise UserError(f"{file} has more than {MAX_SUMS} bytes, so it is not a list of digests; delete it")
    sums = {}
    # Split at \n alone: a name may contain other line breaks of Unicode.
    for number, line in enumerate(file.read_bytes().decode(errors="surrogateescape").split("\n"), 1):
        match = LINE.fullmatch(line)
        if match:
            sums[match[2]] = match[1].lower()
        elif line:
            raise UserError(f"{file}, line {number} is not a digest and a name, as sha256sum writes them")
    return sums
