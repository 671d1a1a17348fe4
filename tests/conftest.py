"""What every test needs: the skip of tests whose reference is absent, and the tiny models they share."""

import importlib.util
import signal

import pytest

from tests import tiny

REFERENCES = ("torch", "transformers")


def pytest_configure():
    # Started in the background of a script the tests, and all that they start, would be deaf to Ctrl+C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    missing = [name for name in REFERENCES if importlib.util.find_spec(name) is None]
    if not missing:
        return
    skip = pytest.mark.skip(reason=f"needs {' and '.join(missing)}: scripts/run_tests.sh --with-reference")
    for item in items:
        if "reference" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def graph_mode():
    """MindSpore in graph mode on the CPU, as the stages run it."""
    from src.config.data_config import DeviceConfig
    from src.train.device import select_device

    return select_device(DeviceConfig(device_target="CPU"))


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory):
    """A folder with the tokenizer files of the tiny vocabulary."""
    return tiny.write_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="session")
def sst2(tmp_path_factory, vocabulary):
    """SST-2 records of 40 training and 13 evaluation rows."""
    texts = {"train": tiny.single_rows(40, 1), "dev": tiny.single_rows(13, 2)}
    return tiny.prepare_task(tmp_path_factory.mktemp("sst2"), vocabulary, "SST-2", texts)


@pytest.fixture(scope="session")
def library():
    """Path of the compiled kernels; built once for all tests."""
    from src.kernels.build import KernelsUnavailable
    from src.kernels.build import library as built

    try:
        return built()
    except KernelsUnavailable as reason:
        pytest.skip(str(reason))
