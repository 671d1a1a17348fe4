"""--matmul_precision: oneDNN's own switch between float32 and bfloat16 inputs of matrix products.

And how fast these are. oneDNN reads the variable when the process computes its first product; what came
before decides for good.
"""

import os
import time

import mindspore as ms
import numpy as np
from mindspore import ops

from src.errors import UserError
from src.infer.machine import instructions

VARIABLE = "ONEDNN_DEFAULT_FPMATH_MODE"
MODES = {"fp32": "STRICT", "bf16": "BF16"}
NEEDED = ("avx512_bf16", "amx_bf16")
SIZE = 256  # smaller products may stay in float32 whatever the mode
# Of a product of 8-bit mantissas some entry is off by more than this, of one of 24 bits none is.
ROUNDED = 1e-3
RATED_SIZE, RATED_PRODUCTS, RATED_SECONDS = 1024, 4, 0.5


def check_matmul_precision(config, computes_with="CPU"):
    """Raise UserError when `config.matmul_precision` is bf16 and `computes_with` or this CPU cannot do it."""
    if config.matmul_precision == "fp32":
        return
    if computes_with != "CPU":
        raise UserError(
            f"--matmul_precision bf16 is for MindSpore on a CPU, not for {computes_with}; leave it out"
        )
    if not set(NEEDED) & set(instructions()):
        raise UserError(
            f"--matmul_precision bf16: this processor has neither {' nor '.join(NEEDED)}; leave the flag out"
        )


def set_matmul_precision(config, target):
    """Make the products of this process what `config.matmul_precision` says, on the device `target`.

    Raises UserError as check_matmul_precision, and when the process has computed in the other way before.
    """
    check_matmul_precision(config, target)
    wanted, before = MODES[config.matmul_precision], os.environ.get(VARIABLE)
    if target != "CPU" or (wanted == "STRICT" and before in (None, "STRICT")):
        return
    os.environ[VARIABLE] = wanted
    if products_are_rounded() != (wanted == "BF16"):
        os.environ[VARIABLE] = MODES["fp32" if wanted == "BF16" else "bf16"]
        raise UserError(
            f"--matmul_precision {config.matmul_precision}: this process has computed products in the other "
            "precision before; start a new one"
        )


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
