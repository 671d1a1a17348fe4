"""--matmul_precision: bf16 where the processor has it, a sentence elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.config.train_config import DeviceConfig
from src.errors import UserError
from src.infer.machine import instructions
from src.stages import matmul_precision

ROOT = Path(__file__).resolve().parents[2]
HAS_BF16 = set(matmul_precision.NEEDED) & set(instructions())
# Wide enough for the products to leave float32; what is printed are the states of both layers.
SCRIPT = """
import sys
import numpy as np
from mindspore import Tensor
from src.config.bert_config import BertConfig
from src.config.train_config import DeviceConfig
from src.model.bert import BertBody
from src.model.names import named_parameters
from src.stages.kernels import equip_device

device = equip_device(DeviceConfig(device_target="CPU", matmul_precision=sys.argv[1], kernels="off"), print)
config = BertConfig(vocab_size=100, hidden_size=256, num_hidden_layers=2, num_attention_heads=4,
                    intermediate_size=512, max_position_embeddings=64)
network, draw = BertBody(config, device.layers), np.random.default_rng(0)
for name, parameter in named_parameters(network).items():
    centre = 1.0 if name.endswith("LayerNorm.weight") else 0.0
    parameter.set_data(Tensor((centre + 0.05 * draw.standard_normal(parameter.shape)).astype(np.float32)))
ids = draw.integers(5, 100, (8, 64)).astype(np.int32)
states = network.set_train(False)(Tensor(ids), Tensor(ids * 0), Tensor(ids * 0 + 1))[1]
np.save(sys.argv[2], np.stack([state.asnumpy() for state in states]))
"""


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.delenv(matmul_precision.VARIABLE, raising=False)


@pytest.mark.skipif(not HAS_BF16, reason="this processor has no bf16 instructions")
def test_results_differ_by_a_rounding_to_8_bits_and_not_more(tmp_path, environment):
    (tmp_path / "states.py").write_text(SCRIPT)
    states = {}
    for precision in ("fp32", "bf16"):
        file, environment = tmp_path / f"{precision}.npy", {"PYTHONPATH": str(ROOT), "GLOG_v": "3"}
        command = [sys.executable, str(tmp_path / "states.py"), precision, str(file)]
        subprocess.run(command, check=True, env={**os.environ, **environment})
        states[precision] = np.load(file)
    difference = states["bf16"] - states["fp32"]
    shares = np.sqrt((difference**2).mean((1, 2)) / (states["fp32"] ** 2).mean((1, 2)))
    # bf16 has 8 bits: rounding errors of up to 2^-9 each, averaged over a row and added over the products.
    assert (shares[1:] > 2**-12).all() and (shares < 2**-7).all(), shares
    # Before the first layer there is no product but, in plain operators, the means of LayerNorm.
    assert shares[0] < 2**-12, shares


def test_a_processor_without_it(monkeypatch, environment):
    monkeypatch.setattr(matmul_precision, "instructions", lambda: ["avx2"])
    with pytest.raises(UserError, match="neither avx512_bf16 nor amx_bf16"):
        matmul_precision.set_matmul_precision(DeviceConfig(matmul_precision="bf16"), "CPU")
    assert matmul_precision.VARIABLE not in os.environ
    matmul_precision.set_matmul_precision(DeviceConfig(), "CPU")


def test_another_device(environment):
    with pytest.raises(UserError, match="not for Ascend"):
        matmul_precision.set_matmul_precision(DeviceConfig(matmul_precision="bf16"), "Ascend")


@pytest.mark.skipif(not HAS_BF16, reason="this processor has no bf16 instructions")
def test_a_process_that_computed_in_fp32_stays_with_it(environment, graph_mode):
    assert not matmul_precision.products_are_rounded()
    with pytest.raises(UserError, match="start a new one"):
        matmul_precision.set_matmul_precision(DeviceConfig(matmul_precision="bf16"), "CPU")
    assert not matmul_precision.products_are_rounded()
