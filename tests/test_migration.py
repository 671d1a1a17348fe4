"""docs/migration.md: each flag, script, command and log line in an `ours` column exists.

A comment above a table names what its `ours` column is checked against: the flags of commands, log lines,
or the recipes of the tasks.
"""

import dataclasses
import re
from pathlib import Path

import pytest

from src.config.bert_config import BertConfig
from src.config.gd_config import GeneralDistillConfig
from src.config.migration import zoo_recipe
from src.config.q8bert_config import Q8BertConfig
from src.config.td_config import RATES, TaskDistillConfig
from src.tasks import TASKS
from tests.test_readme import PARSERS, rows_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
TABLE = re.compile(r"(?:<!-- ours: (?P<source>[^>]*) -->\n)?(?P<rows>(?:\|.*\n)+)")
RECIPE_HEADER = ["rule", "model zoo", "here by default", "`--recipe zoo`"]
HEADER = ["theirs", "is", "ours", "note"]
SYSTEMS = 5
ANSWERED = "Flags answered by name\n"  # generated, see tests/test_readme.py
NOWHERE = "–"
# Values that vary from line to line; stages call the loss `outputs` or `loss`.
PLACEHOLDER = re.compile(r"\b[A-Z]+\b|\boutputs\b|\bloss\b")


def tables():
    """(heading, what it is checked against, rows with their header) of each table but the legend."""
    for match in TABLE.finditer(PAGE):
        headings = re.findall(r"^##+ (.*)$", PAGE[: match.start()], re.MULTILINE)
        if headings and not PAGE[: match.start()].endswith("<!-- foreign -->\n"):
            yield headings[-1], match["source"], rows_of(match["rows"])


TABLES = list(tables())
NAMED = [(f"{title} ({source})", source, rows) for title, source, rows in TABLES if rows[0] == HEADER]


def source_text():
    files = [*(ROOT / "src").rglob("*.py"), *ROOT.glob("run_*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


SOURCES = source_text()
STRINGS = re.sub(r'"\s*\n\s*f?"', "", SOURCES)  # adjacent string literals joined


def flags_of(command):
    fields = dataclasses.fields(PARSERS[command][0])
    names = {name for field in fields for name in (field.name, field.metadata.get("alias")) if name}
    return {f"--{name}" for name in names} | {"--help"}


def code(cell):
    return re.findall(r"`([^`]+)`", cell)


def exists(token, flags):
    """Whether code in an `ours` cell is one of these flags, a command, a file, or part of the source."""
    if token.startswith("--"):
        return token.split()[0] in flags
    if token.startswith("python "):
        return token in PARSERS
    if "/" in token or token.endswith((".sh", ".md")) or token.startswith("run_"):
        return (ROOT / token).is_file()
    return token in SOURCES or (ROOT / token).is_file()


def is_printed(line):
    """Whether some f-string of the source produces a log line, whose placeholders are in capitals."""
    pattern = PLACEHOLDER.sub(lambda match: "\x00", line.replace("{METRICS}", "METRICS"))
    return re.search(re.escape(pattern).replace("\x00", r"\{.*?\}"), STRINGS)


def test_five_systems_with_well_formed_tables():
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    sections = [section for section in sections if not section.startswith(ANSWERED)]
    assert len(sections) == SYSTEMS and all("### Published figures" in each for each in sections)
    for title, source, rows in TABLES:
        figures = rows[0] == ["figure", "theirs", "ours"]
        known = rows[0] in (HEADER, RECIPE_HEADER) or source == "recipe"
        assert figures or (source and known), title
        assert len(rows) > 1 and {len(row) for row in rows} == {len(rows[0])}, title


@pytest.mark.parametrize("title, source, rows", NAMED, ids=[title for title, *_ in NAMED])
def test_each_row_states_the_outcome(title, source, rows):
    for theirs, word, ours, note in rows[1:]:
        assert theirs and word in ("same", "renamed", "changed", "left out"), theirs
        assert (ours == NOWHERE) == (word == "left out"), theirs
        assert note or word in ("same", "renamed") or "`" in ours, theirs
        assert note if word == "left out" else code(ours), theirs
    assert len({row[0] for row in rows}) == len(rows), f"{title}: a row twice"


@pytest.mark.parametrize("title, source, rows", NAMED, ids=[title for title, *_ in NAMED])
def test_names_in_the_ours_column_exist(title, source, rows):
    if source == "log":
        return
    for theirs, word, ours, note in rows[1:]:
        commands = [token for token in code(f"{ours} {note}") if token in PARSERS] or source.split(", ")
        flags = set().union(*map(flags_of, commands))
        for token in code(ours):
            assert exists(token, flags), f"{theirs}: {token}"
            if word == "same" and token.startswith("--") and re.fullmatch(r"`\w+`.*", theirs):
                name = code(theirs)[0]
                assert token == f"--{name}" or "=" in name or len(code(ours)) > 1, f"{theirs} is not the same"
            if token.isidentifier() and "bert_config.py" in ours:
                assert token in BertConfig.__dataclass_fields__, token


@pytest.mark.parametrize("rows", [rows for _, source, rows in TABLES if source == "log"])
def test_log_lines_are_produced_by_the_source(rows):
    for _, word, ours, _ in rows[1:]:
        for line in code(ours) if word != "left out" else ():
            assert is_printed(line), line


def test_recipes_match_the_table():
    (rows,) = [rows for _, source, rows in TABLES if source == "recipe"]
    names = rows[0][1:-2]
    for row in rows[1:]:
        flag = code(row[-1])[0].removeprefix("--")
        for name, value in zip(names, row[1:-2], strict=True):
            task = TASKS[name]
            ours = {
                "max_seq_length": task.max_seq_length,
                **RATES["general"],  # their students are general ones
                **task.recipe["task_distill"],
            }
            assert ours[flag] == float(value), f"{name}: {flag}"


def test_the_zoo_s_recipe_matches_the_table():
    (rows,) = [rows for _, source, rows in TABLES if source == "zoo recipe"]
    recipes = {
        "general": zoo_recipe.GENERAL_DISTILL,
        "Q8BERT": zoo_recipe.Q8BERT,
        "": {**zoo_recipe.STUDENT, **zoo_recipe.task_distill_recipe({"recipe": "zoo"})},
    }
    named = set()
    for rule, _, _, cell in rows[1:]:
        recipe = next(values for name, values in recipes.items() if rule.startswith(name))
        for flag, text in (token.split() for token in code(cell)):
            value = recipe[flag.removeprefix("--")]
            expected = text == "true" if isinstance(value, bool) else type(value)(text)
            assert value == pytest.approx(expected) if isinstance(value, float) else value == expected, rule
            named.add(flag.removeprefix("--"))
    # What is not in the table is the same here.
    for recipe, config in (
        (zoo_recipe.GENERAL_DISTILL, GeneralDistillConfig()),
        (zoo_recipe.TASK_DISTILL, TaskDistillConfig()),
        (zoo_recipe.Q8BERT, Q8BertConfig()),
    ):
        left = {name for name in recipe if name not in named and recipe[name] != getattr(config, name)}
        assert not left, left


def test_measured_figures_match_the_results():
    for title, _, rows in TABLES:
        for figure, theirs, ours in rows[1:] if rows[0][0] == "figure" else ():
            assert figure and theirs and ours, title
            for number in re.findall(r"\b0\.\d{4}\b|\b\d\d\.\d\d\b", ours):
                assert number in RESULTS, f"{figure}: {number} is not in docs/results.md"
