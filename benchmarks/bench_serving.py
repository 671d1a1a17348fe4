"""python -m benchmarks.bench_serving: benchmark models of src.tools.benchmark against BERT in PyTorch.

The peer is transformers' BertForSequenceClassification in float32 with random weights; `--peer` sets its
size. All other flags are those of python -m src.tools.benchmark. Ratios are relative to the peer. Requires
requirements-dev.txt.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from src.config.cli import parse
from src.errors import run_main
from src.tools.benchmark import BenchmarkConfig

if TYPE_CHECKING:
    import numpy as np

    from src.stages.evaluation.benchmark import Subject


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark that the command line describes."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--peer", default="bert-base")
    flags, rest = parser.parse_known_args(argv)
    config = parse(BenchmarkConfig, rest, prog="python -m benchmarks.bench_serving [--peer PRESET]").config
    os.environ["OMP_NUM_THREADS"] = str(config.threads or len(os.sched_getaffinity(0)))
    from src.stages.evaluation.benchmark import benchmark, thread_count

    benchmark(config, [pytorch_peer(flags.peer, thread_count(config))])


def pytorch_peer(preset: str, threads: int) -> Subject:
    """Return the benchmark Subject of a randomly initialized BERT in PyTorch."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from src.stages.evaluation.benchmark import Subject
    from src.stages.evaluation.random_model import random_config
    from src.weights.huggingface import weight_count

    torch.set_num_threads(threads)
    config = random_config(preset)
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    model = BertForSequenceClassification(
        BertConfig(**{size: getattr(config, size) for size in sizes})
    ).eval()

    @torch.inference_mode()
    def predict(input_ids: np.ndarray, token_type_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        inputs = map(torch.from_numpy, (input_ids, attention_mask, token_type_ids))
        return model(*inputs).logits.numpy()

    megabytes = 4 * weight_count(config) / 1e6
    name = f"torch {preset}"
    return Subject(
        name, predict, "PyTorch", "fp32", megabytes, config.vocab_size, config.max_position_embeddings
    )


if __name__ == "__main__":
    run_main(main)
