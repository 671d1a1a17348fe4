"""Sentences in, a tag for each word out: `predict` with a model that classifies tokens."""

import dataclasses
import itertools
import json
import sys

from ...data.text.conll import Sentence, read_words
from ...data.text.words import joined_words, split_words
from ...data.tokenization.token_features import encode_sentences
from ...entities import OUTSIDE, entities
from ...errors import UserError
from ...tasks import IGNORE_INDEX
from .text_model import TextModel, as_list

SENTENCES = 8192  # read, answered and printed at a time


@dataclasses.dataclass(frozen=True)
class Tags:
    """The tags of some sentences, one a word. `cut` words lie beyond the model's reach: theirs are O."""

    rows: list
    cut: int


class Tagger(TextModel):
    """Tags the words of sentences; takes and raises what TextModel does. Refuses a model of whole texts."""

    def __init__(self, model_dir, *arguments, **settings):
        super().__init__(model_dir, *arguments, **settings)
        if not self.config.by_token:
            raise UserError(
                f"{model_dir} answers for whole texts; tags are those of a token_classification model"
            )

    def __call__(self, sentences):
        """[(word, tag), ...] for each sentence, a string or a list of words."""
        words = [
            self.words(each).words if isinstance(each, str) else tuple(each) for each in as_list(sentences)
        ]
        return [list(zip(*pair, strict=True)) for pair in zip(words, self.tags(words).rows, strict=True)]

    def words(self, text):
        """The Words of a text: between blanks; Chinese characters one by one where the tokenizer does so."""
        return split_words(text, self.tokenizer.normalization.chinese)

    def tags(self, rows):
        """The Tags of sentences given as words; of a sentence without words there are none."""
        real = [words for words in rows if words]
        if not real:
            return Tags([[] for _ in rows], 0)
        sentences = [Sentence(words, None, 0) for words in real]
        table, counts, logits = self.ask(encode_sentences, sentences, None)
        answers = map(self._tags_of, table.by_row(logits), table.by_row(table.labels))
        found = [next(answers) if words else [] for words in rows]
        beyond = ([OUTSIDE] * (len(words) - len(tags)) for words, tags in zip(rows, found, strict=True))
        return Tags([tags + rest for tags, rest in zip(found, beyond, strict=True)], counts.cut_words)

    def _tags_of(self, logits, places):
        return [self.config.labels[index] for index in logits[places != IGNORE_INDEX].argmax(axis=-1)]


def tag(config, lines):
    """Tag the sentences that a PredictConfig names and print them, in their order.

    `lines` are the texts, with --input_format conll the lines of a file as bytes. How many words were cut is
    said on standard error.
    """
    tagger = Tagger(
        config.model_dir, config.max_seq_length, config.batch_size, threads=config.threads, settings=config
    )
    if config.input_format == "conll":
        sentences = map(joined_words, read_words(lines, config.input or "standard input"))
    else:
        sentences = (tagger.words(text or "") for text in lines)
    show, rows, cut = {"tsv": as_tsv, "json": as_json}[config.format], 0, 0
    while chunk := list(itertools.islice(sentences, SENTENCES)):
        found = tagger.tags([sentence.words for sentence in chunk])
        for sentence, tags in zip(chunk, found.rows, strict=True):
            print(show(sentence, tags))
        sys.stdout.flush()
        rows, cut = rows + len(chunk), cut + found.cut
    notes = [f"words beyond {tagger.max_seq_length} tokens, whose tag is O: {cut}"] if cut else []
    for line in [*notes, *(tagger.meter.lines() if rows > config.batch_size else ())]:
        print(line, file=sys.stderr, flush=True)


def as_tsv(sentence, tags):
    """word, tab, tag for each word, and the blank line that ends a sentence."""
    return "".join(f"{word}\t{tag}\n" for word, tag in zip(sentence.words, tags, strict=True))


def as_json(sentence, tags):
    """One JSON object: the text and its entities, `start` and `end` in characters of it."""
    found = []
    for kind, first, end in entities(tags):
        start, stop = sentence.spans[first][0], sentence.spans[end - 1][1]
        found.append({"type": kind, "text": sentence.text[start:stop], "start": start, "end": stop})
    return json.dumps({"text": sentence.text, "entities": found}, ensure_ascii=False)
