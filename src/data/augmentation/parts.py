"""The finished parts of a long augmentation: kept beside its output until all are there, then joined.

A part is two files: what it adds to the output, and a note with its rows' hashes and counts. The lines come
last and whole: where they are, the part is finished.
"""

import contextlib
import shutil
import zipfile
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...files import atomic_path, read_json, write_json
from ...output_dir import delete_matching, first_foreign

JOB_FILE = "job.json"
WRITTEN = (JOB_FILE, "part-*.txt", "part-*.npz")


class Parts:
    """The folder of the parts of one job; the first part that is written makes it.

    `job` {name: value} is all that decides the output. Parts of another job are replaced with `overwrite`,
    else a UserError.
    """

    def __init__(self, folder, job, overwrite=False):
        self.folder, self.job = Path(folder), job
        begun = read_json(self.folder / JOB_FILE) if (self.folder / JOB_FILE).is_file() else None
        differing = [name for name in job if begun is not None and begun.get(name) != job[name]]
        self.begun = begun is not None and not differing
        if begun is None and self.folder.exists() and _holds_files(self.folder):
            raise UserError(f"{self.folder}, the place for the parts, holds other files; move them away")
        foreign = first_foreign(self.folder, WRITTEN) if differing and overwrite else None
        if foreign:
            raise UserError(
                f"{self.folder} holds {foreign}, which is no part, so nothing in it is deleted; "
                "move that away"
            )
        if differing and not overwrite:
            name = differing[0]
            raise UserError(
                f"{self.folder} holds parts that an interrupted run made with {name} {begun.get(name)}, not "
                f"{job[name]}; give its flags to go on, or --overwrite_output_file to delete them"
            )

    def finished(self, number):
        """True when part `number` is there."""
        return self.begun and self._lines(number).is_file()

    def write(self, number, lines, hashes, counts):
        """Keep a part: its lines of text, the hashes of its rows and its counts {name: int}."""
        if not self.begun:
            if self.folder.is_dir():
                delete_matching(self.folder, WRITTEN)
            write_json(self.folder / JOB_FILE, self.job)
            self.begun = True
        with atomic_path(self._note(number)) as path, open(path, "wb") as file:
            np.savez(file, hashes=np.asarray(hashes, np.uint64), **counts)
        with atomic_path(self._lines(number)) as path, open(path, "w", encoding="utf-8", newline="") as file:
            file.writelines(lines)

    def note(self, number):
        """(hashes [rows] uint64, counts {name: int}) of a finished part."""
        try:
            with np.load(self._note(number), allow_pickle=False) as note:
                values = {name: note[name] for name in note.files}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f"{self._note(number)} cannot be read ({error}); delete {self.folder}") from None
        return values.pop("hashes"), {name: int(value) for name, value in values.items()}

    def join(self, output, first_lines, count):
        """Write `output`: the lines of an iterable, then those of parts 0 to count - 1."""
        with atomic_path(output) as path:
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.writelines(first_lines)
            with open(path, "ab") as file:
                for number in range(count):
                    with open(self._lines(number), "rb") as part:
                        shutil.copyfileobj(part, file)
        delete_matching(self.folder, WRITTEN)
        with contextlib.suppress(OSError):  # somebody has put another file there meanwhile
            self.folder.rmdir()

    def _lines(self, number):
        return self.folder / f"part-{number:05d}.txt"

    def _note(self, number):
        return self.folder / f"part-{number:05d}.npz"


def _holds_files(folder):
    # A hidden file is a job.json that a killed run was just writing.
    return not folder.is_dir() or any(path.name[0] != "." for path in folder.iterdir())
