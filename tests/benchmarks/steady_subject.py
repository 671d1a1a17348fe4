"""A subject of the benchmarks that always takes as long: nothing is computed."""

from src.errors import UserError

SECONDS = {"step": 0.9, "first": 0.3, "later": 0.09, "phase2": 0.08, "phase1": 1.0}


class Steady:
    """A side of a comparison, whichever its options are of: bf16 is refused."""

    def __init__(self, **options):
        own = options.get("flags", {})
        if own.get("matmul_precision") == "bf16":
            raise UserError("this processor has no bf16")
        self.seconds = SECONDS if own else {"phase1": 1.0, "phase2": 0.8}
        self.faster = 2 if options.get("fused") else 1

    def prepare(self, phases, warm_up):
        """Nothing to do."""
        described = f"{phases}, {warm_up} steps"
        return {"counts": {"64": 2}, "compile": {"phase 1, 64": 0.26}, "described": described}

    def run(self, task, steps):
        """`steps` steps, or ten."""
        return {"steps": [["64", self.seconds[task] / self.faster]] * (steps or 10), "rest": 0.0}
