"""GLUE's nine tasks as small files in GLUE's formats: headers, column order, quoting, test files.

The words are those of tests/tiny.py, so that tiny models can process them; one word of each row determines
its label.
"""

import numpy as np

from tests import tiny

PARSES = "sentence1_binary_parse|sentence2_binary_parse|sentence1_parse|sentence2_parse"
NLI_START = f"index|promptID|pairID|genre|{PARSES}|sentence1|sentence2"
PAIR = "index|sentence1|sentence2"
STS = "index|genre|filename|year|old_index|source1|source2|sentence1|sentence2"
# Columns of the train file, of the dev files if they differ, and of the test files.
COLUMNS = {
    "CoLA": {"train": "source|label|mark|sentence", "test": "index|sentence"},
    "SST-2": {"train": "sentence|label", "test": "index|sentence"},
    "MRPC": {
        "train": "Quality|#1 ID|#2 ID|#1 String|#2 String",
        "test": "index|#1 ID|#2 ID|#1 String|#2 String",
    },
    "STS-B": {"train": f"{STS}|score", "test": STS},
    "QQP": {"train": "id|qid1|qid2|question1|question2|is_duplicate", "test": "id|question1|question2"},
    "MNLI": {
        "train": f"{NLI_START}|label1|gold_label",
        "dev": f"{NLI_START}|label1|label2|label3|label4|label5|gold_label",
        "test": NLI_START,
    },
    "QNLI": {"train": "index|question|sentence|label", "test": "index|question|sentence"},
    "RTE": {"train": f"{PAIR}|label", "test": PAIR},
    "WNLI": {"train": f"{PAIR}|label", "test": PAIR},
}
DIAGNOSTIC = "index|sentence1|sentence2"
HEADERLESS = {("CoLA", "train"), ("CoLA", "dev")}
UNQUOTED = {"MRPC", "QQP"}  # a single " at the start or end of a text is part of the text
COUNTS = {
    "train": 24,
    "dev": 9,
    "dev_matched": 9,
    "dev_mismatched": 7,
    "test": 5,
    "test_matched": 5,
    "test_mismatched": 4,
    "test_diagnostic": 3,
}
UNLABELED = 2  # MNLI's rows without a gold label, in each dev file
MARKS = {
    "0": "bade",
    "1": "deki",
    "entailment": "lolo",
    "not_entailment": "mumu",
    "contradiction": "kiki",
    "neutral": "dede",
}


def write_task(folder, task):
    """Write every file of a TaskSpec; returns {split: [(texts, label), ...]} of the usable rows."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for split, file in task.files.items():
        rng = np.random.default_rng(len(file))
        rows = [_row(task, split, number, rng) for number in range(COUNTS[split])]
        columns = _columns(task, split)
        lines = [] if (task.name, split) in HEADERLESS else ["\t".join(columns)]
        lines += ["\t".join(_cells(task, columns, number, *row)) for number, row in enumerate(rows)]
        # GLUE's script keeps the byte order mark of Microsoft's file in MRPC.
        bom = "\ufeff" if task.name == "MRPC" and not split.startswith("test") else ""
        (folder / file).write_text(bom + "\n".join(lines) + "\n", encoding="utf-8")
        written[split] = [row for row in rows if row[1] != "-"]
    return written


def _columns(task, split):
    kinds = COLUMNS[task.name]
    if split == "test_diagnostic":
        return DIAGNOSTIC.split("|")
    kind = split.partition("_")[0]
    return kinds.get(kind, kinds["train"]).split("|")


def _row(task, split, number, rng):
    label = str(rng.choice(task.labels)) if task.labels else f"{rng.uniform(0, 5):.3f}"
    mark = MARKS.get(label) or MARKS["1" if float(label) > 2.5 else "0"]
    texts = [tiny.sentence(rng, mark, 4) for _ in task.text_columns]
    if task.name in UNQUOTED and number < 2:
        texts[number] = f'"{texts[number]}' if number == 0 else f'{texts[number]} "'
    if split.startswith("test"):
        label = None
    if task.unlabeled and split.startswith("dev") and number < UNLABELED:
        label = task.unlabeled
    return texts, label


def _cells(task, columns, number, texts, label):
    values = {
        "index": str(number),
        "id": str(number),
        "mark": "" if label == "1" else "*",
        task.label_column: label,
        **dict(zip(task.text_columns, texts, strict=True)),
    }
    return [values.get(column) if values.get(column) is not None else f"x{number}" for column in columns]
