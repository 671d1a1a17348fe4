"""Report of this machine's properties and one small training step, to paste into a bug report."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...machine import describe_machine

if TYPE_CHECKING:
    from ...tools.doctor import DoctorConfig


def doctor(config: "DoctorConfig") -> dict[str, str]:
    """Print and return {fact: value}; checks that fail are part of the report."""
    facts = describe_machine()
    for name, value in facts.items():
        print(f"{name:<14} {value}", flush=True)
    checks: dict[str, Callable[[], str]] = {
        "GPU": lambda: device("GPU"),
        "Ascend": lambda: device("Ascend"),
        "bf16 products": bf16_products,
    }
    if config.train_step:
        checks["training step"] = lambda: trial_step(config)
    for name, check in checks.items():
        facts[name] = run_check(check)
        print(f"{name:<14} {facts[name]}", flush=True)
    return facts


def run_check(check: Callable[[], str]) -> str:
    """The result of `check()`, or its error: any failure belongs in the report."""
    try:
        return check()
    except Exception as error:
        return f"failed: {type(error).__name__}: {error}"


# The checks import late: the report is needed most where mindspore itself cannot be imported.
def device(target: str) -> str:
    """Whether --device_target works with `target` here."""
    from ...train.device import unavailable_reason

    reason = unavailable_reason(target)
    return f"no: {reason}" if reason else "yes"


def bf16_products() -> str:
    """Whether --matmul_precision bf16 works on this processor, and in which library."""
    from ...kernels.build import KernelsUnavailable, library_path
    from ...kernels.operators import has_bf16_products
    from ...train.matmul_precision import bf16_supported

    if bf16_supported():
        return "yes, by oneDNN"
    try:
        if has_bf16_products(str(library_path())):
            return "yes, by the C++ kernels"
    except KernelsUnavailable as reason:
        return f"no: oneDNN computes them in float32 on this processor, and {reason}"
    return "no: they are computed in float32 on this processor"


def trial_step(config: "DoctorConfig") -> str:
    """The time of a training step."""
    from .trial_step import time_trial_step

    return time_trial_step(config)
