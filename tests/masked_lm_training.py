"""python -m tests.masked_lm_training: train a head of masked language modelling, so that a real one is there.

A model folder without the head and plain text -> a folder that transformers opens as BertForMaskedLM. After
minutes on a CPU the head is weak, but what it predicts comes from text.
"""

import argparse
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from src.config.bert_config import BertConfig
from src.config.data_config import DeviceConfig
from src.config.train_config import TrainConfig
from src.data.tokenization.tokenizer import load_tokenizer
from src.errors import run_main
from src.model.masked_lm import BertMaskedLM
from src.model.state_dict import named_parameters, weight_arrays
from src.stages.model.device import setup_device
from src.stages.model.masked_lm import POOLER
from src.train.optimizer import adam_weight_decay, bias_corrected, polynomial_schedule
from src.train.train_step import LossScale, TrainStep
from src.weights.huggingface import write_directory
from src.weights.reader import read_weights

ATTENTION_MASK_VALUE = 0.15


class MaskedLMLoss(nn.Cell):
    """Cross-entropy at the masked places.

    Construct: input_ids, token_type_ids, attention_mask [B, S], places, targets [P], weights [P] with the sum
    1 -> loss, (loss,).
    """

    def __init__(self, network):
        super().__init__()
        self.network = network

    def construct(self, input_ids, token_type_ids, attention_mask, places, targets, weights):
        logits = self.network(input_ids, token_type_ids, attention_mask, places)
        losses = ops.logsumexp(logits, 1) - ops.gather_elements(logits, 1, targets.reshape(-1, 1)).reshape(-1)
        loss = (losses * weights).sum()
        return loss, (loss,)


def masked_batch(rows, length, draw, tokenizer):
    """Arrays of MaskedLMLoss of lists of ids (without [CLS] and [SEP]); BERT's 80, 10 and 10 %."""
    count = len(rows) * max(1, round(ATTENTION_MASK_VALUE * length))
    ids, types, mask = np.zeros((3, len(rows), length), np.int32)
    places, targets = [], []
    for number, row in enumerate(rows):
        row = row[: length - 2]
        ids[number, : len(row) + 2] = [tokenizer.cls_id, *row, tokenizer.sep_id]
        mask[number, : len(row) + 2] = 1
        for place in draw.permutation(len(row))[: max(1, round(ATTENTION_MASK_VALUE * len(row)))] + 1:
            places.append(number * length + place)
            targets.append(ids[number, place])
            kind = draw.random()
            if kind < 0.9:
                word = draw.integers(5, len(tokenizer.vocab))
                ids[number, place] = tokenizer.vocab["[MASK]"] if kind < 0.8 else word
    weights = np.zeros(count, np.float32)
    weights[: len(places)] = 1 / len(places)
    filled = [np.array([*values, *[0] * (count - len(values))], np.int32) for values in (places, targets)]
    return ids, types, mask, *filled, weights


def copy_body(network, arrays):
    """Give a BertMaskedLM those of `arrays` {Hugging Face name: array} that it has; its head is new."""
    for name, parameter in named_parameters(network).items():
        if name in arrays:
            parameter.set_data(ms.Tensor(arrays[name]))


def train(network, rows, tokenizer, steps, batch_size=32, length=24, rate=3e-4):
    """Train and return the loss of every step. `rows` are lists of ids."""
    config = TrainConfig()
    schedule = bias_corrected(polynomial_schedule(steps, rate, 1e-6, 1.0, 0.1))
    loss = MaskedLMLoss(network)
    optimizer = adam_weight_decay(loss.trainable_params(), schedule, config)
    step = TrainStep(loss, optimizer, LossScale(1024, 2, 500), config.clip_norm)
    step.set_train(True)
    draw, losses, begun = np.random.default_rng(1), [], time.perf_counter()
    for number in range(steps):
        chosen = [rows[i] for i in draw.integers(0, len(rows), batch_size)]
        batch = masked_batch(chosen, length, draw, tokenizer)
        losses.append(float(step(*map(ms.Tensor, batch))[0].asnumpy()))
        if number % 50 == 49:
            print(
                f"step {number + 1}, loss {np.mean(losses[-50:]):.3f}, {time.perf_counter() - begun:.0f} s",
                flush=True,
            )
    network.set_train(False)
    return losses


def write(folder, network, config, tokenizer_dir):
    """The model folder, without the pooler, which was not trained."""
    arrays = {name: array for name, array in weight_arrays(network).items() if not name.startswith(POOLER)}
    described = {**config.to_json_dict(), "architectures": ["BertForMaskedLM"]}
    write_directory(folder, arrays, described, tokenizer_dir)


def sentences(path):
    """The lines of a text file, of a TSV the first column, without headings and its header."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    if Path(path).suffix == ".tsv":
        return [line.split("\t")[0].strip() for line in lines[1:]]
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("=")]


def main(argv=None):
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
    copy_body(network, read_weights(flags.model_dir).arrays)
    train(network, rows, tokenizer, flags.steps)
    write(flags.output_dir, network, config, flags.model_dir)


if __name__ == "__main__":
    run_main(main)
