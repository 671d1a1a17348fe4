"""--matmul_precision: oneDNN's own switch between float32 and bfloat16 inputs of matrix products.

And how fast these are. oneDNN reads the variable when the process computes its first product; what came
before decides for good.
"""

import functools
import os
import subprocess
import sys
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import ops

from ..errors import UserError

VARIABLE = "ONEDNN_DEFAULT_FPMATH_MODE"
MODES = {"fp32": "STRICT", "bf16": "BF16"}
SIZE = 256  # smaller products may stay in float32 whatever the mode
# Of a product of 8-bit mantissas some entry is off by more than this, of one of 24 bits none is.
ROUNDED = 1e-3
RATED_SIZE, RATED_PRODUCTS, RATED_SECONDS = 1024, 4, 0.5
ROOT = Path(__file__).resolve().parents[len(__name__.split(".")) - 1]  # where the package is imported from


def set_matmul_precision(config, target):
    """Make the products of this process what `config.matmul_precision` says, on the device `target`.

    Raises UserError for bf16 where the device is no CPU, where oneDNN does not round on this processor, and
    when the process has computed in the other way before.
    """
    if config.matmul_precision == "bf16" and target != "CPU":
        raise UserError(f"--matmul_precision bf16 is for MindSpore on a CPU, not for {target}; leave it out")
    wanted, before = MODES[config.matmul_precision], os.environ.get(VARIABLE)
    if target != "CPU" or (wanted == "STRICT" and before in (None, "STRICT")):
        return
    os.environ[VARIABLE] = wanted
    if products_are_rounded() == (wanted == "BF16"):
        return
    os.environ[VARIABLE] = MODES["fp32" if wanted == "BF16" else "bf16"]
    if wanted == "BF16" and not bf16_is_there():
        raise UserError(
            "--matmul_precision bf16: oneDNN does not round float32 products to bfloat16 on this processor "
            "(python -m src.tools.doctor shows it); leave the flag out"
        )
    raise UserError(
        f"--matmul_precision {config.matmul_precision}: this process has computed products in the other "
        "precision before; start a new one"
    )


@functools.cache
def bf16_is_there():
    """Whether oneDNN rounds products to bfloat16 on this processor when it is asked to.

    A processor's list of instructions does not tell: with avx512_bf16 alone some round and some do not. So a
    fresh process computes a product, which takes a few seconds. False where that process fails.
    """
    code = f"from {__name__} import products_are_rounded; print(products_are_rounded())"
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, VARIABLE: MODES["bf16"], "PYTHONPATH": path}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.split()[-1:] == ["True"]


def products_are_rounded():
    """Whether MindSpore's float32 products on this CPU round what they multiply."""
    draw = np.random.default_rng(0)
    left, right = (draw.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(2))
    product = ops.MatMul()(ms.Tensor(left), ms.Tensor(right)).asnumpy()
    exact = left.astype(np.float64) @ right.astype(np.float64)
    return bool(np.abs(product - exact).max() > ROUNDED * np.abs(exact).max())


def matmul_rate(number_type="float32"):
    """Operations a second of the framework's matrix products, in the precision that this process computes in.

    The best of a few rounds of square products, with as many threads as everything else here has.
    """
    draw = np.random.default_rng(0)
    numbers = draw.standard_normal((2, RATED_SIZE, RATED_SIZE)).astype(number_type)
    left, right, product = ms.Tensor(numbers[0]), ms.Tensor(numbers[1]), ops.MatMul(transpose_b=True)
    product(left, right)[:1].asnumpy()
    best, end = float("inf"), time.perf_counter() + RATED_SECONDS
    while (began := time.perf_counter()) < end:
        for _ in range(RATED_PRODUCTS):
            result = product(left, right)
        result[:1].asnumpy()  # a device that works in the background is waited for
        best = min(best, time.perf_counter() - began)
    return RATED_PRODUCTS * 2 * RATED_SIZE**3 / best
