"""Resolves the input flag to text files and detects the format of each from its first line."""

import dataclasses
import glob
import hashlib
import re
from codecs import BOM_UTF8
from collections.abc import Iterable
from pathlib import Path

from ...errors import UserError
from ...files import is_file, split_paths

FORMS = ("plain", "wikiextractor", "json", "wikitext")
HEAD = 1 << 16
ENDS = 1 << 12
DOC_LINE = re.compile(rb"\s*<doc(\s[^\n]*)?>\s*$")
TITLE_LINE = re.compile(rb"\s*= (?!= )[^\n]*[^=\s] =\s*$")
JSON_LINE = re.compile(rb"\s*\{\s*(\"|\}|$)")
JSON_ARRAY = re.compile(rb"\s*\[\s*(\{|$)")
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


@dataclasses.dataclass(frozen=True)
class CorpusFile:
    """A text file: its path, its name within the input, its format (one of FORMS) and its size in bytes."""

    path: Path
    name: str
    form: str
    size: int


def find_corpus_files(source: str | Path, form: str = "auto") -> list[CorpusFile]:
    """Files that `source` refers to: a file, a folder (recursive), a glob, or a comma-separated list.

    Sorted by name, without empty and hidden files. `form` "auto" detects the format of each file.
    Raises UserError when there is none, or when one is compressed.
    """
    paths: dict[Path, str] = {}
    for item in split_paths(source):
        paths.update(_matching(item))
    files = [
        CorpusFile(path, name, _form(path, form), path.stat().st_size)
        for path, name in sorted(paths.items(), key=lambda pair: (pair[1], str(pair[0])))
    ]
    if not files:
        raise UserError(f"{source} holds no text: every file in it is empty or hidden")
    return files


def _matching(item: str) -> dict[Path, str]:
    """{path: name} of the non-empty files of one item."""
    path = Path(item)
    if path.is_dir():
        found = {p: p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
        return {
            p: name
            for p, name in found.items()
            if p.stat().st_size and not any(part.startswith(".") for part in Path(name).parts)
        }
    matches = [path] if is_file(path) else [Path(p) for p in glob.glob(item, recursive=True)]
    if not matches:
        raise UserError(f"input {item} does not exist; give a file, a folder or a glob in quotes")
    return {p: p.name if p == path else p.as_posix() for p in matches if p.is_file() and p.stat().st_size}


def _form(path: Path, form: str) -> str:
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD).removeprefix(BOM_UTF8)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    for magic, kind in COMPRESSED.items():
        if head.startswith(magic):
            raise UserError(f"{path} is a {kind} file; unpack it first")
    if form != "auto":
        return form
    first = next((line for line in head.split(b"\n") if line.strip()), b"")
    if JSON_ARRAY.match(first):
        raise UserError(f"{path} is a JSON array; write one object a line (JSON lines)")
    patterns = {"wikiextractor": DOC_LINE, "json": JSON_LINE, "wikitext": TITLE_LINE}
    return next((name for name, pattern in patterns.items() if pattern.match(first)), "plain")


def fingerprint(files: Iterable[CorpusFile]) -> str:
    """Hash of the files' names, formats, sizes, first and last bytes; fast, and distinguishes corpora."""
    digest = hashlib.sha256()
    for file in files:
        with open(file.path, "rb") as handle:
            first = handle.read(ENDS)
            handle.seek(max(0, file.size - ENDS))
            digest.update(repr((Path(file.name).name, file.form, file.size, first, handle.read())).encode())
    return digest.hexdigest()
