"""docs/migration.md: each flag, script, command and log line that it calls ours is there.

A comment above a table says against what its `ours` column is held: the flags of commands, the lines of the
log, or the recipes of the tasks.
"""

import dataclasses
import re
from pathlib import Path

import pytest

from src.config.bert_config import BertConfig
from src.tasks import TASKS
from tests.test_readme import PARSERS, rows_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
TABLE = re.compile(r"(?:<!-- ours: (?P<held>[^>]*) -->\n)?(?P<rows>(?:\|.*\n)+)")
HEADER = ["theirs", "is", "ours", "note"]
SYSTEMS = 5
NOWHERE = "–"
# What differs from line to line; outputs or loss is the name that a stage gives.
PLACEHOLDER = re.compile(r"\b[A-Z]+\b|\boutputs\b|\bloss\b")


def tables():
    """(heading, what it is held against, rows with their header) of each table but the legend."""
    for match in TABLE.finditer(PAGE):
        headings = re.findall(r"^##+ (.*)$", PAGE[: match.start()], re.MULTILINE)
        if headings:
            yield headings[-1], match["held"], rows_of(match["rows"])


TABLES = list(tables())
NAMED = [(f"{title} ({held})", held, rows) for title, held, rows in TABLES if rows[0] == HEADER]


def source_text():
    files = [*(ROOT / "src").rglob("*.py"), *ROOT.glob("run_*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


SOURCES = source_text()
STRINGS = re.sub(r'"\s*\n\s*f?"', "", SOURCES)  # strings that go on in the next line as one


def flags_of(command):
    fields = dataclasses.fields(PARSERS[command][0])
    names = {name for field in fields for name in (field.name, field.metadata.get("alias")) if name}
    return {f"--{name}" for name in names} | {"--help"}


def code(cell):
    return re.findall(r"`([^`]+)`", cell)


def is_there(token, flags):
    """Whether code of an `ours` cell is one of these flags, a command, a file, or stands in the sources."""
    if token.startswith("--"):
        return token.split()[0] in flags
    if token.startswith("python "):
        return token in PARSERS
    if "/" in token or token.endswith((".sh", ".md")) or token.startswith("run_"):
        return (ROOT / token).is_file()
    return token in SOURCES or (ROOT / token).is_file()


def is_printed(line):
    """Whether a line of the log, its placeholders in capitals, is what some f-string of the sources makes."""
    pattern = PLACEHOLDER.sub(lambda match: "\x00", line.replace("{METRICS}", "METRICS"))
    return re.search(re.escape(pattern).replace("\x00", r"\{.*?\}"), STRINGS)


def test_there_are_five_systems_and_each_table_is_of_a_known_form():
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    assert len(sections) == SYSTEMS and all("### Published figures" in each for each in sections)
    for title, held, rows in TABLES:
        figures = rows[0] == ["figure", "theirs", "ours"]
        assert figures or (held and (rows[0] == HEADER or held == "recipe")), title
        assert len(rows) > 1 and {len(row) for row in rows} == {len(rows[0])}, title


@pytest.mark.parametrize("title, held, rows", NAMED, ids=[title for title, *_ in NAMED])
def test_each_row_says_what_became_of_it(title, held, rows):
    for theirs, word, ours, note in rows[1:]:
        assert theirs and word in ("same", "renamed", "changed", "left out"), theirs
        assert (ours == NOWHERE) == (word == "left out"), theirs
        assert note or word in ("same", "renamed") or "`" in ours, theirs
        assert note if word == "left out" else code(ours), theirs
    assert len({row[0] for row in rows}) == len(rows), f"{title}: a row twice"


@pytest.mark.parametrize("title, held, rows", NAMED, ids=[title for title, *_ in NAMED])
def test_what_is_called_ours_is_there(title, held, rows):
    if held == "log":
        return
    for theirs, word, ours, note in rows[1:]:
        commands = [token for token in code(f"{ours} {note}") if token in PARSERS] or held.split(", ")
        flags = set().union(*map(flags_of, commands))
        for token in code(ours):
            assert is_there(token, flags), f"{theirs}: {token}"
            if word == "same" and token.startswith("--") and re.fullmatch(r"`\w+`.*", theirs):
                name = code(theirs)[0]
                assert token == f"--{name}" or "=" in name or len(code(ours)) > 1, f"{theirs} is not the same"
            if token.isidentifier() and "bert_config.py" in ours:
                assert token in BertConfig.__dataclass_fields__, token


@pytest.mark.parametrize("rows", [rows for _, held, rows in TABLES if held == "log"])
def test_the_lines_of_the_log_are_made_somewhere(rows):
    for _, word, ours, _ in rows[1:]:
        for line in code(ours) if word != "left out" else ():
            assert is_printed(line), line


def test_the_recipes_are_those_of_the_table():
    (rows,) = [rows for _, held, rows in TABLES if held == "recipe"]
    names = rows[0][1:-2]
    for row in rows[1:]:
        flag = code(row[-1])[0].removeprefix("--")
        for name, value in zip(names, row[1:-2], strict=True):
            task = TASKS[name]
            ours = task.max_seq_length if flag == "max_seq_length" else task.recipe["task_distill"][flag]
            assert ours == float(value), f"{name}: {flag}"


def test_measured_figures_are_those_of_the_results():
    for title, _, rows in TABLES:
        for figure, theirs, ours in rows[1:] if rows[0][0] == "figure" else ():
            assert figure and theirs and ours, title
            for number in re.findall(r"\b0\.\d{4}\b|\b\d\d\.\d\d\b", ours):
                assert number in RESULTS, f"{figure}: {number} is not in docs/results.md"
