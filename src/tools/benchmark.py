"""python -m src.tools.benchmark: size, latency and throughput of several models, measured in turn."""

import dataclasses
import os

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import DeviceConfig
from ..config.fields import NOT_NEGATIVE, POSITIVE, flag, required_flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig(DeviceConfig):
    """Size, latency and throughput of several models, measured in turn in one run."""

    models: str = required_flag(
        "model folders by name, the reference first: big=DIR,small=DIR; random:PRESET or random:PRESET:int8 "
        "for DIR is an ONNX file of that size with random weights (bert-base, 4L-312, ...)"
    )
    output_dir: str = flag("output/benchmark", "where benchmark.json, table.md and the plot go")
    threads: int = flag(0, "threads each model computes with (0: one a usable core)", check=NOT_NEGATIVE)
    lengths: str = flag("16,64,128", "tokens a text, a comma list")
    batch_size: int = flag(32, "texts a batch for the throughput", check=POSITIVE)
    repeats: int = flag(100, "timed calls of one text, for each model and length", check=POSITIVE)
    batches: int = flag(10, "timed batches, for each model and length", check=POSITIVE)
    overwrite_output_dir: bool = flag(False, "delete what an earlier run wrote to output_dir")


def main(argv=None):
    """Measure as the command line says."""
    config = parse(BenchmarkConfig, argv, prog=command_line("benchmark")).config
    # Read by MindSpore and by the kernels when they are loaded, which is now.
    os.environ["OMP_NUM_THREADS"] = str(config.threads or len(os.sched_getaffinity(0)))
    from ..stages.evaluation.benchmark import benchmark

    benchmark(config)


if __name__ == "__main__":
    run_main(main)
