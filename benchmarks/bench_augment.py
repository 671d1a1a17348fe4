"""python -m benchmarks.bench_augment: throughput of augmentation, in batches and one word at a time.

Three methods process the same rows with the same model and random draws, and their copies are compared:
  batches     as in src.tools.augment
  one         one sentence, one masked word and one word's neighbors at a time
  published   as `one`, and as in TinyBERT's script: the model in PyTorch with predictions at every token of
              the sentence, all predictions for a word and all its similarities sorted
The methods run in turn, --repeats times each, after their graphs are compiled. Prints medians of wall-clock
time and of processor time, which is less affected by other jobs on the machine.
"""

import argparse
import copy
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from src.data.augmentation.glove import load_glove
from src.data.augmentation.masked_contexts import Context
from src.data.augmentation.neighbors import WordTable, neighbors_in, unit_rows
from src.data.augmentation.word_replacement import ReplacementParams, augment_rows
from src.data.augmentation.words import Word
from src.data.dataloader import choose_buckets
from src.errors import UserError, run_main
from src.infer.masked_lm import MaskedLMPredictor, bucketed
from src.stages.augmentation.augment import PART_ROWS
from src.stages.augmentation.candidates import Candidates, WordStats
from src.stages.augmentation.sources import MAX_BUCKETS, AugmentResources
from src.stages.augmentation.text import text_of
from src.stages.model.device import setup_device
from src.stages.model.masked_lm import WORDS
from src.tools.augment import AugmentConfig, resolve

FindNeighbors = Callable[[Word], dict[str, tuple[str, ...]]]


class PublishedPredictor:
    """transformers' BertForMaskedLM behind MaskedLMPredictor's interface, one context at a time.

    Predicts the ids `words` alone; returns the `count` most probable ones.
    """

    def __init__(self, model: str, words: np.ndarray, count: int) -> None:
        from transformers import BertForMaskedLM

        self.network = BertForMaskedLM.from_pretrained(model).eval()
        self.count = count
        self.excluded = np.setdiff1d(np.arange(self.network.config.vocab_size), words)

    def __call__(self, contexts: Sequence[Context]) -> np.ndarray:
        return np.concatenate([self._predict(*context) for context in contexts])

    def _predict(self, ids: Sequence[int], first_length: int, position: int) -> np.ndarray:
        import torch

        with torch.no_grad():
            types = torch.tensor([[0] * first_length + [1] * (len(ids) - first_length)])
            logits = self.network(torch.tensor([ids]), token_type_ids=types).logits[0, position]
            logits[self.excluded] = -torch.inf
            return torch.argsort(logits, descending=True, stable=True)[None, : self.count].numpy()


class OneByOne(Candidates):
    """Candidates computed for a single word at a time, without a cache."""

    def __init__(
        self,
        batched: Candidates,
        predictor: MaskedLMPredictor | PublishedPredictor,
        find_neighbors: FindNeighbors,
    ) -> None:
        super().__init__(batched.pieces, predictor, {}, batched.count)
        self.find_neighbors = find_neighbors

    def __call__(self, texts: Sequence[tuple[str, Sequence[Word]]]) -> list[list[Sequence[str]]]:
        return [[self._candidates(text, word) for word in words] for text, words in texts]

    def _candidates(self, text: str, word: Word) -> Sequence[str]:
        ((context,),) = self.pieces.contexts([(text, [word])])
        if context is None:
            return self.find_neighbors(word).get(word.key, ())
        return self._others(word, self.masked_words([context])[0])


def full_sort(table: WordTable, count: int) -> FindNeighbors:
    """Return a function that finds the neighbors of one word by sorting its similarities to all words."""
    count = min(count, len(table.words) - 1)  # the word itself is excluded

    def find_neighbors(word: Word) -> dict[str, tuple[str, ...]]:
        row = table.row_of.get(word.key)
        if row is None:
            return {}
        similarities = table.vectors @ table.vectors[row]
        similarities[row] = -np.inf
        order = np.argsort(-similarities, kind="stable")[:count]
        return {word.key: tuple(table.words[index] for index in order)}

    return find_neighbors


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Inputs of every method: rows [(number, values)], the columns with texts, random draws and models.

    `buckets` are the lengths that method `one` pads to, those of a run over the complete file.
    """

    rows: list[tuple[int, list[str]]]
    columns: list[int]
    params: ReplacementParams
    batched: Candidates
    table: WordTable
    model: str
    buckets: list[int]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print; --json also writes the results. All other flags are those of src.tools.augment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=PART_ROWS, help="number of rows of the task's file")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each method")
    parser.add_argument("--json", default="", help="output file for the results")
    flags, augment_flags = parser.parse_known_args(argv)
    inputs = read_inputs(resolve(augment_flags), flags.rows)
    results = measure(inputs, methods(inputs), flags.repeats)
    if flags.json:
        with open(flags.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=2)


def read_inputs(config: AugmentConfig, count: int) -> Inputs:
    """Read the first `count` rows and the models that `config` names."""
    text = text_of(config)
    resources = AugmentResources(config, text.task)
    if not resources.predicts:
        raise UserError("the benchmark needs --mlm_model with a masked language modeling head")
    rows = [(number, values) for number, (values, _) in enumerate(islice(text.all_rows(), count))]
    stats, full_stats = WordStats(resources.pieces), WordStats(resources.pieces)
    stats.add([column for _, values in rows for column in text.texts(values)])
    # The shapes of batches are those of a run over the complete file.
    full_stats.add([column for values, _ in text.all_rows() for column in text.texts(values)])
    stats.lengths = full_stats.lengths
    batched = resources.candidates(stats, setup_device(config, print), Path(config.data_dir))
    if config.glove_file:
        table = load_glove(config.glove_file, config.data_dir)
    else:
        table = multi_piece_words(resources, stats)
    params = ReplacementParams(config.copies, config.probability, config.seed)
    buckets = choose_buckets(stats.context_lengths(), config.max_seq_length, MAX_BUCKETS, epochs=1)
    return Inputs(rows, text.columns, params, batched, table, config.mlm_model, buckets)


def multi_piece_words(resources: AugmentResources, stats: WordStats) -> WordTable:
    """Build the table that neighbors_by_pieces searches for words of several pieces."""
    tokenizer, embeddings = resources.pieces.tokenizer, resources.embedded.arrays[WORDS]
    encoded = zip(stats.words, tokenizer.encode(list(stats.words.values())), strict=True)
    means = {key: embeddings[ids].mean(axis=0) for key, ids in encoded if tokenizer.unk_id not in ids}
    return WordTable(list(means), unit_rows(np.stack(list(means.values()))))


def methods(inputs: Inputs) -> dict[str, Callable[[], Candidates]]:
    """Return {name: factory of the method's Candidates}; the time of the factory counts too."""
    predictor, count = inputs.batched.masked_words, inputs.batched.count
    single = copy.copy(predictor)
    single.batch_size, single.batching = 1, bucketed(inputs.buckets, 1)
    published = PublishedPredictor(inputs.model, predictor.words, predictor.count)

    def batches() -> Candidates:
        neighbors = neighbors_in(inputs.table, list(inputs.batched.neighbors), count)
        return Candidates(inputs.batched.pieces, predictor, neighbors, count)

    def one() -> Candidates:
        return OneByOne(inputs.batched, single, lambda word: neighbors_in(inputs.table, [word.key], count))

    def as_published() -> Candidates:
        return OneByOne(inputs.batched, published, full_sort(inputs.table, count))

    return {"batches": batches, "one": one, "published": as_published}


def measure(
    inputs: Inputs, factories: dict[str, Callable[[], Candidates]], repeats: int
) -> dict[str, dict[str, float]]:
    """Run the methods in turn; prints and returns {method: results}, as `report` names them."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in factories}
    copies: dict[str, list] = {}
    for factory in factories.values():
        # Compile the graph of each shape; further calls warm up the processor.
        for length in inputs.buckets * 3:
            factory().masked_words([((1,) * length, length, 1)])
    for _ in range(repeats):
        for name, factory in factories.items():
            wall, processor = time.perf_counter(), time.process_time()
            copies[name] = augment_rows(inputs.rows, inputs.columns, inputs.params, factory())
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    medians = {
        name: [statistics.median(column) for column in zip(*runs, strict=True)]
        for name, runs in times.items()
    }
    return {name: report(name, copies, medians[name], medians["batches"]) for name in factories}


def report(
    name: str, copies: dict[str, list], times: Sequence[float], batched_times: Sequence[float]
) -> dict[str, Any]:
    """Print and return the results of one method; times are (wall-clock, processor) seconds."""
    seconds, processor_seconds = times
    ratio, processor_ratio = (own / batched for own, batched in zip(times, batched_times, strict=True))
    counts = [len(row) for row in copies[name]]
    same = [row == batched for row, batched in zip(copies[name], copies["batches"], strict=True)]
    results = {
        "seconds": seconds,
        "processor_seconds": processor_seconds,
        "rows_a_second": len(counts) / seconds,
        "copies_a_second": sum(counts) / seconds,
        "ratio": ratio,
        "processor_ratio": processor_ratio,
        "rows_with_the_same_copies": sum(same) / len(same),
    }
    print(
        f"{name:<10} {results['rows_a_second']:8.1f} rows/s, {results['copies_a_second']:9.1f} copies/s; "
        f"{ratio:6.2f} times the time of batches, {processor_ratio:6.2f} times its processor time; "
        f"same copies in {results['rows_with_the_same_copies']:.1%} of {len(counts)} rows",
        flush=True,
    )
    return results


if __name__ == "__main__":
    run_main(main)
