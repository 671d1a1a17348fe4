"""The operators of compiled graphs, and the back ends for which MindSpore documents them.

python -m tests.device.operators FOLDER prints the table of docs/launchers.md; FOLDER contains the graphs that
MindSpore saved with MS_DEV_SAVE_GRAPHS.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

TARGETS = ("CPU", "GPU", "Ascend")
NODE = re.compile(r"^ *%\d+\(.*?\) = (?:PrimFunc_)?([A-Z]\w*)\(", re.MULTILINE)
# Nodes of the graph itself, for which no kernel runs.
STRUCTURE = {"Depend", "Load", "MakeTuple", "Partial", "Return", "Switch", "TupleGetItem", "UpdateState"}
NOT_DOCUMENTED = "no entry"


def saved_operators(folder: Path) -> set[str]:
    """Return the names of the operators in all graphs below `folder`, after the front end's passes."""
    names: set[str] = set()
    for file in folder.rglob("*_validate_*.ir"):
        names |= set(NODE.findall(file.read_text(errors="replace")))
    return names - STRUCTURE


def documented_targets(name: str) -> set[str] | None:
    """Return the `Supported Platforms` in MindSpore's docstring of an operator, None without any."""
    from mindspore import ops
    from mindspore.ops import auto_generate, operations

    function = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    for module, attribute in ((operations, name), (auto_generate, name), (ops, function)):
        text = getattr(getattr(module, attribute, None), "__doc__", None) or ""
        found = re.search(r"Supported Platforms:\s*\n(.*)", text)
        if found:
            return {target for target in TARGETS if f"``{target}``" in found[1]}
    return None


def table(names: Iterable[str]) -> str:
    """Return the Markdown table of operators and back ends."""
    lines = [f"| operator | {' | '.join(TARGETS)} |", f"| --- |{' --- |' * len(TARGETS)}"]
    for name in sorted(names):
        targets = documented_targets(name)
        cells = [NOT_DOCUMENTED if targets is None else "yes" if t in targets else "no" for t in TARGETS]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(saved_operators(Path(sys.argv[1]))), end="")
