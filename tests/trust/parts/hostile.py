"""Hostile files and paths: each is refused with one sentence, and nothing foreign is touched."""

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from .. import writers
from ..forks import GB, Ended, forked
from ..inputs import Inputs
from ..outcomes import Case, Settings, snapshot
from .hostile_weights import Make, weight_files
from .kinds import Kind, kinds, records_in, weights

FIGURE = "hostile"
SECONDS = 120
MEMORY = 3 * GB
SLICE = 12  # cases
Read = Callable[[Path], object]
LONG = "a name of 100,000 letters"  # an unknown name may be ignored
JSON_TEXTS = {
    "5,000 digits": '{"a": %s}' % ("9" * 5000),
    "a deep list": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "a list": "[1, 2]",
    "a number": "1e999",
    "null": "null",
    "nothing": "",
    LONG: '{"%s": 1}' % ("k" * 100_000),
    "a million items": "[" + "0," * 1_000_000 + "0]",
}


def cases(settings: Settings) -> Iterator[Case]:
    """All cases, in the order of the modules' tables."""
    inputs = Inputs(settings.folder / "inputs")
    refused, untouched = partial(_refused, settings), partial(_untouched, settings, inputs)
    found = [Case(f"weights: {name}", partial(refused, make, weights)) for name, make in weight_files(inputs)]
    for kind in kinds(inputs):
        for what, text in JSON_TEXTS.items() if kind.file.endswith(".json") else ():
            check = partial(refused, partial(_json, kind, text), kind.read, what == LONG)
            found.append(Case(f"JSON: {kind.name}, {what}", check))
    found += [Case(f"overwriting: {name}", partial(untouched, make)) for name, make in PLACES.items()]
    found += [Case(f"records: {name}", partial(refused, make, read)) for name, make, read in records(inputs)]
    found += [Case(f"path: {name}", partial(_path, settings, inputs, name)) for name in PATHS]
    found += [Case(f"cache: {name}", partial(_cache, settings, make)) for name, make in CACHES.items()]
    yield from settings.draw("hostile").sample(found, SLICE) if settings.slice else found


def _place(settings: Settings) -> Path:
    place = settings.folder / "hostile"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place


def _refused(settings: Settings, make: Make, read: Read, any_object: bool = False) -> Iterator[tuple]:
    place = _place(settings)
    make(place)
    ended = forked(lambda: print(read(place)), seconds=SECONDS, memory=MEMORY)
    yield "refused", ended.problem() or _must_fail(ended, any_object)


def _must_fail(ended: Ended, any_object: bool) -> str | None:
    if (
        ended.code == 0
        and not any_object
        and not {"refused", "said to be skipped"} & set(ended.out.splitlines())
    ):
        return "it is accepted"
    return None if len(ended.err) < 2000 else f"{len(ended.err)} letters are printed"


def _json(kind: Kind, text: str, place: Path) -> None:
    kind.make(place)
    min(place.glob(kind.file)).write_text(text)


# A folder that must not be emptied: what it is, and whether it is found below the folder that is named.
def documents(folder: Path) -> Path:
    """Somebody's documents."""
    folder.mkdir(parents=True)
    (folder / "letter.txt").write_text("dear")
    (folder / "best").mkdir()
    (folder / "best" / "photo.jpg").write_bytes(b"jpg")
    return folder


def repository(folder: Path) -> Path:
    """A checkout."""
    for name in (".git/objects/ab/cdef", ".git/HEAD", "src/config/a.py", "README.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text")
    return folder


def linked(target: Path, folder: Path) -> Path:
    """A link to a folder."""
    link = folder / "link"
    link.symlink_to(target)
    return link


def forged(folder: Path, written: list[str]) -> Path:
    """Documents with a marker that claims them."""
    documents(folder)
    (folder / ".bert_compression.json").write_text(
        json.dumps({"made_by": "bert compression", "written": written})
    )
    return folder


def home(folder: Path) -> Path:
    """The home folder."""
    os.environ["HOME"] = str(folder / "home")
    return documents(folder / "home")


PLACES: dict[str, Callable[[Path], Path]] = {
    "documents": lambda folder: documents(folder / "documents"),
    "a checkout": lambda folder: repository(folder / "project"),
    "a .git folder": lambda folder: repository(folder / "project") / ".git",
    "a folder in .git": lambda folder: repository(folder / "project") / ".git" / "objects",
    "src of a checkout": lambda folder: repository(folder / "project") / "src",
    "a folder of checkouts": lambda folder: repository(folder / "all" / "project").parent,
    "a link to documents": lambda folder: linked(documents(folder / "documents"), folder),
    "a link to a checkout": lambda folder: linked(repository(folder / "project"), folder),
    "the home folder": home,
    "the parent of the home folder": lambda folder: home(folder / "all").parent,
    "~/.cache": lambda folder: documents(home(folder) / ".cache"),
    "a folder in the home folder": lambda folder: documents(home(folder) / "thesis"),
    "a marker that claims all": lambda folder: forged(folder / "documents", ["*"]),
    "a marker that claims folders": lambda folder: forged(
        folder / "documents", ["*/*", "letter.txt", "best"]
    ),
    "a marker that leads out": lambda folder: forged(folder / "all" / "documents", ["../../*"]),
    "a marker that names others' files": lambda folder: forged(folder / "documents", ["letter.txt"]),
}


def _untouched(settings: Settings, inputs: Inputs, make: Callable[[Path], Path]) -> Iterator[tuple]:
    for command in (writers.prepare_into, writers.convert_into):
        before_home = os.environ.get("HOME", "")
        place = _place(settings)
        try:
            folder = make(place)
            before = snapshot(place)
            ended = forked(partial(command, inputs, folder), seconds=SECONDS)
            after = snapshot(place)
        finally:
            os.environ["HOME"] = before_home
        lost = [name for name in before if after.get(name) != before[name]]
        problem = f"it deletes {lost[0]}" if lost else ended.problem()
        yield command.__name__, problem or (None if ended.code else "it writes there")


def records(inputs: Inputs) -> list[tuple[str, Make, Callable[[Path], object]]]:
    """Hostile records, by name."""

    def changed(write: Callable[[Path], object], place: Path) -> None:
        shutil.copytree(inputs.records(), place, dirs_exist_ok=True)
        file = place / "train.tfrecord"
        content = file.read_bytes()
        file.unlink()
        write(file)
        if not file.exists() and not file.is_symlink():
            file.write_bytes(content)

    def frame(length: int) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(struct.pack("<QI", length, 0) + bytes(100))

    files: dict[str, Callable[[Path], object]] = {
        "a frame of 2^40 bytes": frame(1 << 40),
        "a frame of 2^64 - 1 bytes": frame((1 << 64) - 1),
        "an empty file": lambda path: path.write_bytes(b""),
        "a FIFO": os.mkfifo,
        "a folder": Path.mkdir,
        "a link to itself": lambda path: path.symlink_to(path),
        "text": lambda path: path.write_text("sentence\tlabel\n" * 99),
        "/dev/zero": lambda path: path.symlink_to("/dev/zero"),
    }
    return [(name, partial(changed, write), records_in) for name, write in files.items()]


PATHS = {
    "a link": lambda place: linked(place / "target", place),
    "a link to nothing": lambda place: linked(place / "none" / "none", place),
    "a file": lambda place: _file(place / "file"),
    "below a file": lambda place: _file(place / "file") / "folder",
    "a name of 255 letters": lambda place: place / ("n" * 255),
    "a name of 300 letters": lambda place: place / ("n" * 300),
    "a path of 5,000 letters": lambda place: place.joinpath(*["n" * 99] * 50),
    "a line break": lambda place: place / "two\nlines",
    "a comma": lambda place: place / "a,b",
    "a colon": lambda place: place / "a:b",
    "a quote": lambda place: place / "a'b\"c",
    "bytes that are no text": lambda place: place / os.fsdecode(b"\xff\xfe"),
    "emoji": lambda place: place / "\U0001f600",
    "a leading dash": lambda place: place / "-rf",
    "a FIFO": lambda place: _fifo(place / "fifo"),
    "/dev/null": lambda place: Path("/dev/null"),
    "below /proc": lambda place: Path("/proc/none/folder"),
    "a link to itself": lambda place: _loop(place / "loop"),
}


def _file(path: Path) -> Path:
    path.write_text("mine")
    return path


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


def _path(settings: Settings, inputs: Inputs, name: str) -> Iterator[tuple]:
    for command in (writers.prepare_into, writers.convert_into):
        place = _place(settings)
        (place / "target").mkdir()
        folder = PATHS[name](place)
        was_link = os.path.islink(folder)
        ended = forked(partial(command, inputs, folder), seconds=SECONDS)
        problem = ended.problem()
        if not problem and was_link and not os.path.islink(folder):
            problem = "the link is replaced by a folder"
        if not problem and ended.code == 0 and not any(folder.glob("*.json")):
            problem = "exit code 0, but nothing is there"
        if name == "a file" and (place / "file").read_text() != "mine":
            problem = "the file is changed"
        yield command.__name__, problem


def _cache(settings: Settings, make: Callable[[Path, Path], object]) -> Iterator[tuple]:
    """A library planted in the cache folder of kernels is not loaded."""
    if not shutil.which("g++"):
        return
    place = _place(settings)
    clean = place / "clean"
    clean.mkdir(mode=0o700)

    def path_in(base: Path) -> None:
        os.environ["XDG_CACHE_HOME"] = str(base)
        from src.kernels import build

        path = build.library_path()
        build.check_loads(path)
        print(path)

    built = forked(partial(path_in, clean), seconds=SECONDS * 5)
    if built.code:
        raise RuntimeError(built.err)
    library = Path(built.out.strip().splitlines()[-1])
    cache = place / "cache"
    planted = cache / library.relative_to(clean)
    planted.parent.mkdir(parents=True)
    source = place / "planted.c"
    attack = f'void f(void) {{ creat("{place}/attacked", 0600); }}'
    source.write_text(f"#include <fcntl.h>\n__attribute__((constructor)) {attack}\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", planted, source], check=True)
    make(cache, planted)
    ended = forked(partial(path_in, cache), seconds=SECONDS * 5)
    yield "planted", "the library is loaded" if (place / "attacked").exists() else ended.problem()


def _everybody(cache: Path, planted: Path) -> None:
    for folder in (cache, *planted.parents):
        if cache in (folder, *folder.parents):
            folder.chmod(0o777)


def _others_file(cache: Path, planted: Path) -> None:
    if os.getuid() == 0:
        os.chown(planted, 65534, 65534)
    else:
        planted.chmod(0o666)


def _others_folder(cache: Path, planted: Path) -> None:
    if os.getuid() == 0:
        os.chown(planted.parent, 65534, 65534)
    else:
        planted.parent.chmod(0o777)


def _others_link(cache: Path, planted: Path) -> None:
    target = cache.parent / "elsewhere.so"
    planted.rename(target)
    target.chmod(0o666)
    planted.symlink_to(target)


def _truncated(cache: Path, planted: Path) -> None:
    library = next((cache.parent / "clean").rglob("*.so"))
    planted.write_bytes(library.read_bytes()[:5000])


CACHES: dict[str, Callable[[Path, Path], None]] = {
    "folders of mode 0777": _everybody,
    "a file of another owner": _others_file,
    "a folder of another owner": _others_folder,
    "a link to a file that all may write": _others_link,
    "a truncated library": _truncated,
}
