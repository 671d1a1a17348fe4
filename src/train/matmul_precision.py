"""--matmul_precision: oneDNN's switch between float32 and bfloat16 matrix products, and their speed.

oneDNN reads the environment variable once, at the first product of the process. The switch rounds in AMX
instructions alone; on processors with avx512_bf16 only, products in bfloat16 are those of the C++ kernels.
"""

import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import ops

from ..commands import command_line
from ..config.data_config import DeviceConfig
from ..errors import UserError

VARIABLE = "ONEDNN_DEFAULT_FPMATH_MODE"
MODES = {"fp32": "STRICT", "bf16": "BF16"}
SIZE = 256  # smaller products may stay float32 in either mode
# Relative error that some element of a product of 8-bit mantissas exceeds, and none of 24-bit ones.
BF16_ERROR = 1e-3
RATE_SIZE, RATE_PRODUCTS, RATE_SECONDS = 1024, 4, 0.5
ROOT = Path(__file__).resolve().parents[len(__name__.split(".")) - 1]  # the folder to import the package from


def set_matmul_precision(config: DeviceConfig, target: str, has_kernel: bool = False) -> bool:
    """Set the precision of this process's products on the device `target` to `config.matmul_precision`.

    Returns whether bf16 needs the kernels' products, which there are with `has_kernel`, since oneDNN does not
    round MindSpore's here. Raises UserError for bf16 if the device is not a CPU or nothing rounds on this
    processor, and if the process has already computed in the other precision.
    """
    if config.matmul_precision == "bf16" and target != "CPU":
        raise UserError(f"--matmul_precision bf16 is for a CPU, not for {target}; leave it out")
    mode, before = MODES.get(config.matmul_precision, "STRICT"), os.environ.get(VARIABLE)
    if target != "CPU" or (mode == "STRICT" and before in (None, "STRICT")):
        return False
    os.environ[VARIABLE] = mode
    if products_round_to_bf16() == (mode == "BF16"):
        return False
    os.environ[VARIABLE] = MODES["fp32" if mode == "BF16" else "bf16"]
    if mode == "BF16" and has_kernel:
        return True
    if mode == "BF16" and not bf16_supported():
        raise UserError(
            "--matmul_precision bf16: oneDNN does not round float32 products to bfloat16 on this processor, "
            f"and {'--kernels is off' if config.kernels == 'off' else 'no C++ kernels do'} "
            f"({command_line('doctor')} shows what does); leave the flag out"
        )
    raise UserError(
        f"--matmul_precision {config.matmul_precision}: this process has computed products in the other "
        "precision before; start a new one"
    )


@functools.cache
def bf16_supported() -> bool:
    """Whether oneDNN can round products to bfloat16 on this processor.

    The list of instructions is not conclusive: with avx512_bf16 alone some processors round and some do not.
    So a subprocess computes a product, which takes a few seconds. False if the subprocess fails.
    """
    code = f"from {__name__} import products_round_to_bf16; print(products_round_to_bf16())"
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, VARIABLE: MODES["bf16"], "PYTHONPATH": path}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.split()[-1:] == ["True"]


def products_round_to_bf16() -> bool:
    """Whether MindSpore's float32 products round their inputs to bfloat16 in this process."""
    draw = np.random.default_rng(0)
    left, right = (draw.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(2))
    product = ops.MatMul()(ms.Tensor(left), ms.Tensor(right)).asnumpy()
    exact = left.astype(np.float64) @ right.astype(np.float64)
    return bool(np.abs(product - exact).max() > BF16_ERROR * np.abs(exact).max())


def matmul_rate(dtype: str = "float32", product: Callable | None = None, width: int = RATE_SIZE) -> float:
    """Floating-point operations per second of `product`, by default MindSpore's in this process's precision.

    The best of a few rounds of a dense layer [width, width] of RATE_SIZE rows, with the process's number of
    threads.
    """
    draw = np.random.default_rng(0)
    left, right = (
        ms.Tensor(draw.standard_normal((rows, width)).astype(dtype)) for rows in (RATE_SIZE, width)
    )
    product = product or ops.MatMul(transpose_b=True)
    product(left, right)[:1].asnumpy()
    best, end = float("inf"), time.perf_counter() + RATE_SECONDS
    while (began := time.perf_counter()) < end:
        for _ in range(RATE_PRODUCTS):
            result = product(left, right)
        result[:1].asnumpy()  # waits for an asynchronous device
        best = min(best, time.perf_counter() - began)
    return RATE_PRODUCTS * 2 * RATE_SIZE * width**2 / best
