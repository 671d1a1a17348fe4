"""Cases, their outcomes, and the table of figures."""

import dataclasses
import hashlib
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# The figures of the table, in its order.
FIGURES = {
    "kills": "kill -9, resume: best/, last/, losses and evaluations identical to an unbroken run",
    "saves": "kill at every system call of a save: old or new, never neither",
    "left": "the next start completes what a kill left, and deletes its temporary files",
    "errors": "ENOSPC, EIO, EROFS, EACCES at every write: one sentence, non-zero code, nothing half",
    "files": "mutated files: one sentence or the same result",
    "hostile": "hostile files and paths",
    "signals": "signals at random moments from process start on",
    "launches": "launch faults and rank tables",
    "determinism": "two runs are identical",
    "soak": "kill and resume cycles, memory and open files over 20 epochs, nothing left behind",
}
HIDDEN = (".part", ".old", ".tmp")
STARTS = (".part-", ".unpacked-", ".tmp")  # of temporary folders, and of safetensors' files


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a part is given: a folder of its own, the checkout under test, the seed and the share of cases."""

    folder: Path
    checkout: Path
    seed: int = 1
    budget: float = 1.0
    slice: bool = False

    def draw(self, *names: object) -> random.Random:
        """A generator of random numbers that depends on the seed and `names` only."""
        return random.Random("/".join(map(str, (self.seed, *names))))

    def count(self, whole: int, short: int) -> int:
        """How many of `whole` cases to try; `short` in the slice of the default tests."""
        return short if self.slice else max(1, round(whole * self.budget))


@dataclasses.dataclass(frozen=True)
class Case:
    """`check()` yields (what was tried, problem or None) once for each try that counts, the figure before it
    where it is not that of the part."""

    name: str
    check: Callable[[], Iterable[tuple]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One try of a figure; `problem` None: passed."""

    figure: str
    case: str
    tried: str
    problem: str | None = None

    def line(self) -> str:
        """As a line of JSON."""
        return json.dumps(dataclasses.asdict(self))


def outcomes(figure: str, case: Case) -> Iterator[Outcome]:
    """The outcomes of a case; an exception of the harness itself is a problem, too."""
    try:
        for *other, tried, problem in case.check():
            yield Outcome(other[0] if other else figure, case.name, tried, problem)
    except Exception as error:
        yield Outcome(figure, case.name, "harness", f"{type(error).__name__}: {error}"[:1000])


def table(found: Iterable[Outcome]) -> str:
    """The table `figure | passed of tried`."""
    found = list(found)
    lines = ["| figure | passed of tried |", "|---|---|"]
    for name, text in FIGURES.items():
        own = [outcome for outcome in found if outcome.figure == name]
        if own:
            passed = sum(outcome.problem is None for outcome in own)
            lines.append(f"| {text} | {passed:,} of {len(own):,} |")
    return "\n".join(lines)


def snapshot(folder: Path) -> dict[str, str]:
    """{relative path: digest, or what else it is} of all below a folder."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            key = str(path.relative_to(folder))
            if path.is_symlink():
                found[key] = f"link to {os.readlink(path)}"
            elif path.is_file():
                found[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def is_hidden(name: str) -> bool:
    """Whether a relative path is that of a temporary file or folder."""
    return any(part.endswith(HIDDEN) or part.startswith(STARTS) for part in name.split("/"))


def visible(found: dict[str, str]) -> dict[str, str]:
    """The entries of a snapshot that have a final name."""
    return {name: digest for name, digest in found.items() if not is_hidden(name)}


def left(found: dict[str, str]) -> list[str]:
    """The temporary files of a snapshot."""
    return sorted(name for name in found if is_hidden(name))
