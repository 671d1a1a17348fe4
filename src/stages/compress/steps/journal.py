"""The journal of a compression run: what is finished, so that a killed run continues where it was."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ....config.fields import check_same_flags
from ....digests import SUMS_FILE, sha256
from ....errors import UserError
from ....files import write_json
from ....json_reader import read_object

VERSION = 1
STRUCTURE = {
    "version": int,
    "flags": dict,
    "inputs": {str: str},
    "begun": {str: [str]},
    "steps": {str: dict},
    "values": dict,
}
INTERRUPTED = "interrupted"  # why a step failed that goes on in the next run
TRAININGS = ("distill", "quantize")  # how the names of steps that train begin
START_OVER = "start over with --overwrite_output_dir"


class Journal:
    """Steps that have begun {name: arguments} and ended {name: arguments, seconds, failed, digest}.

    `values` {name: JSON} are measurements. Every change is written atomically before the next step begins.
    """

    def __init__(self, path: Path, flags: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
        self.path = path
        self.content: dict[str, Any] = {
            "version": VERSION,
            "flags": {n: list(v) if isinstance(v, tuple) else v for n, v in flags.items()},
            "inputs": dict(inputs),
            "begun": {},
            "steps": {},
            "values": {},
        }

    def resume(self, free: Collection[str], defaults: Mapping[str, Any]) -> None:
        """Continue with what an interrupted run wrote; the flags `free` may differ from its own.

        `defaults` are those of the flags, some of which a run of an earlier version lacks. Raises UserError
        where there is no run, or its flags or files were others.
        """
        if not self.path.is_file():
            raise UserError(
                f"--resume: {self.path.parent} holds no run to resume ({self.path.name} is missing)"
            )
        found = read_object(self.path, STRUCTURE, START_OVER)
        if found["version"] != VERSION:
            raise UserError(f"{self.path} is of another version of this program; {START_OVER}")
        check_same_flags(found["flags"], self.content["flags"], defaults, free)
        for file, digest in self.content["inputs"].items():
            if found["inputs"].get(file, digest) != digest:
                raise UserError(f"--resume: {file} has changed since the interrupted run; {START_OVER}")
        self.content = {**found, "flags": self.content["flags"]}

    def write(self) -> None:
        """Write the file."""
        write_json(self.path, self.content)

    def begin(self, step: str, arguments: Sequence[str]) -> None:
        """Note that a step begins."""
        self.content["begun"][step] = list(arguments)
        self.write()

    def end(
        self, step: str, arguments: Sequence[str], seconds: float, failed: str | None, output: Path
    ) -> None:
        """Note a finished step, or one that was INTERRUPTED, and the digest of what it wrote."""
        seconds += self.spent(step, arguments)
        self.content["steps"][step] = {
            "arguments": list(arguments),
            "seconds": round(seconds, 2),
            "failed": failed,
            "digest": digest_of(output),
        }
        self.write()

    def has_begun(self, step: str, arguments: Sequence[str]) -> bool:
        """Whether a step began with these arguments, so that a training run can resume."""
        return self.content["begun"].get(step) == list(arguments)

    def has_trained(self) -> bool:
        """Whether the training of a student, or with rounding, has begun."""
        return any(step.startswith(TRAININGS) for step in (*self.content["begun"], *self.content["steps"]))

    def is_done(self, step: str, arguments: Sequence[str], output: Path) -> bool:
        """Whether a step succeeded with these arguments, and its output is still there."""
        entry = self.content["steps"].get(step)
        return bool(
            entry
            and entry["arguments"] == list(arguments)
            and entry["failed"] is None
            and entry["digest"] is not None
            and entry["digest"] == digest_of(output)
        )

    def spent(self, step: str, arguments: Sequence[str]) -> float:
        """The seconds of a step with these arguments that was interrupted, else 0."""
        entry = self.content["steps"].get(step, {})
        interrupted = entry.get("failed") == INTERRUPTED and entry["arguments"] == list(arguments)
        return float(entry["seconds"]) if interrupted else 0.0

    def seconds_of(self, step: str) -> float:
        """The seconds that a step took; 0 where it has not ended."""
        return float(self.content["steps"].get(step, {}).get("seconds", 0.0))

    @property
    def seconds(self) -> float:
        """The seconds of all finished steps."""
        return sum(map(self.seconds_of, self.content["steps"]))

    def get(self, name: str) -> Any:
        """A value that `put` stored, or None."""
        return self.content["values"].get(name)

    def put(self, name: str, value: Any) -> None:
        """Store a JSON value."""
        self.content["values"][name] = value
        self.write()


def digest_of(output: Path) -> str | None:
    """The SHA-256 of a folder's SHA256SUMS, or of a file; None where it does not exist."""
    file = output / SUMS_FILE if output.is_dir() else output
    return sha256(file) if file.is_file() else None
