"""--matmul_precision: bf16 where the processor supports it, an error of one sentence elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from run_finetune import main as finetune
from src.config.data_config import DeviceConfig
from src.errors import UserError, run_main
from src.kernels import operators
from src.train import matmul_precision

BF16 = DeviceConfig(matmul_precision="bf16")
ROOT = Path(__file__).resolve().parents[2]
# Wide enough for the products to leave float32; saved are the states of both layers and a gradient to which
# every product of the second layer contributes.
SCRIPT = """
import sys
import mindspore as ms
import numpy as np
from mindspore import Tensor
from src.config.bert_config import BertConfig
from src.config.data_config import DeviceConfig
from src.model.bert import BertEncoder
from src.model.state_dict import named_parameters
from src.stages.model.device import setup_device

precision, kernels, file = sys.argv[1:]
device = setup_device(DeviceConfig(device_target="CPU", matmul_precision=precision, kernels=kernels), print)
config = BertConfig(vocab_size=100, hidden_size=256, num_hidden_layers=2, num_attention_heads=4,
                    intermediate_size=512, max_position_embeddings=64)
network, draw = BertEncoder(config, device.layers), np.random.default_rng(0)
for name, parameter in named_parameters(network).items():
    center = 1.0 if name.endswith("LayerNorm.weight") else 0.0
    parameter.set_data(Tensor((center + 0.05 * draw.standard_normal(parameter.shape)).astype(np.float32)))
ids = draw.integers(5, 100, (8, 64)).astype(np.int32)
columns = Tensor(ids), Tensor(ids * 0), Tensor(ids * 0 + 1)
network.set_train(False)
weight = network.bert.encoder[1].attention.query.weight


def loss(input_ids, token_type_ids, attention_mask):
    last = network(input_ids, token_type_ids, attention_mask)[1][2]
    return (last * last * last).sum()


gradient = ms.grad(loss, None, weights=[weight])(*columns)[0]
states = network(*columns)[1]
np.savez(file, gradient=gradient.asnumpy(), **{str(n): state.asnumpy() for n, state in enumerate(states)})
"""


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.delenv(matmul_precision.VARIABLE, raising=False)


@pytest.mark.parametrize("kernels", ["off", "auto"])
def test_results_differ_by_rounding_to_8_bits_only(kernels, tmp_path, environment, request):
    has_kernel = kernels == "auto" and operators.has_bf16_products(request.getfixturevalue("library"))
    if not (has_kernel or matmul_precision.bf16_supported()):
        pytest.skip("no products in bfloat16 on this processor")
    (tmp_path / "states.py").write_text(SCRIPT)
    found = {}
    for precision in ("fp32", "bf16"):
        file, environment = tmp_path / f"{precision}.npz", {"PYTHONPATH": str(ROOT), "GLOG_v": "3"}
        command = [sys.executable, str(tmp_path / "states.py"), precision, kernels, str(file)]
        done = subprocess.run(command, check=True, env={**os.environ, **environment}, capture_output=True)
        assert b"plain operators" not in done.stdout
        found[precision] = dict(np.load(file))
    shares = {}
    for name, exact in found["fp32"].items():
        shares[name] = np.sqrt(((found["bf16"][name] - exact) ** 2).mean() / (exact**2).mean())
    # bf16 has 8 bits: rounding errors of up to 2^-9 each, averaged over a row and added over the products.
    assert all(2**-12 < shares[name] < 2**-7 for name in ("1", "2")), shares
    assert 2**-12 < shares["gradient"] < 2**-4, shares
    # Before the first layer there is no product but, in plain operators, the means of LayerNorm.
    assert shares["0"] < (2**-12 if kernels == "off" else 1e-7), shares


@pytest.fixture
def exact_processor(monkeypatch, environment):
    """A processor with bf16 instructions that oneDNN does not use: products stay float32."""
    monkeypatch.setattr(matmul_precision, "products_round_to_bf16", lambda: False)
    monkeypatch.setattr(matmul_precision, "bf16_supported", lambda: False)
    monkeypatch.setattr(operators, "has_bf16_products", lambda library: False)


def test_an_unsupported_processor(exact_processor):
    with pytest.raises(UserError, match="does not round float32 products .* on this processor"):
        matmul_precision.set_matmul_precision(BF16, "CPU")
    assert os.environ[matmul_precision.VARIABLE] == "STRICT"
    assert matmul_precision.set_matmul_precision(BF16, "CPU", has_kernel=True)
    assert not matmul_precision.set_matmul_precision(DeviceConfig(), "CPU", has_kernel=True)


def test_the_command_line_says_so(exact_processor, capsys):
    flags = ["--task_name=SST-2", "--load_pretrained_path=x", "--matmul_precision=bf16"]
    with pytest.raises(SystemExit) as stopped:
        run_main(lambda: finetune(flags))
    printed = capsys.readouterr().err
    assert stopped.value.code == 2 and "leave the flag out" in printed and "Traceback" not in printed


PRODUCT = """
import mindspore as ms
import numpy as np

x = np.full((256, 256), 1 + 2**-12, np.float32)
off = ms.ops.MatMul()(ms.Tensor(x), ms.Tensor(x)).asnumpy() / 256 - (1 + 2**-12) ** 2
print(abs(off).max() > 2**-13)
"""


def test_support_is_tested_by_a_product_in_a_subprocess(environment):
    """The result is that of a product under oneDNN's variable, and nothing changes in this process."""
    mode = {**os.environ, matmul_precision.VARIABLE: "BF16"}
    command = [sys.executable, "-c", PRODUCT]
    seen = subprocess.run(command, env=mode, capture_output=True, text=True, check=True)
    matmul_precision.bf16_supported.cache_clear()
    assert str(matmul_precision.bf16_supported()) == seen.stdout.split()[-1]
    assert matmul_precision.VARIABLE not in os.environ


def test_another_device(environment):
    with pytest.raises(UserError, match="not for Ascend"):
        matmul_precision.set_matmul_precision(DeviceConfig(matmul_precision="bf16"), "Ascend")


def test_a_process_that_computed_in_fp32_cannot_switch(monkeypatch, environment, graph_mode):
    monkeypatch.setattr(matmul_precision, "bf16_supported", lambda: True)
    assert not matmul_precision.products_round_to_bf16()
    with pytest.raises(UserError, match="start a new one"):
        matmul_precision.set_matmul_precision(DeviceConfig(matmul_precision="bf16"), "CPU")
    assert not matmul_precision.products_round_to_bf16()
