"""The rules of the house (CONTRIBUTING.md), read from the syntax trees; nothing is imported."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FLOOR = {"tasks", "digests", "entities", "metrics", "config", "families"}
FLOOR |= {"commands", "errors", "files", "json_reader", "output_dir", "machine", "signals"}
ROOMS = {"data", "model", "distill", "quant", "kernels", "train", "infer", "weights"}
ENTRANCE_MAY_IMPORT = FLOOR | {"stages", "tools"}
WITHOUT_MINDSPORE = FLOOR
REFERENCES_ONLY = {"torch", "transformers"}
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}

# Calls that act on the world; an assignment at module level may build constants, but call none of these.
ACTIONS = {
    "addHandler",
    "basicConfig",
    "init",
    "makedirs",
    "mkdir",
    "open",
    "parse",
    "parse_args",
    "print",
    "read_json",
    "read_object",
    "read_text",
    "run",
    "seed",
    "set_context",
    "set_device",
    "set_seed",
    "system",
}

MAX_FILES = 15  # of Python in a folder below src
MAX_FILE, MAX_ENTRANCE, MAX_FUNCTION, MAX_PARAMETERS, MAX_COLUMNS = 400, 120, 60, 7, 110

ENTRANCES = sorted(ROOT.glob("run_*.py")) + sorted((ROOT / "src" / "tools").rglob("*.py"))
SOURCES = sorted((ROOT / "src").rglob("*.py")) + sorted(ROOT.glob("run_*.py"))
PACKAGES = sorted({path.parent for path in (ROOT / "src").rglob("*.py")})
TESTS = sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "benchmarks").rglob("*.py"))
SHELL = sorted((ROOT / "scripts").glob("*.sh")) + [ROOT / ".ci" / "run"]
TEXTS = [path for path in ROOT.glob("*") if path.suffix in {".md", ".txt", ".toml"}] + sorted(
    (ROOT / "docs").rglob("*.md")
)


def name_of(path):
    return str(path.relative_to(ROOT))


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_modules(path):
    """Dotted names of all that a file imports at run time; `from src import x` is `src.x`."""
    package = path.relative_to(ROOT).parent.parts
    for node in running(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*parents, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def running(tree):
    """The nodes of a tree but those under `if TYPE_CHECKING:`, which annotations alone need."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from running(node)


def place_of(path):
    """The floor module, room, `stages` or `tools` that a file of src/ belongs to; None for run_*.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "src" else None


def may_import(place):
    if place in FLOOR:
        return FLOOR
    if place in ROOMS:
        return FLOOR | {place}
    if place == "stages":
        return FLOOR | ROOMS | {"stages"}
    return ENTRANCE_MAY_IMPORT


def own_places(path):
    """The floor modules, rooms and other places of src/ that a file imports."""
    return {module.split(".")[1] for module in imported_modules(path) if module.startswith("src.")}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_follow_the_star(path):
    own = own_places(path)
    assert own <= may_import(place_of(path)), "rooms are handed what they need: wire them in src/stages"
    outside = {module.split(".")[0] for module in imported_modules(path)}
    assert not outside & REFERENCES_ONLY, "torch and transformers are references of the tests"
    assert not any(name.startswith(("run_", "tests")) for name in outside), "nothing imports an entrance"
    if place_of(path) in WITHOUT_MINDSPORE:
        assert "mindspore" not in outside, "the floor imports without mindspore"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_only_stages_import_several_rooms(path):
    place = place_of(path)
    if place != "stages":
        assert ((own_places(path) | {place}) & ROOMS) <= {place}, "wire rooms together in src/stages"


@pytest.mark.parametrize("folder", PACKAGES, ids=name_of)
def test_packages(folder):
    files = list(folder.glob("*.py"))
    assert (folder / "__init__.py").is_file(), "a package needs an __init__.py"
    if folder != ROOT / "src" / "tools":  # one file for each command
        assert len(files) <= MAX_FILES, f"{len(files)} Python files: make sub-packages"


def is_inert(node):
    """Whether a statement at module or class level only defines something."""
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.Pass)):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.ClassDef):
        return all(map(is_inert, node.body))
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names_only = all(isinstance(part, (ast.Name, ast.Tuple)) for part in targets)
        return names_only and not any(map(is_action, ast.walk(node)))
    if isinstance(node, ast.Try):
        return all(map(is_inert, [*node.body, *node.orelse, *(s for h in node.handlers for s in h.body)]))
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING")


def is_action(node):
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    return (function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")) in ACTIONS


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_importing_does_nothing(path):
    acting = [node.lineno for node in tree_of(path).body if not is_inert(node)]
    assert not acting, f"statements that act at import: lines {acting}"


def parameter_count(function):
    names = [a.arg for a in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]]
    return len([name for name in names if name not in ("self", "cls")])


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=name_of)
def test_sizes(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    limit = MAX_ENTRANCE if path.name.startswith("run_") else MAX_FILE
    assert len(lines) <= limit, f"{len(lines)} lines: split it"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            assert length <= MAX_FUNCTION, f"{node.name} has {length} lines"
            # MindSpore counts the parameters of a bprop: each input of the operator, its output and upstream.
            if node.name != "bprop":
                assert parameter_count(node) <= MAX_PARAMETERS, f"{node.name}: pass a dataclass"


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=name_of)
def test_names_say_something(path):
    assert not VAGUE_NAMES & set(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", SHELL, ids=name_of)
def test_shell_scripts(path):
    checked = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    # Python's lines are ruff's to check.
    long_lines = [n for n, line in enumerate(path.read_text().splitlines(), 1) if len(line) > MAX_COLUMNS]
    assert not long_lines, f"lines over {MAX_COLUMNS} columns: {long_lines}"


@pytest.mark.parametrize("path", SOURCES + TESTS + SHELL + TEXTS, ids=name_of)
def test_no_private_path(path):
    private = re.findall(r"/(?:work|root|home)/\w+|\.\./shared\b", path.read_text(encoding="utf-8"))
    assert not private, f"paths of one machine: {private}"


def test_every_entrance_has_a_line_for_the_list():
    for path in ENTRANCES:
        if path.name != "__init__.py":
            assert ast.get_docstring(tree_of(path)), f"{name_of(path)} has no docstring"
