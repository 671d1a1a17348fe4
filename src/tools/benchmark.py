"""python -m src.tools.benchmark: compare size, latency and throughput of several models in one run."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
import os
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import ModelConfig
from ..config.fields import NOT_NEGATIVE, POSITIVE, flag, required_flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig(ModelConfig):
    """Compare size, latency and throughput of several models, measured in turn in one run."""

    models: str = required_flag(
        "named model folders, the baseline first: big=DIR,small=DIR; random:PRESET or random:PRESET:int8 "
        "instead of DIR: an ONNX file of that size with random weights (bert-base, 4L-312, ...)"
    )
    output_dir: str = flag("output/benchmark", "folder for benchmark.json, table.md and the plot")
    threads: int = flag(0, "threads per model (0: one per available core)", check=NOT_NEGATIVE)
    lengths: str = flag(
        "", "sequence lengths, separated by commas (default: 16,64,128, up to the models' positions)"
    )
    batch_size: int = flag(32, "batch size for the throughput", check=POSITIVE)
    repeats: int = flag(100, "timed single-text calls per model and length", check=POSITIVE)
    batches: int = flag(10, "timed batches per model and length", check=POSITIVE)
    overwrite_output_dir: bool = flag(False, "delete files that an earlier run wrote to output_dir")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    config = parse(BenchmarkConfig, argv, prog=command_line("benchmark")).config
    # MindSpore and the kernels read it when they are loaded, in the import below.
    os.environ["OMP_NUM_THREADS"] = str(config.threads or len(os.sched_getaffinity(0)))
    from ..stages.evaluation.benchmark import benchmark

    benchmark(config)


if __name__ == "__main__":
    run_main(main)
