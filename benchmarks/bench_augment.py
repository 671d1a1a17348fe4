"""python -m benchmarks.bench_augment: rows a second of augmentation, in batches against one word at a time.

Three ways over the same rows, with the same model, draws and candidates (which is checked):
  batches     what src.tools.augment does
  one         one sentence, one masked word, one word's neighbours at a time
  published   as one, and as TinyBERT's script: the model in PyTorch, predictions at every token of the
              sentence; those of a word, and its similarities with the whole table, sorted in full
Each way is run --repeats times, in turn, after its graphs are built; medians are printed, of the time that
passed and of the processor's time, which other jobs of the machine disturb less.
"""

import argparse
import copy
import dataclasses
import json
import statistics
import time
from itertools import islice

import numpy as np

from src.data.augmentation.glove import load_glove
from src.data.augmentation.neighbors import WordTable, neighbors_in, unit_rows
from src.data.augmentation.word_replacement import Recipe, augment_rows
from src.errors import UserError, run_main
from src.stages.augmentation.augment import PART_ROWS
from src.stages.augmentation.candidates import Candidates, WordStats
from src.stages.augmentation.sources import AugmentResources
from src.stages.augmentation.text import text_of
from src.stages.model.device import setup_device
from src.stages.model.masked_lm import WORDS
from src.tools.augment import resolve


class Published:
    """BertForMaskedLM of transformers, called as MaskedLMPredictor calls ours, one at a time."""

    def __init__(self, model, refused, count):
        from transformers import BertForMaskedLM

        self.network = BertForMaskedLM.from_pretrained(model).eval()
        self.refused, self.count = refused, count

    def __call__(self, contexts):
        return np.concatenate([self._ask(*context) for context in contexts])

    def _ask(self, ids, first, place):
        import torch

        with torch.no_grad():
            types = torch.tensor([[0] * first + [1] * (len(ids) - first)])
            row = self.network(torch.tensor([ids]), token_type_ids=types).logits[0, place]
            row[self.refused] = -torch.inf
            return torch.argsort(row, descending=True, stable=True)[None, : self.count].numpy()


class OneByOne(Candidates):
    """Candidates that are asked for a single word each time; nothing is kept from one to the next."""

    def __init__(self, whole, masked_words, neighbor):
        super().__init__(whole.pieces, masked_words, {}, whole.count)
        self.neighbor = neighbor

    def __call__(self, wanted):
        return [[self._single(text, word) for word in words] for text, words in wanted]

    def _single(self, text, word):
        ((context,),) = self.pieces.contexts([(text, [word])])
        if context is None:
            return self.neighbor(word).get(word.key, ())
        return self._others(word, self.masked_words([context])[0])


def sorted_in_full(table, count):
    """The neighbours of one word by the whole list of similarities."""
    count = min(count, len(table.words) - 1)  # without the word itself, whose similarity is taken out

    def neighbor(word):
        own = table.place.get(word.key)
        if own is None:
            return {}
        similar = table.vectors @ table.vectors[own]
        similar[own] = -np.inf
        return {word.key: tuple(table.words[place] for place in np.argsort(-similar, kind="stable")[:count])}

    return neighbor


@dataclasses.dataclass(frozen=True)
class Work:
    """What every way gets: rows [(number, values)] with texts in `columns`, the draws' Recipe, the models."""

    rows: list
    columns: list
    recipe: Recipe
    whole: Candidates
    table: WordTable
    model: str


def main(argv=None):
    """Measure and print; --json also writes the figures. Further flags are those of src.tools.augment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=PART_ROWS, help="rows of the task's file")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each way")
    parser.add_argument("--json", default="", help="file for the figures")
    own, others = parser.parse_known_args(argv)
    work = read(resolve(others), own.rows)
    found = measure(work, ways_of(work), own.repeats)
    if own.json:
        with open(own.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=2)


def read(config, count):
    """The Work of the first `count` rows."""
    text = text_of(config)
    sources = AugmentResources(config, text.task)
    if not sources.predicts:
        raise UserError("the benchmark needs --mlm_model with a masked language modelling head")
    rows = [(number, values) for number, (values, _) in enumerate(islice(text.all_rows(), count))]
    survey, everything = WordStats(sources.pieces), WordStats(sources.pieces)
    survey.add([each for _, values in rows for each in text.texts(values)])
    # Padded to the lengths that a run over the whole file would have graphs for.
    everything.add([each for values, _ in text.all_rows() for each in text.texts(values)])
    survey.lengths = everything.lengths
    whole = sources.candidates(survey, setup_device(config, print), config.data_dir)
    if config.glove_file:
        table = load_glove(config.glove_file, config.data_dir)
    else:
        table = words_of_several_pieces(sources, survey)
    recipe = Recipe(config.copies, config.probability, config.seed)
    return Work(rows, text.columns, recipe, whole, table, config.mlm_model)


def words_of_several_pieces(sources, survey):
    """The table that neighbours_by_pieces searches for these words."""
    tokenizer, embeddings = sources.pieces.tokenizer, sources.embedded.arrays[WORDS]
    encoded = zip(survey.words, tokenizer.encode(list(survey.words.values())), strict=True)
    means = {key: embeddings[ids].mean(axis=0) for key, ids in encoded if tokenizer.unk_id not in ids}
    return WordTable(list(means), unit_rows(np.stack(list(means.values()))))


def ways_of(work):
    """{name: function that makes the Candidates of that way}; what the function does is part of its time."""
    asked, count = work.whole.masked_words, work.whole.count
    alone, theirs = copy.copy(asked), Published(work.model, asked.refused, asked.count)
    alone.batch_size = 1

    def batches():
        neighbors = neighbors_in(work.table, list(work.whole.neighbors), count)
        return Candidates(work.whole.pieces, asked, neighbors, count)

    def one():
        return OneByOne(work.whole, alone, lambda w: neighbors_in(work.table, [w.key], count))

    def published():
        return OneByOne(work.whole, theirs, sorted_in_full(work.table, count))

    return {"batches": batches, "one": one, "published": published}


def measure(work, ways, repeats):
    """Run every way in turn; prints and returns {way: figures}, as `report` names them."""
    times, made = {name: [] for name in ways}, {}
    for way in ways.values():
        # The graph of each length, and the processor awake.
        for size in work.whole.masked_words.buckets * 3:
            way().masked_words([((1,) * size, size, 1)])
    for _ in range(repeats):
        for name, way in ways.items():
            begun = time.perf_counter(), time.process_time()
            made[name] = augment_rows(work.rows, work.columns, work.recipe, way())
            times[name].append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in times.items()
    }
    return {name: report(name, made, medians[name], medians["batches"]) for name in ways}


def report(name, made, taken, fastest):
    """Print and return what one way came to; `taken`, `fastest`: (seconds, seconds of the processor)."""
    seconds, ratios = taken[0], [own / best for own, best in zip(taken, fastest, strict=True)]
    copies = [len(each) for each in made[name]]
    same = [one == other for one, other in zip(made[name], made["batches"], strict=True)]
    found = {
        "seconds": seconds,
        "processor_seconds": taken[1],
        "rows_a_second": len(copies) / seconds,
        "copies_a_second": sum(copies) / seconds,
        "ratio": ratios[0],
        "processor_ratio": ratios[1],
        "rows_with_the_same_copies": sum(same) / len(same),
    }
    print(
        f"{name:<10} {found['rows_a_second']:8.1f} rows a second, {found['copies_a_second']:9.1f} copies a "
        f"second; {ratios[0]:6.2f} times the time of batches, {ratios[1]:6.2f} times the processor's; the "
        f"same copies of {found['rows_with_the_same_copies']:.1%} of {len(copies)} rows",
        flush=True,
    )
    return found


if __name__ == "__main__":
    run_main(main)
