"""Training graphs compile for GPU; cuda_stand_ins.py describes what this does and does not verify."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from tests.device.cuda_stand_ins import missing_tools, write_libraries

ROOT = Path(__file__).resolve().parents[2]
CONTROL = """
import mindspore as ms
from mindspore import ops

ms.set_context(mode=ms.GRAPH_MODE)
ms.set_device("GPU")


class MatMul(ms.nn.Cell):
    def construct(self, x):
        return ops.matmul(x, x)


MatMul()(ms.Tensor([[1.0]], ms.bfloat16))
"""


@pytest.fixture(scope="module")
def cuda(tmp_path_factory):
    """Environment variables that make MindSpore compile for a GPU."""
    if missing_tools():
        pytest.skip(f"needs {' and '.join(missing_tools())}")
    return write_libraries(tmp_path_factory.mktemp("cuda") / "home")


def compile_only(cuda, *arguments):
    command = [sys.executable, "-m", "tests.device.compile_only", *map(str, arguments)]
    environment = {**os.environ, "GLOG_v": "3", **cuda}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory, vocabulary):
    rates = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    folder = tmp_path_factory.mktemp("model") / "with_dropout"
    return tiny.write_model(folder, vocabulary, tiny.TINY.replace(**rates))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_fine_tuning_with_dropout(cuda, model, sst2, tmp_path, dtype):
    flags = tiny.flags(
        task_name="SST-2",
        load_pretrained_path=model,
        train_data_dir=sst2,
        eval_data_dir=sst2,
        device_target="GPU",
        dtype=dtype,
        compute_type=dtype,
        length_buckets="off",
        output_dir=tmp_path / "out",
    )
    result = compile_only(cuda, "run_finetune.py", *flags)
    assert "compiled TrainStep for GPU" in result.stdout, result.stderr[-2000:]


def test_operator_without_a_gpu_kernel_fails(cuda, tmp_path):
    """Negative control: the stubs do not accept everything."""
    (tmp_path / "control.py").write_text(CONTROL)
    result = compile_only(cuda, tmp_path / "control.py")
    assert result.returncode == 1 and "compiled" not in result.stdout
    assert "MatMul" in result.stderr
