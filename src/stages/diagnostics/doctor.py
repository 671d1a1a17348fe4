"""What this machine offers and one tiny training step on it, to paste into a bug report."""

from ...machine import describe_machine


def doctor(config):
    """Print a line for each fact and for a training step; a step that fails is a fact too. Returns them."""
    facts = describe_machine()
    for name, value in facts.items():
        print(f"{name:<14} {value}", flush=True)
    asked = {"bf16 products": bf16_products}
    if config.train_step:
        asked["training step"] = lambda: trial_step(config)
    for name, ask in asked.items():
        facts[name] = outcome(ask)
        print(f"{name:<14} {facts[name]}", flush=True)
    return facts


def outcome(ask):
    """What `ask()` answers, or why it has no answer: whatever goes wrong is what the report is for."""
    try:
        return ask()
    except Exception as error:
        return f"failed: {type(error).__name__}: {error}"


# Imported in these two: where mindspore itself does not load, the rest of the report is all the more wanted.
def bf16_products():
    """Whether --matmul_precision bf16 works here."""
    from ...train.matmul_precision import bf16_is_there

    return "yes" if bf16_is_there() else "no: oneDNN computes them in float32 on this processor"


def trial_step(config):
    """The time of a training step."""
    from .trial_step import time_trial_step

    return time_trial_step(config)
