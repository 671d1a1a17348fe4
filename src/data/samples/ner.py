"""Built-in NER task: the context of a name determines whether it is a person, a place or a company.

All names come from one list: "Jordan" may be any of the three, and so may "Jordan Austin". Sentences come
from one seeded generator, so that the same seed writes the same files on every machine.
"""

import random
import re
from pathlib import Path

from ...entities import BEGIN, INSIDE, OUTSIDE
from ...errors import UserError
from ...files import write_text

NAMES = (
    "Jordan",
    "Austin",
    "Chelsea",
    "Lincoln",
    "Madison",
    "Florence",
    "Sydney",
    "Carter",
    "Dallas",
    "Logan",
    "Houston",
    "Savannah",
    "Victoria",
    "Kingston",
    "Harper",
    "Ford",
    "Boston",
    "Brooklyn",
    "Charlotte",
    "Phoenix",
    "Aurora",
    "Hudson",
    "Camden",
    "Wells",
    "Chester",
    "Preston",
    "Trenton",
    "Marshall",
    "Denver",
    "Clinton",
)
SLOT = re.compile(r"\{(PER|LOC|ORG)\}")
# Sentences whose slots are filled with names.
TEMPLATES = (
    "{PER} was late again .",
    "we asked {PER} for advice .",
    "his sister {PER} plays the piano .",
    "{PER} has two children .",
    "nobody believed what {PER} said .",
    "the teacher praised {PER} .",
    "{PER} forgot her umbrella .",
    "a letter from my uncle {PER} arrived .",
    "it rained in {LOC} all week .",
    "the road to {LOC} is closed .",
    "the mayor of {LOC} resigned .",
    "they flew from {LOC} to {LOC} .",
    "the winters near {LOC} are long .",
    "{LOC} lies north of {LOC} .",
    "an old bridge in {LOC} was repaired .",
    "the streets of {LOC} were empty .",
    "shares of {ORG} fell by two percent .",
    "{ORG} hired fifty engineers .",
    "the board of {ORG} met today .",
    "{ORG} sued {ORG} over a patent .",
    "a spokesman for {ORG} declined to comment .",
    "{ORG} reported record profits .",
    "customers of {ORG} were refunded .",
    "the merger with {ORG} failed .",
    "{PER} was born in {LOC} .",
    "{PER} works for {ORG} .",
    "{ORG} opened an office in {LOC} .",
    "{PER} left {ORG} and moved to {LOC} .",
    "{PER} married {PER} in {LOC} .",
    "{PER} , the founder of {ORG} , lives near {LOC} .",
    "{ORG} moved its factory from {LOC} to {LOC} .",
    "in {LOC} , {PER} met the director of {ORG} .",
    "{PER} told {PER} about the trip to {LOC} .",
    "the police in {LOC} questioned {PER} and {PER} .",
    "{ORG} and {ORG} compete in {LOC} .",
)
TWO_WORDS = 0.4  # probability of a name of two words


def write_sample_ner(
    directory: str | Path, seed: int = 1, train_rows: int = 2400, dev_rows: int = 600
) -> Path:
    """Write train.txt and dev.txt, two-column CoNLL files of distinct sentences. Returns the directory.

    Raises UserError when there are fewer distinct sentences than rows requested.
    """
    directory, rows = Path(directory), sample_sentences(seed, train_rows + dev_rows)
    for name, part in (("train.txt", rows[:train_rows]), ("dev.txt", rows[train_rows:])):
        sentences = ("".join(f"{word} {tag}\n" for word, tag in row) for row in part)
        write_text(directory / name, "\n".join(sentences))
    return directory


def sample_sentences(seed: int, count: int) -> list[list[tuple[str, str]]]:
    """`count` distinct sentences, each a list of (word, tag)."""
    rng, seen = random.Random(seed), set()
    rows: list[list[tuple[str, str]]] = []
    for _ in range(100 * count):
        row = sentence(rng)
        words = tuple(word for word, _ in row)
        if words not in seen:
            seen.add(words)
            rows.append(row)
        if len(rows) == count:
            return rows
    raise UserError(f"sample-ner has fewer than {count} distinct sentences; request fewer rows")


def sentence(rng: random.Random) -> list[tuple[str, str]]:
    """One random sentence as a list of (word, tag)."""
    row = []
    for word in rng.choice(TEMPLATES).split():
        slot = SLOT.fullmatch(word)
        if not slot:
            row.append((word, OUTSIDE))
            continue
        name = rng.sample(NAMES, 2 if rng.random() < TWO_WORDS else 1)
        row += [(part, (INSIDE if index else BEGIN) + slot[1]) for index, part in enumerate(name)]
    return row
