"""The kernels of this checkout, built once for all tests."""

import pytest

from src.kernels.build import NoKernels
from src.kernels.build import library as built


@pytest.fixture(scope="session")
def library():
    """Path of the compiled kernels."""
    try:
        return built()
    except NoKernels as reason:
        pytest.skip(str(reason))
