"""Mutated files of every kind: the same result, or one sentence."""

import glob
import json
import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..forks import GB, Ended, forked
from ..inputs import Inputs
from ..outcomes import Case, Settings
from .kinds import Kind, kinds

FIGURE = "files"
MUTATIONS = 160
MEMORY = 3 * GB
SECONDS = 120
SLICE = ("tfrecord", "model.safetensors of a run", "tokenizer.json", "rank table")
NASTY = (
    None, True, -1, 0, 1.5, 2**40, 2**63, 10**40, float("inf"), float("nan"), "", "x" * 100_000, "../../etc",
    "\x00", "\ud800", [], {}, [[]], {"": {}}, [None],
)  # fmt: skip
DIGITS = b"9" * 5000
DEEP = b"[" * 100_000


def cases(settings: Settings) -> Iterator[Case]:
    """A case for each kind."""
    inputs = Inputs(settings.folder / "inputs")
    for kind in kinds(inputs):
        if not settings.slice or kind.name in SLICE:
            yield Case(kind.name, partial(_check, settings, kind))


def _check(settings: Settings, kind: Kind) -> Iterator[tuple[str, str | None]]:
    intact, place = settings.folder / "intact", settings.folder / "place"
    shutil.rmtree(intact, ignore_errors=True)
    intact.mkdir()
    made = forked(partial(kind.make, intact))
    if made.code:
        raise RuntimeError(f"{kind.name} cannot be made: {made}")
    (file,) = glob.glob(str(intact / kind.file))[:1]
    name = str(Path(file).relative_to(intact))
    whole = _read(kind, intact, place)
    if whole.code:
        raise RuntimeError(f"an intact {kind.name} is refused: {whole}")
    content = Path(file).read_bytes()
    draw = settings.draw("files", kind.name)
    for number in range(settings.count(MUTATIONS, 8)):
        how, changed = mutated(content, draw)
        if changed == content:
            continue
        ended = _read(kind, intact, place, name, changed)
        yield f"mutation {number}, {how}", judged(kind, ended, whole)


def judged(kind: Kind, ended: Ended, whole: Ended) -> str | None:
    """What is wrong with the end of a reader of a changed file."""
    problem = ended.problem()
    said = "said to be skipped" in ended.out or ended.err != whole.err
    if not problem and ended.code == 0 and kind.ours and ended.out != whole.out and not said:
        return "another result, in silence"
    return problem


def _read(kind: Kind, intact: Path, place: Path, name: str = "", content: bytes = b"") -> Ended:
    # Always in the same place, since some results contain their path.
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(intact, place)
    if name:
        (place / name).write_bytes(content)

    def read() -> None:
        print(kind.read(place))

    return forked(read, seconds=SECONDS, memory=MEMORY)


def mutated(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """(what was done, a changed content)."""
    if draw.random() < 0.5:
        changed = _json_mutated(content, draw)
        if changed:
            return changed
    how = draw.choice(sorted(WAYS))
    return how, WAYS[how](content, draw, draw.randrange(len(content) + 1))


def _flip(content: bytes, draw: random.Random, at: int) -> bytes:
    at = min(at, len(content) - 1)
    return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]


WAYS = {
    "a flipped bit": _flip,
    "cut": lambda content, draw, at: content[:at],
    "a byte more": lambda content, draw, at: content[:at] + bytes([draw.randrange(256)]) + content[at:],
    "a block less": lambda content, draw, at: content[:at] + content[at + draw.randint(1, 64) :],
    "a block twice": lambda content, draw, at: content[: at + draw.randint(1, 64)] + content[at:],
    "a block of zeros": lambda content, draw, at: content[:at] + bytes(32) + content[at + 32 :],
    "a block of 255": lambda content, draw, at: content[:at] + b"\xff" * 8 + content[at + 8 :],
    "many digits": lambda content, draw, at: content[:at] + DIGITS + content[at:],
    "many brackets": lambda content, draw, at: content[:at] + DEEP + content[at:],
    "appended bytes": lambda content, draw, at: content + draw.randbytes(draw.randint(1, 64)),
}


def _json_mutated(content: bytes, draw: random.Random) -> tuple[str, bytes] | None:
    """A JSON file with one value replaced or one key less; None for other files."""
    try:
        value = json.loads(content)
    except ValueError:
        return None
    places = list(_places(value))
    if not places:
        return None
    *way, last = draw.choice(places)
    holder = value
    for key in way:
        holder = holder[key]
    shown = "/".join(map(str, (*way, last)))
    if draw.random() < 0.25:
        del holder[last]
        return f"without {shown}", json.dumps(value).encode()
    nasty = draw.choice(NASTY)
    holder[last] = nasty
    return f"{shown} = {repr(nasty)[:30]}", json.dumps(value).encode()


def _places(value: object) -> Iterator[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (key,)
        yield from ((key, *more) for more in _places(inner))
