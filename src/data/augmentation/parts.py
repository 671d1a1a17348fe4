"""Finished parts of a long augmentation, stored next to its output until they can be joined.

A part consists of two files: its lines of the output, and an archive with the hashes and counts of its rows.
The lines are written last and atomically: a part with lines is complete. The archive has their digest.
"""

import contextlib
import hashlib
import io
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...digests import require_digest
from ...errors import UserError
from ...files import atomic_path, folder_lock, reading, write_json
from ...json_reader import read_object
from ...output_dir import delete_matching, first_foreign

JOB_FILE = "job.json"
# In the order in which they are deleted: at any moment the rest are parts of this job, finished or not.
WRITTEN = ("part-*.txt", "part-*.npz", JOB_FILE)
LINES = "lines_sha256"  # key of an archive


class Parts:
    """Folder of the parts of one job, created with the first part.

    `job` {name: value} is everything that determines the output. Parts of another job are replaced with
    `overwrite`, otherwise they raise a UserError.
    """

    def __init__(self, folder: str | Path, job: dict, overwrite: bool = False) -> None:
        self.folder, self.job = Path(folder), job
        found = (self.folder / JOB_FILE).is_file()
        previous = read_object(self.folder / JOB_FILE, {}, f"delete {self.folder}") if found else {}
        differing = [name for name in job if found and previous.get(name) != job[name]]
        self.started = found and not differing
        if not found and self.folder.exists() and _holds_files(self.folder):
            raise UserError(
                f"{self.folder}, the folder for the parts, holds other files; move them elsewhere"
            )
        foreign = first_foreign(self.folder, WRITTEN) if differing and overwrite else None
        if foreign:
            raise UserError(
                f"{self.folder} holds {foreign}, which is not a part, so nothing in it is deleted; "
                "move it elsewhere"
            )
        if differing and not overwrite:
            name = differing[0]
            raise UserError(
                f"{self.folder} holds parts of an interrupted run with {name} {previous.get(name)}, not "
                f"{job[name]}; give its flags to resume it, or --overwrite_output_file to delete them"
            )
        self._lock = contextlib.ExitStack()
        if self.started:
            self._hold_lock()

    def close(self) -> None:
        """Let other processes write the parts."""
        self._lock.close()

    def finished(self, number: int) -> bool:
        """True when part `number` is complete."""
        return self.started and self._lines(number).is_file()

    def write(self, number: int, lines: Iterable[str], hashes: np.ndarray, counts: dict[str, int]) -> None:
        """Write a part: its lines of text, the hashes of its rows and its counts {name: int}."""
        if not self.started:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._hold_lock()
            delete_matching(self.folder, WRITTEN)
            write_json(self.folder / JOB_FILE, self.job)
            self.started = True
        # In memory first: NumPy does not close its archive when the disk is full.
        archive = io.BytesIO()
        arrays = {name: np.asarray(count) for name, count in counts.items()}
        text = "".join(lines).encode()
        arrays[LINES] = np.asarray(hashlib.sha256(text).hexdigest())
        np.savez(archive, hashes=np.asarray(hashes, np.uint64), **arrays)
        with atomic_path(self._archive(number)) as path:
            path.write_bytes(archive.getbuffer())
        with atomic_path(self._lines(number)) as path:
            path.write_bytes(text)

    def read(self, number: int) -> tuple[np.ndarray, dict[str, int]]:
        """(hashes [rows] uint64, counts {name: int}) of a finished part."""
        file = self._archive(number)
        with (
            reading(file, "a part of the augmentation", f"delete {self.folder}"),
            np.load(file, allow_pickle=False) as archive,
        ):
            values = {name: archive[name] for name in archive.files}
            if LINES in values:  # absent in parts of earlier versions
                digest = str(values.pop(LINES))
                require_digest(self._lines(number), digest, file, f"delete {self.folder}")
            return values.pop("hashes"), {name: int(value) for name, value in values.items()}

    def join(self, output: str | Path, first_lines: Iterable[str], count: int) -> None:
        """Write `output`: `first_lines`, then the lines of parts 0 to count - 1."""
        with atomic_path(output) as path:
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.writelines(first_lines)
            with open(path, "ab") as file:
                for number in range(count):
                    with open(self._lines(number), "rb") as part:
                        shutil.copyfileobj(part, file)
        for name in WRITTEN:
            delete_matching(self.folder, [name])
        with contextlib.suppress(OSError):  # it holds another file
            self.folder.rmdir()

    def _hold_lock(self) -> None:
        """Lock the folder until this process ends. Raises UserError where another one has it."""
        advice = "wait for it or stop it, or give another --output_file"
        self._lock.enter_context(folder_lock(self.folder, advice))

    def _lines(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.txt"

    def _archive(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.npz"


def _holds_files(folder: Path) -> bool:
    # A hidden file is the unfinished job.json of a killed run.
    return not folder.is_dir() or any(path.name[0] != "." for path in folder.iterdir())
