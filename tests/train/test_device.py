"""Why a device target is unavailable, and what dataset sink mode does."""

import logging
from pathlib import Path

import pytest

from src.config.data_config import DeviceConfig
from src.config.finetune_config import FinetuneConfig
from src.errors import UserError
from src.train.device import Device, select_device, sink_steps, unavailable_reason

GLOB = Path.glob


@pytest.fixture
def driver(monkeypatch):
    """Pretend that device files are there."""
    files = set()

    def glob(folder, pattern):
        if str(folder) == "/dev":
            return iter([Path("/dev/null")] if pattern in files else [])
        return GLOB(folder, pattern)

    monkeypatch.setattr(Path, "glob", glob)
    return files


def nvcc(folder, text):
    (folder / "bin").mkdir()
    (folder / "bin" / "nvcc").write_text(f"#!/bin/sh\necho '{text}'\n")
    (folder / "bin" / "nvcc").chmod(0o755)
    return str(folder)


def test_without_a_driver(driver):
    assert unavailable_reason("CPU") == ""
    assert unavailable_reason("GPU").startswith("there is no /dev/nvidia0 or /dev/dxg, so no driver")
    assert unavailable_reason("Ascend").startswith("there is no /dev/davinci0, so no driver")
    with pytest.raises(UserError, match="--device_target GPU: .* there is no /dev/nvidia0"):
        select_device(DeviceConfig(device_target="GPU"))


@pytest.mark.parametrize("file", ["nvidia[0-9]*", "dxg"])
def test_without_cuda_11(driver, monkeypatch, tmp_path, file):
    driver.add(file)
    needs = "MindSpore's GPU plugin needs CUDA 11 with CUDA_HOME/bin/nvcc, and "
    monkeypatch.delenv("CUDA_HOME", raising=False)
    assert unavailable_reason("GPU") == f"{needs}CUDA_HOME is not set"
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert unavailable_reason("GPU").startswith(f"{needs}{tmp_path}/bin/nvcc does not run (")
    monkeypatch.setenv("CUDA_HOME", nvcc(tmp_path, "Cuda compilation tools, release 12.4, V12.4.131"))
    assert unavailable_reason("GPU") == f"{needs}{tmp_path}/bin/nvcc prints release 12.4"


def test_the_framework_s_own_reason(driver):
    driver.add("davinci[0-9]*")
    assert unavailable_reason("Ascend").startswith(
        "MindSpore says: Load dynamic library: libmindspore_ascend"
    )


@pytest.mark.parametrize(
    ("target", "flag", "lengths", "cached", "steps", "said"),
    [
        ("GPU", "auto", [16], False, 4, ""),
        ("GPU", "auto", [16, 32], False, 0, ""),
        ("GPU", "auto", [16], True, 0, ""),
        ("GPU", "true", [16], True, 0, "--teacher_cache off feeds the phase through the device queue"),
        ("GPU", "false", [16], False, 0, ""),
        ("CPU", "true", [16], False, 0, "it has no device queue"),
    ],
)
def test_sink_steps(caplog, target, flag, lengths, cached, steps, said):
    config = FinetuneConfig(enable_data_sink=flag, data_sink_steps=4)
    with caplog.at_level(logging.WARNING):
        assert sink_steps(config, Device(target, "float32", "float32"), lengths, 9, cached) == steps
    assert said in caplog.text and bool(said) == bool(caplog.text)
