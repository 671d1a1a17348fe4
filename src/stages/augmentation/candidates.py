"""Candidates for the replacement of words: masked LM predictions, or nearest neighbors."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ...data.augmentation.masked_contexts import Context, ContextForm, pieces_of_words
from ...data.augmentation.neighbors import is_candidate, neighbors_by_pieces
from ...data.augmentation.words import TextWords, Word, find_words
from ...data.tokenization.tokenizer import TextTokenizer

# Extra predictions, as a cased model may predict spellings of the word itself (movie, Movie, MOVIE).
SPARE = 3
CACHE_SIZE = 100_000  # contexts whose predictions are cached, about 40 MB


def allowed_pieces(words: Mapping[int, str], vocab_size: int) -> np.ndarray:
    """[V] bool: tokens that are words {id: word} and may replace a word."""
    allowed = np.zeros(vocab_size, bool)
    allowed[[index for index, word in words.items() if is_candidate(word)]] = True
    return allowed


class WordPieces:
    """Builds the masked contexts of words that a masked LM can predict.

    `form` is the ContextForm; None without a masked LM, so that no word has a context.
    """

    def __init__(self, tokenizer: TextTokenizer | None, form: ContextForm | None = None) -> None:
        self.tokenizer, self.form = tokenizer, form

    def contexts(self, texts: Sequence[TextWords]) -> list[list[Context | None]]:
        """For each (text, words) the Context of each word of one known token, None for other words."""
        form, tokenizer = self.form, self.tokenizer
        if form is None or tokenizer is None:
            return [[None] * len(words) for _, words in texts]

        def context(ids: list[int], pieces: range) -> Context | None:
            # Another word may take the place of a token that does not depend on the one before it.
            known = len(pieces) == 1 and ids[pieces[0]] in tokenizer.words
            known = known and ids[pieces[0]] != tokenizer.unk_id
            return form.masked(ids, pieces[0]) if known else None

        encoded = tokenizer.encode_with_spans([text for text, _ in texts])
        return [
            [context(ids, pieces) for pieces in pieces_of_words(words, spans)]
            for (_, words), (ids, spans) in zip(texts, encoded, strict=True)
        ]


class WordStats:
    """Statistics of the texts: {length of a context: count}, and the words that need neighbors.

    `words` {word in lower case: its first spelling}.
    """

    def __init__(self, pieces: WordPieces) -> None:
        self.pieces = pieces
        self.lengths: dict[int, int] = {}
        self.words: dict[str, str] = {}

    def add(self, texts: Iterable[str]) -> None:
        """Add some texts."""
        text_words = [(text, find_words(text)) for text in texts]
        for (_, words), contexts in zip(text_words, self.pieces.contexts(text_words), strict=True):
            for word, context in zip(words, contexts, strict=True):
                if context is None:
                    self.words.setdefault(word.key, word.text)
                else:
                    length = len(context.ids)
                    self.lengths[length] = self.lengths.get(length, 0) + 1

    def context_lengths(self) -> np.ndarray:
        """[n] length of each context."""
        return np.repeat(list(self.lengths), list(self.lengths.values()))


class Candidates:
    """Function of [(text, words)] -> for each text a list with the candidates of each word.

    masked_words  infer.MaskedLMPredictor, or None
    neighbors     {word in lower case: its neighbors}
    count         M
    """

    def __init__(
        self,
        pieces: WordPieces,
        masked_words: Callable[[Sequence[Context]], np.ndarray] | None,
        neighbors: Mapping[str, Sequence[str]],
        count: int,
    ) -> None:
        self.pieces, self.masked_words = pieces, masked_words
        self.neighbors, self.count = neighbors, count
        self.cache: OrderedDict[Context, np.ndarray] = OrderedDict()
        self.words = pieces.tokenizer.words if masked_words and pieces.tokenizer else {}

    def __call__(self, texts: Sequence[TextWords]) -> list[list[Sequence[str]]]:
        contexts = self.pieces.contexts(texts)
        predictions = self._predict(dict.fromkeys(c for each in contexts for c in each if c is not None))
        return [
            [
                self.neighbors.get(word.key, ())
                if context is None
                else self._others(word, predictions[context])
                for word, context in zip(words, each, strict=True)
            ]
            for (_, words), each in zip(texts, contexts, strict=True)
        ]

    def _predict(self, contexts: Iterable[Context]) -> dict[Context, np.ndarray]:
        """{context: predicted ids} of distinct contexts, from the cache if possible."""
        contexts = list(contexts)
        new = [context for context in contexts if context not in self.cache]
        if new and self.masked_words:
            self.cache.update(zip(new, self.masked_words(new), strict=True))
        predictions = {context: self.cache[context] for context in contexts}
        while len(self.cache) > CACHE_SIZE:
            self.cache.popitem(last=False)
        return predictions

    def _others(self, word: Word, ids: Iterable[int]) -> list[str]:
        # A cased model may predict several spellings, and the word itself.
        found: dict[str, str] = {}
        for index in ids:
            found.setdefault(self.words[index].lower(), self.words[index])
        found.pop(word.key, None)
        return list(found.values())[: self.count]


def neighbor_words(
    words: Mapping[str, str], count: int, tokenizer: TextTokenizer, embeddings: np.ndarray
) -> dict[str, tuple[str, ...]]:
    """{word: its neighbors} of WordStats' `words`, by the word embeddings [V, H] of a model."""
    # The empty word puts the other after a space.
    encoded = zip(
        words, (ids for _, ids in tokenizer.encode_words([("", w) for w in words.values()])), strict=True
    )
    known = {key: ids for key, ids in encoded if ids and tokenizer.unk_id not in ids}
    vocab = {word: index for index, word in tokenizer.words.items()}
    return neighbors_by_pieces(vocab, embeddings, known, count)
