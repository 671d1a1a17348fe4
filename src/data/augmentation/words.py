"""The words of a text that augmentation may replace, and how another word takes such a place."""

import re
import unicodedata
from typing import NamedTuple

from ..text.words import IDEOGRAPH

# A Chinese character stands alone, as in BERT's own splitting; other letters and digits run together, with
# apostrophes inside, so that "don't" is one thing and no word.
_WORD = re.compile(rf"[{IDEOGRAPH}]|[^\W_{IDEOGRAPH}]+(?:['’][^\W_{IDEOGRAPH}]+)*")
_POSSESSIVE = re.compile("['’][sS]$")

# Closed classes: what they say is grammar (negation above all), and no other word says it. The last lines are
# what is left of contractions in text that is split already ("did n't", "we 'll").
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
    """.split()
)


class Word(NamedTuple):
    """A word that may be replaced: `text` is text[start:end] of the sentence it stands in."""

    text: str
    start: int
    end: int

    @property
    def key(self):
        """What the word is looked up as, in tables without case."""
        return self.text.lower()


def find_words(text):
    """The words of `text` that may be replaced, in order.

    Stop words, single Latin letters and what is no word (numbers, "mp3", "don't", punctuation) are left out;
    of "film's" the word is "film". So are parts of a word that holds combining marks.
    """
    found = []
    for match in _WORD.finditer(text):
        token = _POSSESSIVE.sub("", match.group())
        word = Word(token, match.start(), match.start() + len(token))
        if is_word(token) and token.lower() not in STOP_WORDS and not _goes_on(text, word):
            found.append(word)
    return found


def _goes_on(text, word):
    # An accent that is a character of its own, a vowel sign, a soft hyphen: a part of a word, for BERT too.
    around = text[max(word.start - 1, 0) : word.start] + text[word.end : word.end + 1]
    return any(unicodedata.category(sign) in ("Mn", "Mc", "Me", "Cf") for sign in around)


def is_word(token):
    """True for letters alone, two at least where the script is Latin."""
    return token.isalpha() and (len(token) > 1 or not token.isascii())


def in_case_of(word, candidate):
    """`candidate` written as `word` is: capitals, a capital first, or as the candidate comes."""
    if word.isupper() and len(word) > 1:
        return candidate.upper()
    return candidate[:1].upper() + candidate[1:] if word[:1].isupper() else candidate


def replaced(text, words, replacements):
    """`text` with words[i] replaced by replacements[i], where that is not None; all else untouched."""
    parts, place = [], 0
    for word, replacement in zip(words, replacements, strict=True):
        if replacement is not None:
            parts += [text[place : word.start], in_case_of(word.text, replacement)]
            place = word.end
    return "".join([*parts, text[place:]])
