"""Data augmentation by word replacement (TinyBERT, Jiao et al. 2020, section 3.2, Algorithm 1).

Pure functions over words; the caller provides the candidates.
W replaceable words of a text, N copies.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .words import TextWords, Word, find_words, replaced

FindCandidates = Callable[[list[TextWords]], Iterable[Sequence[Sequence[str]]]]


@dataclasses.dataclass(frozen=True)
class ReplacementParams:
    """`copies` N of each text, `probability` p of replacing a word, random `seed`."""

    copies: int
    probability: float
    seed: int


@dataclasses.dataclass(frozen=True)
class RandomDraws:
    """Random draws for a text, independent of its candidates.

    `replace` [N, W] bool; `choice` [N, W] float in [0, 1), a relative position in the list of candidates.
    """

    replace: np.ndarray
    choice: np.ndarray

    @property
    def needed(self) -> np.ndarray:
        """[W] bool: words that at least one copy replaces; only these need candidates."""
        return self.replace.any(axis=0)


def draw(params: ReplacementParams, words: int, row: int, column: int) -> RandomDraws:
    """RandomDraws for `words` words of the text in `column` of row number `row`.

    They depend only on (seed, row, column), not on batches or earlier draws.
    """
    rng = np.random.default_rng([params.seed, row, column])
    numbers = rng.random((2, params.copies, words))
    return RandomDraws(numbers[0] < params.probability, numbers[1])


def copies_of(
    text: str, words: list[Word], draws: RandomDraws, candidates: Sequence[Sequence[str]]
) -> list[str]:
    """Distinct copies of a text that differ from it, in drawing order.

    `candidates` has a (possibly empty) sequence of words for each word.
    """
    copies: dict[str, None] = {text: None}
    for replace, choice in zip(draws.replace, draws.choice, strict=True):
        replacements = [
            options[int(position * len(options))] if selected and options else None
            for selected, position, options in zip(replace, choice, candidates, strict=True)
        ]
        copies[replaced(text, words, replacements)] = None
    return list(copies)[1:]


def augment_rows(
    rows: Sequence[tuple[int, list[str]]],
    columns: Sequence[int],
    params: ReplacementParams,
    find_candidates: FindCandidates,
) -> list[list[list[str]]]:
    """Augmented copies of each row, each with one of its texts changed.

    rows             [(row number, values)]
    columns          indices of the texts in the values
    find_candidates  function of [(text, words)] -> for each text a list with the candidates of each word
    Returns a list of new values for each row.
    """
    texts = []
    for number, values in rows:
        for column in columns:
            words = find_words(values[column])
            texts.append((values[column], words, draw(params, len(words), number, column)))
    # Candidates of the needed words only: no copy replaces the others.
    candidates = find_candidates(
        [
            (text, [word for word, needed in zip(words, draws.needed, strict=True) if needed])
            for text, words, draws in texts
        ]
    )
    copies = []
    for (text, words, draws), found in zip(texts, candidates, strict=True):
        remaining = iter(found)
        aligned = [next(remaining) if needed else () for needed in draws.needed]
        copies.append(copies_of(text, words, draws, aligned))
    pending = iter(copies)
    return [
        [[*values[:column], text, *values[column + 1 :]] for column in columns for text in next(pending)]
        for _, values in rows
    ]
