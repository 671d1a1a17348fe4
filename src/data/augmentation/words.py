"""Words of a text that augmentation may replace, and their replacement."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..text.words import IDEOGRAPH

# Each Chinese character is a token, as in BERT's own splitting; other letters and digits form tokens with
# inner apostrophes, so that "don't" is a single token and not a word.
_WORD = re.compile(rf"[{IDEOGRAPH}]|[^\W_{IDEOGRAPH}]+(?:['’][^\W_{IDEOGRAPH}]+)*")
_POSSESSIVE = re.compile("['’][sS]$")

# Closed-class words: they carry grammar (above all negation) and have no synonyms. First those of English,
# with fragments of contractions in tokenized text ("did n't", "we 'll"); then the negations of Chinese,
# German, French, Spanish, Italian and Portuguese that are no English words.
STOP_WORDS = frozenset(
    """
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she
    her hers herself it its itself they them their theirs themselves one oneself who whom whose which what
    this that these those someone somebody something anyone anybody anything everyone everybody everything
    a an the some any all both each every either neither no none nobody nothing nor not never few many
    much more most less least other another such same own several
    and or but if because as until while although though unless whether than then so yet since once
    of at by for with without about against between among into onto through during before after above
    below to from up down in out on off over under upon within along across behind beside besides beyond
    toward towards via per
    again further here there when where why how now just only very too also ever even still quite rather
    be am is are was were been being have has had having do does did done doing will would shall should
    can could may might must ought cannot
    s t d m ll ve re em n nt don didn doesn isn aren wasn weren won wouldn couldn shouldn hasn haven hadn
    ain dont cant wont isnt didnt doesnt
    不 没 沒 無 无 非 未 别 別 勿 莫 否
    nicht nichts nie niemals niemand kein keine keinen keinem keiner keines weder ohne
    ne pas jamais rien aucun aucune sans ni
    nunca jamás nadie nada ningún ninguno ninguna tampoco
    non mai niente nulla nessun nessuno nessuna senza né
    não nem ninguém nenhum nenhuma sem
    """.split()
)


class Word(NamedTuple):
    """A replaceable word: `text` is text[start:end] of its sentence."""

    text: str
    start: int
    end: int

    @property
    def key(self) -> str:
        """Lookup key in case-insensitive tables."""
        return self.text.lower()


TextWords = tuple[str, list[Word]]  # a text and words of it


def find_words(text: str) -> list[Word]:
    """Replaceable words of `text`, in order.

    Excludes stop words, single Latin letters, tokens that are not words (numbers, "mp3", "don't",
    punctuation) and parts of words with combining marks; of "film's" the word is "film".
    """
    found = []
    for match in _WORD.finditer(text):
        token = _POSSESSIVE.sub("", match.group())
        word = Word(token, match.start(), match.start() + len(token))
        if is_word(token) and token.lower() not in STOP_WORDS and not _touches_mark(text, word):
            found.append(word)
    return found


def _touches_mark(text: str, word: Word) -> bool:
    # Combining accents, vowel signs and soft hyphens are part of a word, for BERT too.
    around = text[max(word.start - 1, 0) : word.start] + text[word.end : word.end + 1]
    return any(unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf") for character in around)


def is_word(token: str) -> bool:
    """True for a token of letters only, at least two in Latin script."""
    return token.isalpha() and (len(token) > 1 or not token.isascii())


def in_case_of(word: str, candidate: str) -> str:
    """`candidate` with the capitalization of `word`: upper case, capitalized, or unchanged."""
    if word.isupper() and len(word) > 1:
        return candidate.upper()
    return candidate[:1].upper() + candidate[1:] if word[:1].isupper() else candidate


def replaced(text: str, words: Sequence[Word], replacements: Iterable[str | None]) -> str:
    """`text` with words[i] replaced by replacements[i] unless that is None."""
    parts: list[str] = []
    end = 0
    for word, replacement in zip(words, replacements, strict=True):
        if replacement is not None:
            parts += [text[end : word.start], in_case_of(word.text, replacement)]
            end = word.end
    return "".join([*parts, text[end:]])
