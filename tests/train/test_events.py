"""TensorBoard's curves do not bring PyTorch into a run."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("before", ["", "import torch; "])
def test_pytorch_stays_as_it_was(before, tmp_path):
    if before:
        pytest.importorskip("torch")
    code = (
        f"{before}import sys; was = sys.modules.get('torch'); from src.train.events import event_writer; "
        f"event_writer({str(tmp_path)!r}).close(); assert sys.modules.get('torch') is was"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
