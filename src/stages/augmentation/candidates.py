"""Where the candidates of a word come from: a masked language model, or the neighbours of its vector."""

from collections import OrderedDict

import numpy as np

from ...data.augmentation.masked_contexts import pieces_of_words
from ...data.augmentation.neighbors import is_candidate, neighbors_by_pieces, neighbors_in
from ...data.augmentation.words import find_words

# Spellings of the word itself (movie, Movie, MOVIE) that may be among the predictions of a cased model.
SPARE = 3
CACHED = 100_000  # contexts whose predictions are kept: some 40 MB


def allowed_pieces(vocab, vocab_size):
    """[V] bool: the pieces that are whole words and may take another word's place."""
    allowed = np.zeros(vocab_size, bool)
    allowed[[index for piece, index in vocab.items() if is_candidate(piece)]] = True
    return allowed


class WordPieces:
    """Texts and their words as word pieces, and which of the words a model is asked for.

    `form` is the ContextForm of the model's questions; None where no model predicts: then no word is single.
    """

    def __init__(self, tokenizer, form=None):
        self.tokenizer, self.form = tokenizer, form

    def contexts(self, wanted):
        """For each (text, words) a list: the Context of each word of one known piece, None for the others."""
        if self.form is None:
            return [[None] * len(words) for _, words in wanted]
        encoded = self.tokenizer.encode_with_spans([text for text, _ in wanted])
        return [
            [self._context(ids, places) for places in pieces_of_words(words, spans)]
            for (_, words), (ids, spans) in zip(wanted, encoded, strict=True)
        ]

    def _context(self, ids, places):
        if len(places) != 1 or ids[places[0]] == self.tokenizer.unk_id:
            return None
        return self.form.masked(ids, places[0])


class WordStats:
    """What a first reading of the texts finds: lengths of contexts, and the words that need neighbours.

    `words` {word in lower case: as it was first written}.
    """

    def __init__(self, pieces):
        self.pieces, self.lengths, self.words = pieces, {}, {}

    def add(self, texts):
        """Read some texts."""
        wanted = [(text, find_words(text)) for text in texts]
        for (_, words), contexts in zip(wanted, self.pieces.contexts(wanted), strict=True):
            for word, context in zip(words, contexts, strict=True):
                if context is None:
                    self.words.setdefault(word.key, word.text)
                else:
                    length = len(context.ids)
                    self.lengths[length] = self.lengths.get(length, 0) + 1

    def context_lengths(self):
        """[n] the length of every context."""
        return np.repeat(list(self.lengths), list(self.lengths.values()))


class Candidates:
    """Function of [(text, words)] -> for each text a list with the candidates of each word.

    masked_words  infer.MaskedLMPredictor, or None
    neighbours    {word in lower case: its neighbours}
    count         M
    """

    def __init__(self, pieces, masked_words, neighbors, count):
        self.pieces, self.masked_words = pieces, masked_words
        self.neighbors, self.count = neighbors, count
        self.cache = OrderedDict()
        vocab = pieces.tokenizer.vocab if masked_words else {}
        self.words = {index: piece for piece, index in vocab.items()}

    def __call__(self, wanted):
        contexts = self.pieces.contexts(wanted)
        answers = self._predicted(dict.fromkeys(c for each in contexts for c in each if c is not None))
        return [
            [
                self.neighbors.get(word.key, ()) if context is None else self._others(word, answers[context])
                for word, context in zip(words, each, strict=True)
            ]
            for (_, words), each in zip(wanted, contexts, strict=True)
        ]

    def _predicted(self, contexts):
        """{context: ids} of a dict's keys; asked are those that were not asked lately."""
        new = [context for context in contexts if context not in self.cache]
        if new:
            self.cache.update(zip(new, self.masked_words(new), strict=True))
        answers = {context: self.cache[context] for context in contexts}
        while len(self.cache) > CACHED:
            self.cache.popitem(last=False)
        return answers

    def _others(self, word, ids):
        # A cased model may answer in several spellings, and with the word itself.
        found = {}
        for index in ids:
            found.setdefault(self.words[index].lower(), self.words[index])
        found.pop(word.key, None)
        return list(found.values())[: self.count]


def neighbor_words(words, count, glove, model):
    """{word: its neighbours} of WordStats' `words`, from a GloVe WordTable or, without one, from a model.

    `model` is (tokenizer, word embeddings [V, H]).
    """
    if glove is not None:
        return neighbors_in(glove, words, count)
    tokenizer, embeddings = model
    encoded = zip(words, tokenizer.encode(list(words.values())), strict=True)
    known = {key: ids for key, ids in encoded if ids and tokenizer.unk_id not in ids}
    return neighbors_by_pieces(tokenizer.vocab, embeddings, known, count)
