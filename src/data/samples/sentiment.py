"""Built-in sentiment task: compositional sentences about films.

Single words carry little information: negation reverses a clause ("is far from dull"), some negations do not
("never stops being charming"), an expectation may fail ("i expected ... , but it was not"), and in a contrast
the main clause decides ("although ... , ..."), in either order. Sentences come from one seeded generator, so
that the same seed writes the same files on every machine.
"""

import random
from pathlib import Path

from ...errors import UserError
from ...files import write_text

POSITIVE, NEGATIVE = 1, 0

ASPECTS = (
    "plot",
    "story",
    "acting",
    "script",
    "dialogue",
    "camera work",
    "score",
    "pacing",
    "ending",
    "humor",
    "cast",
    "editing",
    "opening scene",
    "lead actor",
    "villain",
    "romance",
    "sound design",
    "second half",
    "premise",
    "direction",
    "narration",
    "subplot",
    "final act",
    "set design",
)
WHOLES = (
    "the film",
    "the movie",
    "this picture",
    "the whole thing",
    "this comedy",
    "this thriller",
    "the sequel",
)
ADJECTIVES = {
    POSITIVE: (
        "brilliant",
        "charming",
        "clever",
        "delightful",
        "engaging",
        "fresh",
        "funny",
        "gripping",
        "honest",
        "lovely",
        "moving",
        "polished",
        "sharp",
        "stunning",
        "superb",
        "thoughtful",
        "touching",
        "vivid",
        "witty",
        "wonderful",
    ),
    NEGATIVE: (
        "awful",
        "boring",
        "bland",
        "clumsy",
        "dreary",
        "dull",
        "empty",
        "flat",
        "forgettable",
        "hollow",
        "lazy",
        "lifeless",
        "messy",
        "pointless",
        "shallow",
        "stale",
        "tedious",
        "tiresome",
        "ugly",
        "weak",
    ),
}
VERBS = {
    POSITIVE: ("love", "enjoy", "admire", "like", "adore"),
    NEGATIVE: ("hate", "dislike", "regret", "resent", "detest"),
}
INTENSIFIERS = ("", "", "", "very ", "truly ", "really ", "quite ", "utterly ", "so ")
OPENERS = ("", "", "", "", "in the end , ", "for me , ", "honestly , ", "to my surprise , ", "as a fan , ")
TAILS = ("", "", "", "", " this time", " from start to finish", " , i think", " , at least to me")

# Clauses by their effect on the polarity of their adjective.
KEEPING = (
    "{thing} is {very}{adjective}",
    "{thing} was {very}{adjective}",
    "{thing} feels {very}{adjective}",
    "{thing} never stops being {adjective}",
    "{thing} never fails to be {adjective}",
    "everyone will find {thing} {very}{adjective}",
    "{thing} is nothing if not {adjective}",
    "i expected {thing} to be {adjective} , and it was",
)
REVERSING = (
    "{thing} is not {adjective}",
    "{thing} is never {adjective}",
    "{thing} is far from {adjective}",
    "{thing} is anything but {adjective}",
    "{thing} is hardly {adjective}",
    "nobody would call {thing} {adjective}",
    "it is not true that {thing} is {adjective}",
    "i expected {thing} to be {adjective} , but it was not",
    "{thing} could have been {adjective} , but was not",
)
# Compounds: {main} carries the sentiment; {other} has the opposite one in CONTRAST, the same in AGREEMENT.
CONTRAST = (
    "{other} , but {main}",
    "{other} , yet {main}",
    "although {other} , {main}",
    "even though {other} , {main}",
    "{main} , although {other}",
    "{main} , even though {other}",
    "{other} ; still , {main}",
    "while {other} , {main}",
)
AGREEMENT = ("{other} and {main}", "{other} , and {main} too", "{main} , because {other}")


def write_sample_task(
    directory: str | Path, seed: int = 1, train_rows: int = 2400, dev_rows: int = 600
) -> Path:
    """Write train.tsv and dev.tsv (header `sentence`, `label`; distinct sentences, balanced labels).

    Returns the directory. Raises UserError when there are fewer distinct sentences than rows requested.
    """
    directory = Path(directory)
    rows = sample_rows(seed, train_rows + dev_rows)
    for name, part in (("train.tsv", rows[:train_rows]), ("dev.tsv", rows[train_rows:])):
        lines = ["sentence\tlabel", *(f"{text}\t{label}" for text, label in part)]
        write_text(directory / name, "\n".join(lines) + "\n")
    return directory


def sample_rows(seed: int, count: int) -> list[tuple[str, int]]:
    """`count` distinct (sentence, label) pairs with alternating labels."""
    rng, seen = random.Random(seed), set()
    rows: list[tuple[str, int]] = []
    for _ in range(100 * count):
        label = len(rows) % 2
        text = sentence(rng, label)
        if text not in seen:
            seen.add(text)
            rows.append((text, label))
        if len(rows) == count:
            return rows
    raise UserError(f"the sample task has fewer than {count} distinct sentences; request fewer rows")


def sentence(rng: random.Random, label: int) -> str:
    """One random sentence with sentiment `label`."""
    kind = rng.random()
    if kind < 0.45:
        text = clause(rng, label)
    elif kind < 0.85:
        text = rng.choice(CONTRAST).format(main=clause(rng, label), other=clause(rng, 1 - label))
    else:
        text = rng.choice(AGREEMENT).format(main=clause(rng, label), other=clause(rng, label))
    return f"{rng.choice(OPENERS)}{text}{rng.choice(TAILS)} ."


def clause(rng: random.Random, polarity: int) -> str:
    """A random clause of the given polarity; half of them reverse a word of the opposite one."""
    reversed_ = rng.random() < 0.5
    word = 1 - polarity if reversed_ else polarity
    thing = f"the {rng.choice(ASPECTS)}" if rng.random() < 0.7 else rng.choice(WHOLES)
    if rng.random() < 0.2:
        return f"i {'did not' if reversed_ else 'did'} {rng.choice(VERBS[word])} {thing}"
    pattern = rng.choice(REVERSING if reversed_ else KEEPING)
    adjective = rng.choice(ADJECTIVES[word])
    return pattern.format(thing=thing, very=rng.choice(INTENSIFIERS), adjective=adjective)
