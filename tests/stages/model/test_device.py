"""Which layers a run computes with, and that the choice does not show in its results."""

import os
import subprocess
import sys

import mindspore as ms
import numpy as np

from src.config.data_config import DeviceConfig
from src.model.bert import BertClassifier
from src.model.layers import FLOAT_LAYERS
from src.model.state_dict import load_strict
from src.stages.model.device import choose_library, kernel_parts
from src.train.device import Device
from tests import tiny

CPU = Device("CPU", "float32", "float32")


def test_plain_where_kernels_cannot_act(monkeypatch, tmp_path):
    said = []
    assert choose_library(DeviceConfig(kernels="off"), CPU, said.append) is None
    assert choose_library(DeviceConfig(), Device("GPU", "float32", "float16"), said.append) is None
    assert said == []
    half = Device("CPU", "float32", "float16")
    assert choose_library(DeviceConfig(), half, said.append) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert choose_library(DeviceConfig(), CPU, said.append, tmp_path / "cache") is None
    assert len(said) == 2 and all(line.startswith("kernels: plain operators (") for line in said)


def test_plain_where_the_kernels_cannot_be_loaded(monkeypatch, tmp_path):
    """A folder may forbid programs, or hold what another machine has built: MindSpore would end the run."""
    compiler, said = tmp_path / "compiler", []
    written = 'while [ "$#" -gt 0 ]; do [ "$1" = -o ] && echo no library > "$2"; shift; done'
    compiler.write_text(f"#!/bin/sh\n{written}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert choose_library(DeviceConfig(), CPU, said.append, tmp_path / "cache") is None
    assert len(said) == 1 and said[0].startswith("kernels: plain operators (the kernels cannot be loaded (")


def test_same_model_with_and_without(graph_mode, library):
    """The tiny BERT with both kinds of layers: the same parameter names, logits, states and scores."""
    kinds = kernel_parts(library)["layers"], FLOAT_LAYERS
    networks = [BertClassifier(tiny.TINY, kind).set_train(False) for kind in kinds]
    names = [[name for name, _ in network.parameters_and_names()] for network in networks]
    assert names[0] == names[1]
    for network in networks:
        load_strict(network, tiny.random_arrays(tiny.TINY), "random")
    batch = tuple(map(ms.Tensor, tiny.token_batch()))
    results = [network(*batch) for network in networks]
    for place in range(3):
        pairs = [r[place] if isinstance(r[place], tuple) else (r[place],) for r in results]
        for ours, theirs in zip(*pairs, strict=True):
            np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), atol=2e-5)


def test_entry_points_ask_openmp_to_wait_quietly():
    """OpenMP reads its environment when it is loaded: an entry point speaks before that."""
    program = (
        "from src.errors import run_main\n"
        "def main():\n"
        "    assert 'gomp' not in open('/proc/self/maps').read()\n"
        "    import mindspore\n"
        "run_main(main)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    environment["OMP_DISPLAY_ENV"] = "true"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    policies = [line for line in done.stderr.splitlines() if "OMP_WAIT_POLICY" in line]
    assert policies and all("PASSIVE" in line for line in policies), done.stderr
