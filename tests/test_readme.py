"""README.md, README_CN.md and docs/ match the code: tables, commands, links.

The tables between `<!-- flags CLASS names -->` (or `<!-- tasks -->`, `<!-- foreign -->`) and `<!-- end -->`
are generated from the config classes (or the tasks, the flags of other projects):
`python -m tests.test_readme` updates them.
"""

import ast
import dataclasses
import importlib
import re
import shlex
import textwrap
from functools import partial
from pathlib import Path

import pytest

from src.__main__ import commands as listed_commands
from src.commands import command_line
from src.config.cli import parse
from src.config.fields import AUTO, takes_auto
from src.config.migration.foreign_flags import FOREIGN
from src.tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent
ENGLISH = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CHINESE = ROOT / "README_CN.md"
PAGES = [*ENGLISH, CHINESE]


def parser_of(entrance):
    """(config class, function that parses a command line) of a run_*.py or a tool."""
    module = importlib.import_module(".".join(entrance.relative_to(ROOT).with_suffix("").parts))
    resolve = getattr(module, "resolve", None)
    owner = importlib.import_module(resolve.__module__) if resolve else module
    classes = [
        value
        for name, value in vars(owner).items()
        if name.endswith("Config") and dataclasses.is_dataclass(value)
    ]
    own = [each for each in classes if each.__module__ == owner.__name__]
    config_class = (own or classes)[0]
    return config_class, resolve or partial(parse, config_class)


PARSERS = {command: parser_of(path) for command, path in listed_commands()}
BLOCK = re.compile(r"(<!-- (flags|tasks|foreign)([^>]*) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
CODE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
# Flags of run_glue.sh whose values are flags of a stage.
PASSED_ON = {
    "--prepare": "python -m src.tools.prepare",
    "--finetune": "python run_finetune.py",
    "--distill": "python run_task_distill.py",
    "--q8bert": "python run_q8bert_train.py",
    "--export": "python -m src.tools.export",
    "--evaluate": "python -m src.tools.evaluate",
}
LAUNCHED = re.compile(
    r"""^launch \w+ (?:"\$\w+" )*(run_\w+\.py|-m src\.tools\.\w+|"\$SCRIPT")""", re.MULTILINE
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


# Tables


def flags_table(arguments, old=""):
    """Rows of flag, default, meaning of `CLASS [own | inherited | names...]`; `old` is a translated table."""
    path, *names = arguments.split()
    module, _, name = path.rpartition(".")
    config_class = getattr(importlib.import_module(module), name)
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    if names in (["own"], ["inherited"]):
        names = [name for name in fields if (name in config_class.__annotations__) == (names == ["own"])]
    known = {row[0]: row[2] for row in rows_of(old)}
    head = rows_of(old)[:1] or [["flag", "default", "meaning"]]
    rows = [(f"`--{name}`", default_of(fields[name]), meaning_of(fields[name])) for name in names or fields]
    return as_markdown(head + [[flag, default, known.get(flag, text)] for flag, default, text in rows])


def default_of(field):
    if field.metadata.get("required"):
        return "required"
    if takes_auto(field) and field.default == AUTO:
        return "`auto`"
    value = field.default
    return f"`{str(value).lower() if isinstance(value, bool) else repr(value).replace(chr(39), chr(34))}`"


def meaning_of(field):
    choices = [f"`{choice}`" for choice in field.metadata.get("choices") or () if choice != ""]
    listed = f" ({', '.join(choices)})" if choices else ""
    return field.metadata["help"] + listed


def tasks_table(arguments="", old=""):
    rows = [
        [
            "task",
            "text columns",
            "label column",
            "labels",
            "tokens",
            "metrics, the deciding one first",
            "epochs of phase 1 + 2",
        ]
    ]
    for task in TASKS.values():
        metrics = sorted(task.metrics, key=lambda name: name != task.best_metric)
        recipe = task.recipe["task_distill"]
        rows.append(
            [
                task.name,
                ", ".join(task.text_columns),
                task.label_column,
                ", ".join(task.labels) or "a score",
                str(task.max_seq_length),
                ", ".join(metrics),
                f"{recipe['td_phase1_epoch_size']} + {recipe['td_phase2_epoch_size']}",
            ]
        )
    return as_markdown(rows)


def foreign_table(arguments="", old=""):
    rows = [["theirs", "ours"]]
    for name, ways in FOREIGN.items():
        rows.append([f"`{name}`", "; ".join(re.sub(r"(--\w+)", r"`\1`", way) for way in ways)])
    return as_markdown(rows)


BUILDERS = {"flags": flags_table, "tasks": tasks_table, "foreign": foreign_table}


def as_markdown(rows):
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"


def rows_of(markdown):
    """The cells of a table, the header first, without the delimiter row."""
    lines = [line.strip().strip("|") for line in markdown.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return [row for row in rows if not set("".join(row)) <= set("-:| ")]


def updated(page):
    """The text of a page with its tables generated again; a translation keeps its own texts."""

    def build(match):
        old = match[4] if page == CHINESE else ""
        return match[1] + BUILDERS[match[2]](match[3], old) + match[5]

    return BLOCK.sub(build, page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_match_the_config_classes(page):
    assert page.read_text(encoding="utf-8") == updated(page), "run: python -m tests.test_readme"


def documented_flags():
    """(class, field name) of every row of the tables in English."""
    for page in ENGLISH:
        for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
            if match[2] == "flags":
                path = match[3].split()[0]
                for row in rows_of(match[4])[1:]:
                    yield path, row[0].strip("`-")


@pytest.mark.parametrize("command", PARSERS)
def test_every_flag_is_in_a_table(command):
    config_class, rows = PARSERS[command][0], set(documented_flags())
    path = f"{config_class.__module__}.{config_class.__name__}"
    missing = [field.name for field in dataclasses.fields(config_class) if (path, field.name) not in rows]
    assert not missing, f"a page of docs/ needs: <!-- flags {path} --> and <!-- end -->"


def test_both_languages_have_the_same_tables():
    columns = [
        [
            (match[2], match[3], [row[:2] for row in rows_of(match[4])[1:]])
            for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
        ]
        for page in (ROOT / "README.md", CHINESE)
    ]
    assert columns[0] == columns[1]


def test_the_translation_is_complete():
    for match in BLOCK.finditer(CHINESE.read_text(encoding="utf-8")):
        english = {row[0]: row[2] for row in rows_of(flags_table(match[3]))[1:]}
        same = [row[0] for row in rows_of(match[4])[1:] if row[2] == english[row[0]]]
        assert not same, f"README_CN.md: not translated yet: {', '.join(same)}"


# Commands


def blocks(page, language):
    text = page.read_text(encoding="utf-8")
    return [textwrap.dedent(code) for found, code in CODE.findall(text) if found == language]


def shell_commands(page):
    """The python and bash commands of a page's bash blocks, as lists of words."""
    lines = "\n".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    words = [
        [*command_line(line[1]).split(), *line[2:]] if line[:1] == ["bert-compression"] else line
        for line in words
    ]
    return [line for line in words if line and line[0] in ("python", "bash")]


def test_both_languages_have_the_same_commands():
    english, chinese = (shell_commands(page) for page in (ROOT / "README.md", CHINESE))
    assert english and english == chinese


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_parse(page):
    for words in shell_commands(page):
        length = 3 if words[1] == "-m" else 2
        command, arguments = " ".join(words[:length]), words[length:]
        if command in PARSERS:
            config_class, resolve = PARSERS[command]
            resolve(with_task(config_class, arguments) if command.startswith("python run_") else arguments)
        elif words[0] == "bash":
            check_script(words[1], arguments)
        elif command.startswith("python -m benchmarks."):
            script = ROOT / f"{words[2].replace('.', '/')}.py"
            assert script.is_file(), f"no such command: {command}"
        else:
            assert command == "python -m src" or words[1] == "-c", f"no such command: {command}"


def with_task(config_class, arguments):
    """The arguments with a task: without one, a training stage reads it from the records."""
    unnamed = "task_name" in config_class.__dataclass_fields__ and "--task_name" not in arguments
    return [*arguments, *(["--task_name", "SST-2"] if unnamed else [])]


def check_script(script, arguments):
    """Check that a script exists, and reads these flags or passes them on to the stage it launches."""
    text = (ROOT / script).read_text(encoding="utf-8")
    launched = LAUNCHED.search(text)
    if launched:
        named = re.search(r"^take_arguments (.+)$", text.replace("\\\n", ""), re.MULTILINE)
        values = dict(zip(named[1].split() if named else (), arguments, strict=False))
        arguments = arguments[len(values) :]
        config_class, resolve = PARSERS[f"python {values.get('SCRIPT', launched[1])}"]
        passed = [word for word in arguments if word not in ("--background", "--dry_run")]
        resolve(with_task(config_class, passed))
        return
    for before, word in zip(["", *arguments], arguments, strict=False):
        if before in PASSED_ON:
            fields = PARSERS[PASSED_ON[before]][0].__dataclass_fields__
            assert {flag[2:] for flag in word.split() if flag.startswith("--")} <= set(fields), word
        else:
            assert not word.startswith("--") or re.search(rf"{word}\b", text), f"{script} has no {word}"


def test_every_command_is_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [command for command in PARSERS if f"`{command}`" not in text]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_in_the_text_exist(page):
    fields = [field for config, _ in PARSERS.values() for field in dataclasses.fields(config)]
    known = {f"--{name}" for field in fields for name in (field.name, field.metadata.get("alias")) if name}
    files = *(ROOT / "scripts").glob("*.sh"), *(ROOT / "benchmarks").glob("*.py")
    scripts = "".join(path.read_text(encoding="utf-8") for path in files)
    known |= {"--help", "--traceback", *re.findall(r"--[a-z][\w-]+", scripts)}
    prose = CODE.sub("", page.read_text(encoding="utf-8"))
    inline = " ".join(re.findall(r"`([^`\n]+)`", prose))
    assert not set(re.findall(r"--[a-z][\w-]*", inline)) - known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_imports_of_python_snippets_exist(page):
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("src."):
                source = (ROOT / node.module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
                defined = {getattr(part, "name", None) for part in ast.parse(source).body}
                assert {alias.name for alias in node.names} <= defined


# Links


def anchors(page):
    """The anchors of a page's headings: lower case, spaces to hyphens, no punctuation."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page):
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text) + re.findall(r'(?:src|href)="([^"]+)"', text):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(path), f"{page.name}: {target}"


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(updated(each), encoding="utf-8")
