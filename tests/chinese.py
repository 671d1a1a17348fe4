"""A small Chinese vocabulary and two small Chinese tasks: python -m tests.chinese FOLDER writes their files.

Film sentiment (a CSV of sentences and labels), where negation inverts a clause, and named entities (CoNLL,
one character per line), where context decides whether a name is a person or a place.
"""

import csv
import io
import random
import sys
from itertools import chain
from pathlib import Path

GOOD, BAD = "好", "差"
THINGS = ("这部电影", "剧情", "音乐", "结局", "男主角", "女主角", "对白", "摄影", "那首歌", "第二集")
WORDS = {GOOD: ("好看", "精彩", "有趣", "动人", "新鲜"), BAD: ("难看", "无聊", "平淡", "俗气", "混乱")}
CLAUSES = {
    False: ("{thing}很{word}", "{thing}真的{word}", "我觉得{thing}{word}"),
    True: ("{thing}一点也不{word}", "{thing}并不{word}", "没有人说{thing}{word}"),
}
NAMES = ("安宁", "长春", "海宁", "高平", "永安", "平安", "文昌", "永清", "新宁", "建宁", "明光", "文安")
SENTENCES = (
    "{PER}今天没有来。",
    "老师表扬了{PER}。",
    "{PER}说他很累。",
    "我姐姐{PER}会弹琴。",
    "我们问了{PER}。",
    "{LOC}下了一天雨。",
    "去{LOC}的路不好走。",
    "{LOC}的冬天很长。",
    "我们坐车到{LOC}。",
    "{PER}住在{LOC}。",
    "{PER}从{LOC}回来了。",
    "在{LOC}我见到了{PER}。",
    "{PER}和{PER}去了{LOC}。",
)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
NAMES_TASK = """task_name: chinese-names
output_mode: token_classification
train_file: names_train.txt
dev_file: names_dev.txt
max_seq_length: 32
"""
FILMS_TASK = """task_name: chinese-films
train_file: films.csv
text_columns: text
max_seq_length: 32
"""


def film(rng: random.Random) -> tuple[str, str]:
    """Draw (text, label) of one sentence about a film."""
    label, negated = rng.choice((GOOD, BAD)), rng.random() < 0.5
    word = rng.choice(WORDS[(BAD if label == GOOD else GOOD) if negated else label])
    return rng.choice(CLAUSES[negated]).format(thing=rng.choice(THINGS), word=word) + "。", label


def names(rng: random.Random) -> list[tuple[str, str]]:
    """Draw [(character, tag), ...] of one sentence with people or places."""
    row: list[tuple[str, str]] = []
    rest = rng.choice(SENTENCES)
    while rest:
        if rest[0] != "{":
            row.append((rest[0], "O"))
            rest = rest[1:]
            continue
        first, second = rng.choice(NAMES)
        row += [(first, f"B-{rest[1:4]}"), (second, f"I-{rest[1:4]}")]
        rest = rest[5:]
    return row


def vocabulary() -> list[str]:
    """Return the special tokens and all characters of the tasks, sorted."""
    texts = chain(THINGS, *WORDS.values(), *CLAUSES.values(), NAMES, SENTENCES, ("。",))
    return [*SPECIAL, *sorted({letter for text in texts for letter in text if ord(letter) > 127})]


def write(folder: str | Path, train: int = 1200, dev: int = 300, seed: int = 1) -> Path:
    """Write vocab.txt, the data of both tasks and their task files to `folder`; returns its Path."""
    folder, rng = Path(folder), random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    films = io.StringIO()
    csv.writer(films, lineterminator="\n").writerows([("text", "label"), *(film(rng) for _ in range(train))])
    files = {
        "vocab.txt": "".join(f"{piece}\n" for piece in vocabulary()),
        "films.csv": films.getvalue(),
        "films.yaml": FILMS_TASK,
        "names.yaml": NAMES_TASK,
    }
    for name, count in (("names_train.txt", train), ("names_dev.txt", dev)):
        rows = ("".join(f"{letter} {tag}\n" for letter, tag in names(rng)) for _ in range(count))
        files[name] = "\n".join(rows)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


if __name__ == "__main__":
    write(sys.argv[1])
