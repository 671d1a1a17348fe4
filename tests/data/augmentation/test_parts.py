"""Parts of an augmentation: damaged ones are refused, and a folder that another process writes."""

import multiprocessing
import shutil

import numpy as np

from src.data.augmentation.parts import Parts
from src.errors import UserError

JOB = {"seed": 1}


def write_part(folder):
    parts = Parts(folder, JOB)
    parts.write(0, ["a b\n", "c\n"], np.arange(2, dtype=np.uint64), {"rows": 2})
    return parts


def test_a_flipped_bit_in_a_part(tmp_path):
    """At fc5fcf9 a changed line went into the augmented file."""
    write_part(tmp_path / "parts")
    draw = np.random.default_rng(0)
    for name in ("part-00000.txt", "part-00000.npz"):
        for _ in range(30):
            copy = shutil.copytree(tmp_path / "parts", tmp_path / "copy")
            data = bytearray((copy / name).read_bytes())
            data[draw.integers(len(data))] ^= 1 << draw.integers(8)
            (copy / name).write_bytes(data)
            try:
                parts = Parts(copy, JOB)
                hashes, counts = parts.read(0)
                parts.join(tmp_path / "out", [], 1)
                assert hashes.tolist() == [0, 1] and counts == {"rows": 2}
                assert (tmp_path / "out").read_text() == "a b\nc\n"
            except UserError as error:
                assert name in str(error)
            shutil.rmtree(copy, ignore_errors=True)


def resume(folder, queue):
    try:
        Parts(folder, JOB)
    except UserError as error:
        queue.put(str(error))


def test_a_second_process_is_refused(tmp_path):
    """At fc5fcf9 it deleted the parts of the first."""
    folder = tmp_path / "parts"
    parts = write_part(folder)
    queue = multiprocessing.get_context("spawn").Queue()
    other = multiprocessing.get_context("spawn").Process(target=resume, args=(folder, queue))
    other.start()
    other.join()
    said = queue.get(timeout=10)
    assert said.startswith(f"another process is writing to {folder}; wait for it or stop it, or give another")
    assert parts.finished(0)
