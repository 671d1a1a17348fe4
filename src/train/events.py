"""TensorBoard's event files, without the PyTorch that their writer would bring along."""

import sys


def event_writer(folder):
    """A tensorboardX SummaryWriter in `folder`.

    Where PyTorch is installed tensorboardX imports it, to convert tensors that nobody here has: 0.13 GB of
    memory and more than a second of each start.
    """
    absent = "torch" not in sys.modules
    if absent:
        sys.modules["torch"] = None  # Python's own way to say that a module is not there
    try:
        from tensorboardX import SummaryWriter
    finally:
        if absent:
            del sys.modules["torch"]
    return SummaryWriter(str(folder), flush_secs=10)
