"""Signals at random moments of real commands, from the start of the process on."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests import tiny

from ..inputs import Inputs, corpus_flags
from ..outcomes import Case, Settings, left, snapshot
from ..sessions import outputs, start
from ..stages import STAGES

FIGURE = "signals"
TRIES = 6  # of each command
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS = 300
EARLY = 0.1  # seconds in which Python itself starts


def commands(inputs: Inputs, output: Path) -> dict[str, list]:
    """Command lines, by name; each takes seconds."""
    tool = [sys.executable, "-m"]
    model, text = inputs.model(), inputs.text(0)
    training = {stage.name: (stage.script, stage.flags(inputs, output, 400)) for stage in STAGES[:4]}
    seeds = [*STAGES[0].flags(inputs, output, 3), "--seeds=1,2"]
    places = {"data_dir": text, "vocab_file": inputs.vocabulary, "output_dir": output}
    prepare = tiny.flags(task_name="SST-2", **places, max_seq_length=16, dataset_type="mindrecord")
    onnx = tiny.flags(model_dir=model, output_dir=output, kernels="off")
    evaluation = tiny.flags(
        task_name="SST-2", model_dir=model, eval_data_dir=inputs.records(), output_dir=output
    )
    return {
        **{name: [sys.executable, f"{script}.py", *flags] for name, (script, flags) in training.items()},
        "seeds": [sys.executable, "run_finetune.py", *seeds],
        "launcher": ["bash", "scripts/launch.sh", "standalone", "run_finetune.py", *training["finetune"][1]],
        "prepare": [*tool, "src.tools.prepare", *prepare],
        "prepare_corpus": [
            *tool,
            "src.tools.prepare_corpus",
            *corpus_flags(inputs, output, 0),
            "--workers=2",
            f"--input={inputs.corpus_text(1, 3000)}",
        ],
        "export": [*tool, "src.tools.export", *onnx],
        "evaluate": [*tool, "src.tools.evaluate", *evaluation],
        "convert": [*tool, "src.tools.convert", *tiny.flags(input=model, output_dir=output)],
    }


def cases(settings: Settings) -> Iterator[Case]:
    """Some tries of each command."""
    names = list(commands(Inputs(settings.folder / "inputs"), settings.folder / "output"))
    for name in names[:1] if settings.slice else names:
        for number in range(settings.count(TRIES, 3)):
            yield Case(f"{name}, {number}", partial(_check, settings, name, number))


def _check(settings: Settings, name: str, number: int) -> Iterator[tuple[str, str | None]]:
    draw = settings.draw("signals", name, number)
    output = settings.folder / f"{name}-{number}"
    command = commands(Inputs(settings.folder / "inputs"), output)[name]
    # Most of the time goes to the start: half of the moments are there.
    moment = EARLY + draw.random() * (2 if number % 2 else 9)
    sent = NUMBERS[number % len(NUMBERS)]
    process = start(command, LOG=str(output.with_suffix(".log")))
    time.sleep(moment)
    tried = f"{signal.Signals(sent).name} after {moment:.2f} s"
    if sent == signal.SIGTERM:
        process.send_signal(sent)
    else:  # from a terminal, which sends it to all
        os.killpg(process.pid, sent)
    ended = outputs(process, SECONDS)
    if ended is None:
        yield tried, "it does not end"
        return
    out, err = ended
    said = (out if name == "launcher" else err or out).strip().splitlines()  # a launcher merges both outputs
    yield tried, _problem(process.returncode, sent, said) or _left_behind(process.pid, output)


def _problem(code: int, sent: int, said: list[str]) -> str | None:
    if code == 0:
        return None  # it was done before
    text = "\n".join(said)
    if "Traceback" in text or "Fatal Python error" in text or "Error:" in text:
        return f"exit code {code}: {said[-1][:200]}"
    # Without a terminal: while a graph runs MindSpore turns SIGINT into SIGTERM.
    expected = (128 + sent, 143) if sent == signal.SIGINT and "state saved" in text else (128 + sent,)
    if code not in expected:
        return f"exit code {code} instead of {128 + sent}: {said[-1][:200] if said else ''}"
    lines = [number for number, line in enumerate(said) if line.startswith("interrupted")]
    if len(lines) != 1:
        return f"{len(lines)} lines say so: {text[-200:]}"
    return None


def _left_behind(group: int, output: Path) -> str | None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        os.killpg(group, signal.SIGKILL)
        return "it leaves processes"
    remaining = left(snapshot(output.parent))
    remaining = [name for name in remaining if name.startswith(output.name) or f".{output.name}." in name]
    return f"it leaves {remaining[0]}" if remaining else None
