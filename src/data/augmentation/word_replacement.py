"""Augmentation of a text by word replacement (TinyBERT, Jiao et al. 2020, section 3.2, Algorithm 1).

Pure functions over words: where the candidates of a word come from is the caller's affair.
W words of a text that may be replaced, N copies.
"""

import dataclasses

import numpy as np

from .words import find_words, replaced


@dataclasses.dataclass(frozen=True)
class Recipe:
    """`copies` N of each text, `probability` p that a word is replaced, `seed` of all draws."""

    copies: int
    probability: float
    seed: int


@dataclasses.dataclass(frozen=True)
class RandomDraws:
    """What chance decides for a text before any candidate is known.

    `replace` [N, W] bool; `choice` [N, W] float in [0, 1): a place in the list of candidates.
    """

    replace: np.ndarray
    choice: np.ndarray

    @property
    def needed(self):
        """[W] bool: the words that some copy replaces; only these need candidates."""
        return self.replace.any(axis=0)


def draw(recipe, words, row, column):
    """The RandomDraws for `words` words of the text in `column` of row number `row`.

    They depend on (seed, row, column) alone: neither on batches nor on what was made before.
    """
    random = np.random.default_rng([recipe.seed, row, column])
    numbers = random.random((2, recipe.copies, words))
    return RandomDraws(numbers[0] < recipe.probability, numbers[1])


def copies_of(text, words, draws, candidates):
    """The copies of a text that differ from it and from each other, in the order drawn.

    `candidates` holds for each word a sequence of words, empty where there is none.
    """
    found = dict.fromkeys([text])
    for replace, choice in zip(draws.replace, draws.choice, strict=True):
        replacements = [
            offered[int(share * len(offered))] if wanted and offered else None
            for wanted, share, offered in zip(replace, choice, candidates, strict=True)
        ]
        found[replaced(text, words, replacements)] = None
    return list(found)[1:]


def augment_rows(rows, columns, recipe, candidates):
    """The copies of each row, one text changed in each: a pair's other text stays as it is.

    rows        [(row number, values)]
    columns     places of the texts among the values
    candidates  function of [(text, words)] -> for each a list with the candidates of each word
    Returns for each row a list of new values.
    """
    work = []
    for number, values in rows:
        for column in columns:
            words = find_words(values[column])
            work.append((values[column], words, draw(recipe, len(words), number, column)))
    offered = iter(candidates([(text, _needed(words, draws)) for text, words, draws in work]))
    copies = iter([copies_of(*each, _spread(each[-1], next(offered))) for each in work])
    return [
        [[*values[:column], text, *values[column + 1 :]] for column in columns for text in next(copies)]
        for _, values in rows
    ]


def _needed(words, draws):
    return [word for word, needed in zip(words, draws.needed, strict=True) if needed]


def _spread(draws, offered):
    # Candidates were asked for the needed words only; the others get none, as no copy replaces them.
    given = iter(offered)
    return [next(given) if needed else () for needed in draws.needed]
