"""Benchmark of several models: size on disk, latency of one text, throughput of batches, measured in turn."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UserError
from ...files import atomic_path, write_json, write_text
from ...infer.latency import interleaved_latencies_ms
from ...machine import describe_machine
from ...output_dir import check_output_dir, fresh_output_dir
from ...signals import interruptible
from ..markdown import aligned
from ..model.inference import Predict, load_for_inference, parse_named_models
from .random_model import RANDOM, random_model
from .results import metrics_of

if TYPE_CHECKING:
    from ...tools.benchmark import BenchmarkConfig

WRITTEN = ("benchmark.json", "table.md", "quality.png")
MACHINE_FACTS = ("processor", "instructions", "cores", "platform", "packages")
BATCH_WARM_UP = 3
LENGTHS = (16, 64, 128)
PANEL = (4.2, 3.2)  # inches
PLOT_AXES = {"megabytes": "MB on disk", "milliseconds": "milliseconds a text"}
COLUMNS = (
    "model",
    "engine",
    "precision",
    "MB",
    "of the first",
    "length",
    "p50 ms",
    "p95 ms",
    "times faster",
    "texts/s",
    "times more",
)

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model to benchmark: `predict` as in InferenceModel; `megabytes` of its file; `vocab_size` and
    `positions` bound its inputs; `quality` (metric, value) of an evaluation next to the file, or None."""

    name: str
    predict: Predict
    engine: str
    precision: str
    megabytes: float
    vocab_size: int
    positions: int
    quality: tuple[str, float] | None = None


def benchmark(config: BenchmarkConfig, peers: Sequence[Subject] = ()) -> list[Row]:
    """Run a BenchmarkConfig: print the table, write benchmark.json, table.md and, for models with results,
    quality.png. `peers` are external Subjects, listed first. Returns the rows."""
    models = parse_named_models(config.models, (RANDOM,))
    folders = [spec for spec in models.values() if not spec.startswith(RANDOM)]
    check_output_dir(config.output_dir, config.overwrite_output_dir, folders)
    given = parse_lengths(config.lengths) if config.lengths else []
    with contextlib.ExitStack() as stack:
        subjects = [*peers, *(open_subject(name, spec, config, stack) for name, spec in models.items())]
        lengths = given or default_lengths(subjects)
        check_lengths(subjects, lengths)
        facts = machine_facts(config)
        rows = measure(subjects, lengths, config)
    facts["load after"] = load_average()
    table = render(rows)
    print(
        f"{table}\n\nmilliseconds of one text, texts a second in batches of {config.batch_size}; ratios to "
        f"{subjects[0].name}, medians over rounds in which all models take turns"
    )
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    output = fresh_output_dir(config.output_dir, config.overwrite_output_dir, folders, WRITTEN)
    write_json(output / "benchmark.json", {"machine": facts, "rows": rows})
    write_text(output / "table.md", table + "\n")
    plot_quality(quality_points(subjects, rows, lengths), output / "quality.png")
    return rows


def parse_lengths(text: str) -> list[int]:
    """`16,64` -> [16, 64]. Raises UserError unless all are positive integers."""
    try:
        lengths = [int(part) for part in text.split(",")]
    except ValueError:
        lengths = [0]
    if min(lengths) < 1:
        raise UserError(f'--lengths "{text}" is not a comma list of numbers above 0')
    return lengths


def open_subject(name: str, spec: str, config: BenchmarkConfig, stack: contextlib.ExitStack) -> Subject:
    """The Subject of a folder, or of random weights, whose file is deleted with `stack`."""
    threads = thread_count(config)
    if spec.startswith(RANDOM):
        stack.enter_context(interruptible())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = random_model(spec, folder, threads)
    else:
        model = load_for_inference(spec, config, threads, print)
    engine = "ONNX Runtime" if model.source.suffix == ".onnx" else "MindSpore"
    return Subject(
        name,
        model.predict,
        engine,
        model.precision,
        model.megabytes,
        model.config.vocab_size,
        model.config.max_position_embeddings,
        quality_of(model.folder),
    )


def quality_of(folder: Path) -> tuple[str, float] | None:
    """(metric, value) of the evaluation in a folder, its first metric; None without one."""
    return next(((name, value) for name, (value, _) in metrics_of(folder).items()), None)


def default_lengths(subjects: Sequence[Subject]) -> list[int]:
    """Those of LENGTHS that the positions of every model reach; the fewest positions if none is."""
    positions = min(subject.positions for subject in subjects)
    return [length for length in LENGTHS if length <= positions] or [positions]


def check_lengths(subjects: Sequence[Subject], lengths: Sequence[int]) -> None:
    """Raise UserError for a length beyond the positions of a model."""
    for subject in subjects:
        if max(lengths) > subject.positions:
            raise UserError(
                f"--lengths {max(lengths)} is more than the {subject.positions} positions of {subject.name}"
            )


def measure(subjects: Sequence[Subject], lengths: Sequence[int], config: BenchmarkConfig) -> list[Row]:
    """The rows of the table: each model at each length, ratios to the first model."""
    rows: list[Row] = []
    for length in lengths:
        single = interleaved_latencies_ms([call_of(s, 1, length) for s in subjects], config.repeats)
        batch = interleaved_latencies_ms(
            [call_of(s, config.batch_size, length) for s in subjects], config.batches, BATCH_WARM_UP
        )
        for index, subject in enumerate(subjects):
            rows.append(
                {
                    "model": subject.name,
                    "engine": subject.engine,
                    "precision": subject.precision,
                    "megabytes": subject.megabytes,
                    "of_the_first": subject.megabytes / subjects[0].megabytes,
                    "length": length,
                    "p50_ms": float(np.median(single[index])),
                    "p95_ms": float(np.percentile(single[index], 95)),
                    "times_faster": float(np.median(single[0] / single[index])),
                    "texts_per_second": 1000.0 * config.batch_size / float(np.median(batch[index])),
                    "times_more": float(np.median(batch[0] / batch[index])),
                }
            )
            if subject.quality:
                rows[-1][subject.quality[0]] = subject.quality[1]
    return rows


def call_of(subject: Subject, rows: int, length: int) -> Callable[[], np.ndarray]:
    """A call of the model on `rows` texts of random tokens without padding."""
    ids = np.random.default_rng(0).integers(0, subject.vocab_size, (rows, length), dtype=np.int32)
    return partial(subject.predict, ids, np.zeros_like(ids), np.ones_like(ids))


def machine_facts(config: BenchmarkConfig) -> Row:
    """{fact: value} that the measurements depend on."""
    machine = describe_machine()
    return {
        "threads": thread_count(config),
        **{name: machine[name] for name in MACHINE_FACTS},
        "load before": load_average(),
    }


def thread_count(config: BenchmarkConfig) -> int:
    """--threads, or one per core available to this process."""
    return config.threads or len(os.sched_getaffinity(0))


def load_average() -> float:
    """Load average of the last minute; above the number of cores the measurements suffer."""
    return round(os.getloadavg()[0], 1)


def render(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table whose columns also line up in a terminal."""
    lines = [list(COLUMNS)]
    for row in rows:
        lines.append(
            [
                row["model"],
                row["engine"],
                row["precision"],
                f"{row['megabytes']:.1f}",
                f"{row['of_the_first']:.3f}",
                str(row["length"]),
                f"{row['p50_ms']:.2f}",
                f"{row['p95_ms']:.2f}",
                f"{row['times_faster']:.2f}",
                f"{row['texts_per_second']:.0f}",
                f"{row['times_more']:.2f}",
            ]
        )
    return aligned(lines, text_columns=3)


def quality_points(subjects: Sequence[Subject], rows: Sequence[Row], lengths: Sequence[int]) -> list[Row]:
    """The points of `plot_quality`: models with a result and their latency at the middle length."""
    middle = sorted(lengths)[len(lengths) // 2]
    milliseconds = {row["model"]: row["p50_ms"] for row in rows if row["length"] == middle}
    return [
        {
            "name": subject.name,
            "metric": subject.quality[0],
            "quality": subject.quality[1],
            "megabytes": subject.megabytes,
            "milliseconds": milliseconds[subject.name],
        }
        for subject in subjects
        if subject.quality
    ]


def plot_quality(points: Sequence[Row], path: Path) -> None:
    """Plot quality against size and latency, one panel each, to a .png. Does nothing without points."""
    if not points:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PANEL[0] * len(PLOT_AXES), PANEL[1]), layout="constrained")
    panels = figure.subplots(1, len(PLOT_AXES), sharey=True)
    for panel, (key, title) in zip(panels, PLOT_AXES.items(), strict=True):
        panel.scatter([point[key] for point in points], [point["quality"] for point in points], color="black")
        for point in points:
            panel.annotate(
                point["name"],
                (point[key], point["quality"]),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize="small",
            )
        panel.set(xlabel=title)
        panel.margins(x=0.3, y=0.2)
        panel.set_xlim(left=0)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(points[0]["metric"])
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
