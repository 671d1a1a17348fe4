"""python -m src.tools.benchmark: size, latency and throughput of several models, measured in turn."""

import os

from ..config.benchmark_config import BenchmarkConfig
from ..config.cli import parse
from ..errors import run_main


def main(argv=None):
    """Measure as the command line says."""
    config = parse(BenchmarkConfig, argv, prog="python -m src.tools.benchmark").config
    # Read by MindSpore and by the kernels when they are loaded, which is now.
    os.environ["OMP_NUM_THREADS"] = str(config.threads or len(os.sched_getaffinity(0)))
    from ..stages.evaluation.benchmark import benchmark

    benchmark(config)


if __name__ == "__main__":
    run_main(main)
