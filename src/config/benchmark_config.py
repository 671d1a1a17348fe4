"""Flags of python -m src.tools.benchmark."""

import dataclasses

from .fields import NOT_NEGATIVE, POSITIVE, flag, required_flag
from .train_config import DeviceConfig


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
