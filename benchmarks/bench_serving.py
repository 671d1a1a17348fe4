"""python -m benchmarks.bench_serving: the models of src.tools.benchmark against BERT in PyTorch, in one run.

The peer is transformers' BertForSequenceClassification in float32 with random weights, `--peer` its size. All
other flags are those of python -m src.tools.benchmark; ratios are to the peer. It needs requirements-dev.txt.
"""

import argparse
import os

from src.config.cli import parse
from src.errors import run_main
from src.tools.benchmark import BenchmarkConfig


def main(argv=None):
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--peer", default="bert-base")
    own, rest = parser.parse_known_args(argv)
    config = parse(BenchmarkConfig, rest, prog="python -m benchmarks.bench_serving [--peer PRESET]").config
    os.environ["OMP_NUM_THREADS"] = str(config.threads or len(os.sched_getaffinity(0)))
    from src.stages.evaluation.benchmark import benchmark, thread_count

    benchmark(config, [peer(own.peer, thread_count(config))])


def peer(name, threads):
    """The Subject of a BERT in PyTorch."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from src.stages.evaluation.benchmark import Subject
    from src.stages.evaluation.random_model import random_config
    from src.weights.huggingface import weight_count

    torch.set_num_threads(threads)
    ours = random_config(name)
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    model = BertForSequenceClassification(BertConfig(**{size: getattr(ours, size) for size in sizes})).eval()

    @torch.inference_mode()
    def predict(input_ids, token_type_ids, attention_mask):
        columns = map(torch.from_numpy, (input_ids, attention_mask, token_type_ids))
        return model(*columns).logits.numpy()

    megabytes = 4 * weight_count(ours) / 1e6
    return Subject(
        f"torch {name}", predict, "PyTorch", "fp32", megabytes, ours.vocab_size, ours.max_position_embeddings
    )


if __name__ == "__main__":
    run_main(main)
