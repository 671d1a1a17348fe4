"""Time one training step of a two-layer BERT on random rows."""

import dataclasses
import statistics
import time

import mindspore as ms
import numpy as np

from ...config.bert_config import BertConfig
from ...config.data_config import DeviceConfig
from ...config.train_config import TrainConfig
from ...distill.network import DistillNetwork
from ...distill.objective import label_terms
from ...model.bert import BertClassifier
from ...train.distributed import Ranks
from ...train.optimizer import polynomial_schedule
from ...train.train_step import TrainStep
from ..model.device import DeviceSetup, setup_device
from ..training.fit import train_step

ROWS, LENGTH, STEPS = 8, 16, 20
BERT = BertConfig(
    vocab_size=1000,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=128,
    labels=("0", "1"),
)


def time_trial_step(config: DeviceConfig) -> str:
    """Compile and time the step on the device of a DeviceConfig; returns the result as text."""
    device = setup_device(config, print)
    step, batch = trial_step(device), trial_batch()
    losses, times = [], []
    for _ in range(1 + STEPS):
        start = time.perf_counter()
        losses.append(float(step(*batch)[0].asnumpy()))
        times.append(time.perf_counter() - start)
    return (
        f"{1000 * statistics.median(times[1:]):.1f} ms on {device.target} after {times[0]:.1f} s of "
        f"compiling, loss {losses[0]:.4f} to {losses[-1]:.4f} in {STEPS} steps"
    )


def trial_step(device: DeviceSetup) -> TrainStep:
    """The TrainStep of a small randomly initialized classifier."""
    bert = dataclasses.replace(BERT, dtype=device.dtype, compute_type=device.compute_type)
    network = DistillNetwork(BertClassifier(bert, device.layers), label_terms("classification"))
    schedule = polynomial_schedule(1 + STEPS, 1e-3, 0.0, 1.0, 0.0)
    return train_step(network, schedule, TrainConfig(), device, 1, Ranks())


def trial_batch() -> tuple[ms.Tensor, ...]:
    """input_ids, token_type_ids, attention_mask [B, S], labels, weights [B] of random rows."""
    ids = np.random.default_rng(1).integers(1, BERT.vocab_size, (ROWS, LENGTH)).astype(np.int32)
    labels = np.arange(ROWS, dtype=np.int32) % 2
    columns = (ids, np.zeros_like(ids), np.ones_like(ids), labels, np.ones(ROWS, np.float32))
    return tuple(map(ms.Tensor, columns))
