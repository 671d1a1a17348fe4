"""A short slice of each figure of docs/reliability.md; bash scripts/run_trust.sh tries all."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trust.__main__ import NEEDS_INJECTOR, PARTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("part", PARTS)
def test_a_slice(part):
    if not Path("/proc/self/fd").exists():
        pytest.skip("forks processes and reads /proc, as Linux has them")
    if part in NEEDS_INJECTOR and not shutil.which("gcc"):
        pytest.skip("needs gcc, which builds the fault injection")
    command = [sys.executable, "-m", "tests.trust", part, "--slice", "--workers=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed of tried" in done.stdout
