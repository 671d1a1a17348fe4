"""Shared fixtures; skips tests that need torch and transformers where these are not installed."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import tiny

if TYPE_CHECKING:
    from src.train.device import Device

REFERENCES = ("torch", "transformers")


def pytest_configure() -> None:
    # Shells start background jobs with SIGINT ignored, and subprocesses inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
    os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "upb")  # as run_main does


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in REFERENCES if importlib.util.find_spec(name) is None]
    if not missing:
        return
    skip = pytest.mark.skip(reason=f"needs {' and '.join(missing)}: scripts/run_tests.sh --with-reference")
    for item in items:
        if "reference" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def graph_mode() -> Device:
    """Set MindSpore to graph mode on the CPU, as the stages do."""
    from src.config.data_config import DeviceConfig
    from src.train.device import select_device

    return select_device(DeviceConfig(device_target="CPU"))


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the tokenizer files of the tiny vocabulary."""
    return tiny.write_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="session")
def sst2(tmp_path_factory: pytest.TempPathFactory, vocabulary: Path) -> Path:
    """SST-2 records of 40 training and 13 evaluation rows."""
    texts = {"train": tiny.single_rows(40, 1), "dev": tiny.single_rows(13, 2)}
    return tiny.prepare_task(tmp_path_factory.mktemp("sst2"), vocabulary, "SST-2", texts)


@pytest.fixture(scope="session")
def library() -> Path:
    """Path of the compiled kernels, built once per session."""
    from src.kernels import build

    try:
        return build.library_path()
    except build.KernelsUnavailable as error:
        pytest.skip(str(error))
