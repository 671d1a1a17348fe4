"""Complete trainings in PyTorch with the flags of this project's stages: fine-tuning and task distillation.

Batches, learning rates, decay, clipping and losses are those of the stages; the optimizer is
torch.optim.AdamW, the model transformers' BERT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import BertForSequenceClassification

from benchmarks.subjects.pytorch_tinybert import TinyBert, load_bert
from src.config.finetune_config import FinetuneConfig
from src.config.td_config import TaskDistillConfig
from src.config.train_config import TrainConfig
from src.data.dataloader import Batch, SortedDataLoader
from src.data.splits import make_loader, read_split, sample_rows
from src.distill.layer_map import parse_layer_map
from src.metrics import best_of, task_metrics
from src.tasks import TaskSpec
from src.train.optimizer import polynomial_schedule
from src.weights.huggingface import PROJECTION

NO_DECAY = ("bias", "LayerNorm.weight")


def finetune(config: FinetuneConfig) -> BertForSequenceClassification:
    """The model that run_finetune.py trains with this config."""
    model = load_bert(config.load_pretrained_path)

    def loss(batch: Sequence[Tensor], labels: Tensor) -> Tensor:
        ids, segments, mask = batch
        logits = model(input_ids=ids, token_type_ids=segments, attention_mask=mask).logits
        return cross_entropy(logits, labels, reduction="none")

    model.train()
    epochs = config.epoch_size
    _train([model], loss, _batches(config, epochs, epochs), config.learning_rate, config)
    return model


def distill(config: TaskDistillConfig) -> BertForSequenceClassification:
    """The student that run_task_distill.py trains with this config, from load_gd_ckpt_path."""
    start = Path(config.load_gd_ckpt_path)
    teacher, student = load_bert(config.load_teacher_ckpt_path), load_bert(start)
    layers = student.config.num_hidden_layers, teacher.config.num_hidden_layers
    network = TinyBert(teacher, student, parse_layer_map("uniform", *layers))
    weights = load_file(start / "model.safetensors")
    network.projection.load_state_dict(
        {name.removeprefix(PROJECTION): v for name, v in weights.items() if name.startswith(PROJECTION)}
    )
    epochs = config.td_phase1_epoch_size, config.td_phase2_epoch_size
    phases = (
        (network.intermediate, epochs[0], config.learning_rate),
        (network.prediction, epochs[1], config.phase2_learning_rate),
    )
    for losses, count, rate in phases:

        def loss(batch: Sequence[Tensor], labels: Tensor, losses: Callable = losses) -> Tensor:
            # A mean over the batch: the rows that fill the last one count, as one row in hundreds.
            return sum(losses(batch), torch.zeros(())).expand(len(labels))

        _train([student, network.projection], loss, _batches(config, count, max(epochs)), rate, config)
    return student


def evaluate(model: nn.Module, task: TaskSpec, config: TrainConfig) -> float:
    """The task's metric on the dev rows of eval_data_dir."""
    model.eval()
    dataset = read_split(config, config.eval_data_dir, "dev")
    logits = np.zeros((dataset.rows, len(task.labels)), np.float32)
    for batch in SortedDataLoader(dataset, 32).epoch():
        ids, segments, mask = (torch.from_numpy(column.astype(np.int64)) for column in batch[:3])
        with torch.no_grad():
            outputs = model(input_ids=ids, token_type_ids=segments, attention_mask=mask)
        logits[batch.rows] = outputs.logits.numpy()
    return best_of(task, task_metrics(task, logits, dataset.labels))


def _batches(config: TrainConfig, epochs: int, bucket_epochs: int) -> Iterator[Batch]:
    """The batches of a run with this config, in its order."""
    dataset = sample_rows(read_split(config, config.train_data_dir, "train"), config.max_rows, print)
    loader = make_loader(dataset, config, config.batch_size, config.do_shuffle, bucket_epochs)
    for epoch in range(epochs):
        yield from loader.epoch(epoch)


def _train(
    modules: Sequence[nn.Module],
    loss: Callable[[Sequence[Tensor], Tensor], Tensor],
    batches: Iterable[Batch],
    learning_rate: float,
    config: TrainConfig,
) -> None:
    """Train with AdamW at the rates of this project's schedule, whose peak is `learning_rate`."""
    listed, parameters = list(batches), [p for module in modules for p in module.named_parameters()]
    groups = [
        {"params": [p for name, p in parameters if not name.endswith(NO_DECAY)]},
        {"params": [p for name, p in parameters if name.endswith(NO_DECAY)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, eps=config.eps, weight_decay=config.weight_decay)
    decay = (config.end_learning_rate, config.power, config.warmup_ratio, config.decay_from)
    for rate, batch in zip(polynomial_schedule(len(listed), learning_rate, *decay), listed, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        columns = [torch.from_numpy(column.astype(np.int64)) for column in batch[:3]]
        by_row = loss(columns, torch.from_numpy(batch.labels.astype(np.int64)))
        optimizer.zero_grad()
        (by_row * torch.from_numpy(batch.weights)).mean().backward()
        nn.utils.clip_grad_norm_([p for _, p in parameters], config.clip_norm)
        optimizer.step()
