"""The built-in task: sentences about films whose sentiment follows from how they are composed.

A word alone decides little: negation turns a clause round ("is far from dull"), some negations do not
("never stops being charming"), an expectation may fail ("i expected ... , but it was not"), and in a
contrast the main clause wins ("although ... , ..."), wherever it stands. Every sentence is drawn by one
seeded generator, so that the same seed writes the same files anywhere.
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

# Clauses by what they do to the polarity of their adjective.
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
TURNING = (
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


def write_sample_task(directory, seed=1, train_rows=2400, dev_rows=600):
    """Write train.tsv and dev.tsv (header `sentence`, `label`; no sentence twice, as many of each label).

    Returns the directory. Raises UserError when more rows are asked for than there are different sentences.
    """
    directory = Path(directory)
    rows = sample_rows(seed, train_rows + dev_rows)
    for name, part in (("train.tsv", rows[:train_rows]), ("dev.tsv", rows[train_rows:])):
        lines = ["sentence\tlabel", *(f"{text}\t{label}" for text, label in part)]
        write_text(directory / name, "\n".join(lines) + "\n")
    return directory


def sample_rows(seed, count):
    """`count` different (sentence, label) pairs, the labels taking turns."""
    draw, seen, rows = random.Random(seed), set(), []
    for _ in range(100 * count):
        label = len(rows) % 2
        text = sentence(draw, label)
        if text not in seen:
            seen.add(text)
            rows.append((text, label))
        if len(rows) == count:
            return rows
    raise UserError(f"the sample task has fewer than {count} different sentences; ask for fewer rows")


def sentence(draw, label):
    """One sentence whose sentiment is `label`, drawn with the random.Random `draw`."""
    kind = draw.random()
    if kind < 0.45:
        text = clause(draw, label)
    elif kind < 0.85:
        text = draw.choice(CONTRAST).format(main=clause(draw, label), other=clause(draw, 1 - label))
    else:
        text = draw.choice(AGREEMENT).format(main=clause(draw, label), other=clause(draw, label))
    return f"{draw.choice(OPENERS)}{text}{draw.choice(TAILS)} ."


def clause(draw, polarity):
    """A clause of the given polarity; every other one gets there by turning a word of the opposite one."""
    turned = draw.random() < 0.5
    word = 1 - polarity if turned else polarity
    thing = f"the {draw.choice(ASPECTS)}" if draw.random() < 0.7 else draw.choice(WHOLES)
    if draw.random() < 0.2:
        return f"i {'did not' if turned else 'did'} {draw.choice(VERBS[word])} {thing}"
    pattern = draw.choice(TURNING if turned else KEEPING)
    adjective = draw.choice(ADJECTIVES[word])
    return pattern.format(thing=thing, very=draw.choice(INTENSIFIERS), adjective=adjective)
