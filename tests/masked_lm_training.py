"""python -m tests.masked_lm_training: train a masked language modeling head for tests that need a real one.

Reads a model directory without the head and plain text; writes a directory that transformers loads as
BertForMaskedLM. After minutes on a CPU the head is weak, but its predictions are learned from text.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.config.bert_config import BertConfig
from src.config.data_config import DeviceConfig
from src.config.train_config import TrainConfig
from src.data.tokenization.tokenizer import TextTokenizer, load_tokenizer
from src.errors import run_main
from src.model.masked_lm import BertMaskedLM
from src.model.state_dict import named_parameters, weight_arrays
from src.stages.model.device import setup_device
from src.stages.model.masked_lm import POOLER
from src.train.optimizer import adam_weight_decay, polynomial_schedule
from src.train.train_step import LossScale, TrainStep
from src.weights.huggingface import write_directory
from src.weights.reader import read_weights

MASKED_FRACTION = 0.15  # of the tokens


class MaskedLMLoss(nn.Cell):
    """Cross-entropy at the masked positions.

    Construct: input_ids, token_type_ids, attention_mask [B, S], positions, targets [P], weights [P] with sum
    1 -> loss, (loss,).
    """

    def __init__(self, network: BertMaskedLM) -> None:
        super().__init__()
        self.network = network

    def construct(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        attention_mask: Tensor,
        positions: Tensor,
        targets: Tensor,
        weights: Tensor,
    ) -> tuple[Tensor, tuple[Tensor]]:
        logits = self.network(input_ids, token_type_ids, attention_mask, positions)
        losses = ops.logsumexp(logits, 1) - ops.gather_elements(logits, 1, targets.reshape(-1, 1)).reshape(-1)
        loss = (losses * weights).sum()
        return loss, (loss,)


def masked_batch(
    rows: Sequence[Sequence[int]], length: int, rng: np.random.Generator, tokenizer: TextTokenizer
) -> tuple[np.ndarray, ...]:
    """Build the inputs of MaskedLMLoss from lists of ids (without [CLS] and [SEP]).

    Replaces masked tokens as BERT does: 80 % by [MASK], 10 % by a random token, 10 % unchanged.
    """
    count = len(rows) * max(1, round(MASKED_FRACTION * length))
    ids, types, mask = np.zeros((3, len(rows), length), np.int32)
    positions: list[int] = []
    targets: list[int] = []
    for number, row in enumerate(rows):
        row = row[: length - 2]
        ids[number, : len(row) + 2] = [tokenizer.cls_id, *row, tokenizer.sep_id]
        mask[number, : len(row) + 2] = 1
        for position in rng.permutation(len(row))[: max(1, round(MASKED_FRACTION * len(row)))] + 1:
            positions.append(number * length + position)
            targets.append(ids[number, position])
            draw = rng.random()
            if draw < 0.9:
                random_token = rng.integers(5, len(tokenizer.vocab))
                ids[number, position] = tokenizer.vocab["[MASK]"] if draw < 0.8 else random_token
    weights = np.zeros(count, np.float32)
    weights[: len(positions)] = 1 / len(positions)
    padded = [np.array([*values, *[0] * (count - len(values))], np.int32) for values in (positions, targets)]
    return ids, types, mask, *padded, weights


def load_encoder(network: BertMaskedLM, arrays: Mapping[str, np.ndarray]) -> None:
    """Load those of `arrays` {Hugging Face name: array} that a BertMaskedLM has; the head stays as it is."""
    for name, parameter in named_parameters(network).items():
        if name in arrays:
            parameter.set_data(ms.Tensor(arrays[name]))


def train(
    network: BertMaskedLM,
    rows: Sequence[Sequence[int]],
    tokenizer: TextTokenizer,
    steps: int,
    batch_size: int = 32,
    length: int = 24,
    rate: float = 3e-4,
) -> list[float]:
    """Train on `rows` (lists of ids); returns the loss of every step."""
    config = TrainConfig()
    schedule = polynomial_schedule(steps, rate, 1e-6, 1.0, 0.1)
    loss = MaskedLMLoss(network)
    optimizer = adam_weight_decay(loss.trainable_params(), schedule, config)
    step = TrainStep(loss, optimizer, LossScale(1024, 2, 500), config.clip_norm)
    step.set_train(True)
    rng, began = np.random.default_rng(1), time.perf_counter()
    losses: list[float] = []
    for number in range(steps):
        sampled = [rows[i] for i in rng.integers(0, len(rows), batch_size)]
        batch = masked_batch(sampled, length, rng, tokenizer)
        losses.append(float(step(*map(ms.Tensor, batch))[0].asnumpy()))
        if number % 50 == 49:
            print(
                f"step {number + 1}, loss {np.mean(losses[-50:]):.3f}, {time.perf_counter() - began:.0f} s",
                flush=True,
            )
    network.set_train(False)
    return losses


def write(folder: str | Path, network: BertMaskedLM, config: BertConfig, tokenizer_dir: str | Path) -> None:
    """Write the model directory, without the pooler, which is not trained."""
    arrays = {name: array for name, array in weight_arrays(network).items() if not name.startswith(POOLER)}
    hf_config = {**config.to_json_dict(), "architectures": ["BertForMaskedLM"]}
    write_directory(folder, arrays, hf_config, tokenizer_dir)


def sentences(path: str | Path) -> list[str]:
    """Read the lines of a text file without headings, or the first column of a TSV without its header."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    if Path(path).suffix == ".tsv":
        return [line.split("\t")[0].strip() for line in lines[1:]]
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("=")]


def main(argv: Sequence[str] | None = None) -> None:
    """Train on the lines of a text and write the model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_dir", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--layers", type=int, default=0, help="keep only the first layers of the model")
    flags = parser.parse_args(argv)
    device = setup_device(DeviceConfig(), print)
    tokenizer = load_tokenizer(flags.model_dir)
    config = BertConfig.from_json(Path(flags.model_dir) / "config.json").replace(
        labels=(), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, dtype=device.dtype
    )
    if flags.layers:
        config = config.replace(num_hidden_layers=flags.layers)
    rows = [ids for ids in tokenizer.encode(sentences(flags.text)) if len(ids) > 2]
    network = BertMaskedLM(config, device.layers)
    load_encoder(network, read_weights(flags.model_dir).arrays)
    train(network, rows, tokenizer, flags.steps)
    write(flags.output_dir, network, config, flags.model_dir)


if __name__ == "__main__":
    run_main(main)
