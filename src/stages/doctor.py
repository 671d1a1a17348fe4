"""What this machine offers and one tiny training step on it, to paste into a bug report."""

from src.infer.machine import describe_machine


def doctor(config):
    """Print a line for each fact and for a training step; a step that fails is a fact too. Returns them."""
    facts = describe_machine()
    for name, value in facts.items():
        print(f"{name:<14} {value}", flush=True)
    if config.train_step:
        facts["training step"] = outcome_of_step(config)
        print(f"{'training step':<14} {facts['training step']}")
    return facts


def outcome_of_step(config):
    """The time of a training step, or why there is none."""
    try:
        # Imported here: where mindspore itself does not load, the rest of the report is all the more wanted.
        from src.stages.trial_step import time_trial_step

        return time_trial_step(config)
    except Exception as error:  # whatever goes wrong is what the report is for
        return f"failed: {type(error).__name__}: {error}"
