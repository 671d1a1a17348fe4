"""A benchmark subject that computes nothing and reports constant step times."""

from collections.abc import Sequence
from typing import Any

from src.errors import UserError

SECONDS = {"step": 0.9, "first": 0.3, "later": 0.09, "phase2": 0.08, "phase1": 1.0}


class Steady:
    """Stands in for both Product and PyTorch; rejects bf16."""

    def __init__(self, **options: Any) -> None:
        flags = options.get("flags", {})
        if flags.get("matmul_precision") == "bf16":
            raise UserError("this processor has no bf16")
        self.seconds = SECONDS if flags else {"phase1": 1.0, "phase2": 0.8}
        self.speedup = 2 if options.get("fused") else 1

    def prepare(self, phases: Sequence[int], warm_up: int) -> dict[str, Any]:
        """Report two batches of length 64."""
        description = f"{phases}, {warm_up} steps"
        return {"counts": {"64": 2}, "compile": {"phase 1, 64": 0.26}, "description": description}

    def run(self, task: str, steps: int) -> dict[str, Any]:
        """Report `steps` steps, or ten if 0."""
        return {"steps": [["64", self.seconds[task] / self.speedup]] * (steps or 10), "rest": 0.0}
