"""Both kinds of operators that quantizers compute with."""

import pytest

from src.quant.quantizers import PLAIN
from src.stages.model.device import kernel_parts


@pytest.fixture(params=["plain", "kernels"])
def operators(request, graph_mode):
    """The plain operators, then the C++ kernels."""
    if request.param == "plain":
        return PLAIN
    return kernel_parts(request.getfixturevalue("library"))["quantizers"]
