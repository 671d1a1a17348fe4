"""Models side by side: size on disk, latency of one text, throughput of batches, measured in turn."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...files import read_json, write_json, write_text
from ...infer.latency import interleaved_milliseconds
from ...machine import describe_machine
from ...output_dir import check_output_dir, fresh_output_dir
from ..markdown import aligned
from ..model.inference import load_for_inference
from ..model.named_models import named_models
from .random_model import RANDOM, random_model
from .serving_plot import plot_quality

WRITTEN = ("benchmark.json", "table.md", "quality.png")
RESULT_FILES = ("eval_results.json", "metrics.json")
FACTS = ("processor", "instructions", "cores", "platform", "packages")
BATCH_WARM_UP = 3
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


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model to be timed: `predict` as in OpenModel; `megabytes` of its file; `vocab_size` and `positions`
    bound its inputs; `quality` (metric, value) where an evaluation lies beside the file, else None."""

    name: str
    predict: Callable
    engine: str
    precision: str
    megabytes: float
    vocab_size: int
    positions: int
    quality: tuple | None = None


def benchmark(config, peers=()):
    """Run a BenchmarkConfig: print the table, write benchmark.json, table.md and, where models have results,
    quality.png. `peers` are Subjects from elsewhere, which come first. Returns the rows."""
    models = named_models(config.models, (RANDOM,))
    folders = [place for place in models.values() if not place.startswith(RANDOM)]
    check_output_dir(config.output_dir, config.overwrite_output_dir, folders)
    lengths = parse_lengths(config.lengths)
    with contextlib.ExitStack() as stack:
        ours = [open_subject(name, place, config, stack) for name, place in models.items()]
        subjects = [*peers, *ours]
        refuse_too_long(subjects, lengths)
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


def parse_lengths(text):
    """`16,64` -> [16, 64]. Raises UserError for what is no positive number."""
    try:
        lengths = [int(part) for part in text.split(",")]
    except ValueError:
        lengths = [0]
    if min(lengths) < 1:
        raise UserError(f'--lengths "{text}" is not a comma list of numbers above 0')
    return lengths


def open_subject(name, place, config, stack):
    """The Subject of a folder, or of random weights, whose file lives as long as `stack`."""
    threads = thread_count(config)
    if place.startswith(RANDOM):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = random_model(place, folder, threads)
    else:
        model = load_for_inference(place, config, threads, print)
    engine = "ONNX Runtime" if model.source.suffix == ".onnx" else "MindSpore"
    return Subject(
        name,
        model.predict,
        engine,
        model.precision,
        model.megabytes,
        model.config.vocab_size,
        model.config.max_position_embeddings,
        quality_of(model.source.parent),
    )


def quality_of(folder):
    """(metric, value) of the evaluation that lies in a folder, its first metric; None without one."""
    for name in RESULT_FILES:
        if (folder / name).is_file():
            values = read_json(folder / name)
            found = values.items() if isinstance(values, dict) else ()
            return next(
                (
                    (key.removeprefix("eval_"), value)
                    for key, value in found
                    if key.startswith("eval_") and key != "eval_samples" and isinstance(value, (int, float))
                ),
                None,
            )
    return None


def refuse_too_long(subjects, lengths):
    """Raise UserError for a length beyond the positions of a model."""
    for subject in subjects:
        if max(lengths) > subject.positions:
            raise UserError(
                f"--lengths {max(lengths)} is more than the {subject.positions} positions of {subject.name}"
            )


def measure(subjects, lengths, config):
    """The rows of the table: each model at each length, ratios to the first model."""
    rows = []
    for length in lengths:
        single = interleaved_milliseconds([call_of(s, 1, length) for s in subjects], config.repeats)
        whole = interleaved_milliseconds(
            [call_of(s, config.batch_size, length) for s in subjects], config.batches, BATCH_WARM_UP
        )
        for place, subject in enumerate(subjects):
            rows.append(
                {
                    "model": subject.name,
                    "engine": subject.engine,
                    "precision": subject.precision,
                    "megabytes": subject.megabytes,
                    "of_the_first": subject.megabytes / subjects[0].megabytes,
                    "length": length,
                    "p50_ms": float(np.median(single[place])),
                    "p95_ms": float(np.percentile(single[place], 95)),
                    "times_faster": float(np.median(single[0] / single[place])),
                    "texts_per_second": 1000.0 * config.batch_size / float(np.median(whole[place])),
                    "times_more": float(np.median(whole[0] / whole[place])),
                }
            )
            if subject.quality:
                rows[-1][subject.quality[0]] = subject.quality[1]
    return rows


def call_of(subject, rows, length):
    """A call of the model on `rows` texts of random tokens without padding."""
    ids = np.random.default_rng(0).integers(0, subject.vocab_size, (rows, length), dtype=np.int32)
    return partial(subject.predict, ids, np.zeros_like(ids), np.ones_like(ids))


def machine_facts(config):
    """{fact: value} of what the figures depend on."""
    described = describe_machine()
    return {
        "threads": thread_count(config),
        **{name: described[name] for name in FACTS},
        "load before": load_average(),
    }


def thread_count(config):
    """--threads, or one for each core this process may use."""
    return config.threads or len(os.sched_getaffinity(0))


def load_average():
    """Processes that wanted a core during the last minute; above the number of cores the figures suffer."""
    return round(os.getloadavg()[0], 1)


def render(rows):
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
    return aligned(lines, words=3)


def quality_points(subjects, rows, lengths):
    """What plot_quality draws: models with a result, their latency at the middle length."""
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
