"""The text files that an input flag means, and the form of each, seen from its first line."""

import dataclasses
import glob
import hashlib
import re
from codecs import BOM_UTF8
from pathlib import Path

from ...errors import UserError
from ...files import split_paths

FORMS = ("plain", "wikiextractor", "json", "wikitext")
HEAD = 1 << 16
ENDS = 1 << 12
DOC_LINE = re.compile(rb"\s*<doc(\s[^\n]*)?>\s*$")
TITLE_LINE = re.compile(rb"\s*= (?!= )[^\n]*[^=\s] =\s*$")
JSON_LINE = re.compile(rb"\s*\{\s*(\"|\}|$)")
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


@dataclasses.dataclass(frozen=True)
class CorpusFile:
    """A text file: where it lies, its name within the input, its form (one of FORMS) and its bytes."""

    path: Path
    name: str
    form: str
    size: int


def find_corpus_files(source, form="auto"):
    """The files meant by `source` (a file, a folder with all below it, a glob, or a comma list of these).

    They come in the order of their names, empty and hidden ones left out. `form` auto: each file's own.
    Raises UserError when there is none, or when one is compressed.
    """
    paths = {}
    for item in [str(source)] if Path(source).exists() else split_paths(source):
        paths.update(_matching(item))
    files = [
        CorpusFile(path, name, _form(path, form), path.stat().st_size)
        for path, name in sorted(paths.items(), key=lambda pair: (pair[1], str(pair[0])))
    ]
    if not files:
        raise UserError(f"{source} holds no text: every file in it is empty or hidden")
    return files


def _matching(item):
    """{path: name} of the files of one item, without the empty ones."""
    path = Path(item)
    if path.is_dir():
        found = {p: p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
        return {
            p: name
            for p, name in found.items()
            if p.stat().st_size and not any(part.startswith(".") for part in Path(name).parts)
        }
    found = [path] if path.is_file() else [Path(p) for p in glob.glob(item, recursive=True)]
    if not found:
        raise UserError(f"input {item} does not exist; give a file, a folder or a glob in quotes")
    return {p: p.name if p == path else p.as_posix() for p in found if p.is_file() and p.stat().st_size}


def _form(path, form):
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
    marks = {"wikiextractor": DOC_LINE, "json": JSON_LINE, "wikitext": TITLE_LINE}
    return next((name for name, mark in marks.items() if mark.match(first)), "plain")


def fingerprint(files):
    """A hash of the files' names, forms, sizes, first and last bytes: quick, and tells corpora apart."""
    digest = hashlib.sha256()
    for file in files:
        with open(file.path, "rb") as handle:
            first = handle.read(ENDS)
            handle.seek(max(0, file.size - ENDS))
            digest.update(repr((Path(file.name).name, file.form, file.size, first, handle.read())).encode())
    return digest.hexdigest()
