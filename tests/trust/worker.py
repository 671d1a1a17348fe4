"""One of the processes that try the cases of a part, started by __main__.

Its working folder is the checkout under test, whose modules it imports; fault_injection.c is preloaded.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path

from .outcomes import Settings, outcomes

# Imported once, before processes are forked for the cases.
WARM = (
    "mindspore.dataset",
    "mindspore.mindrecord",
    "onnx",
    "onnxruntime",
    "matplotlib.pyplot",
    "src.stages.augmentation.augment",
    "src.stages.evaluation.benchmark",
    "src.stages.evaluation.compare",
    "src.stages.evaluation.evaluate",
    "src.stages.evaluation.glue_table",
    "src.stages.preparation.download",
    "src.stages.preparation.prepare",
    "src.stages.preparation.prepare_corpus",
    "src.stages.pruning.prune",
    "src.stages.serving.convert",
    "src.stages.serving.export",
    "src.stages.serving.predict",
    "src.stages.training.finetune",
    "src.stages.training.general_distill",
    "src.stages.training.q8bert",
    "src.stages.training.task_distill",
)

os.environ.setdefault("GLOG_v", "3")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def main() -> None:
    """Try the cases of a part that no other worker has taken, and print their outcomes to a file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part")
    parser.add_argument("folder", type=Path)
    parser.add_argument("claims", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--budget", type=float, default=1.0)
    parser.add_argument("--slice", action="store_true")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    settings = Settings(given.folder, Path.cwd(), given.seed, given.budget, given.slice)
    for module in WARM:
        importlib.import_module(module)
    part = importlib.import_module(f".parts.{given.part}", __package__)
    with open(given.folder / "outcomes.jsonl", "a", buffering=1, encoding="utf-8") as file:
        for number, case in enumerate(part.cases(settings)):
            if given.only in case.name and _claim(given.claims / str(number)):
                for outcome in outcomes(part.FIGURE, case):
                    file.write(outcome.line() + "\n")


def _claim(path: Path) -> bool:
    """Take a case that no other worker has taken."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


if __name__ == "__main__":
    main()
    # MindSpore's threads need no tidy end.
    sys.stdout.flush()
    os._exit(0)
