"""Comparison of several models on the same records: quality, size and latency, and a plot of the losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config.fields import to_dict
from ...config.task.from_records import task_for
from ...data import splits
from ...files import write_json, write_text
from ...infer.latency import median_latency_ms
from ...infer.logits import collect_logits
from ...metrics import AGREEMENT, agreement_task, best_of, share_of
from ...output_dir import check_output_dir, fresh_output_dir
from ...tasks import TaskSpec
from ...train.curves.loss_plot import LOG_FILE, plot_losses, read_log
from ...weights.huggingface import weight_count
from ..markdown import aligned
from ..model.device import setup_device
from ..model.inference import InferenceModel, load_for_inference, parse_named_models
from .evaluator import Evaluator

if TYPE_CHECKING:
    from ...data.dataloader import Batch
    from ...data.dataset import TokenizedDataset
    from ...tools.compare import CompareConfig

WRITTEN = ("compare.json", "table.md", "losses.png")
COLUMNS = ("model", "{metric}", "of the first", "parameters", "MB", "ms a sentence")

Row = dict[str, Any]


def compare(config: CompareConfig) -> list[Row]:
    """Measure every model of a CompareConfig, print the table and return its rows.

    Writes compare.json, table.md and, for models with a training log, losses.png. Where no evaluation row has
    a label, the metric is the agreement with the first model.
    """
    task, folders = task_for(to_dict(config)), parse_named_models(config.models)
    inputs = (*folders.values(), config.eval_data_dir)
    check_output_dir(config.output_dir, config.overwrite_output_dir, inputs)
    device = setup_device(config, lambda text: None)
    rows: list[Row] = []
    reference: InferenceModel | None = None
    for name, folder in folders.items():
        model = load_for_inference(folder, config, log=print, task=task)
        reference = reference or model
        rows.append({"model": name, **measure(model, reference, task, config)})
    if f"eval_{AGREEMENT}" in rows[0]:
        task = agreement_task(task)
    for row in rows:
        row["of_the_first"] = share_of(best_of(task, row), best_of(task, rows[0]))
    table = render(rows, task)
    target = device.target if device.target == "CPU" else f"{device.target}, of ONNX files on CPU"
    print(
        f"\n{table}\n\n{rows[0]['eval_samples']} rows; milliseconds on {target}, "
        f"one sentence at a time, median of {rows[0]['timed_sentences']}"
    )
    output_dir = fresh_output_dir(config.output_dir, config.overwrite_output_dir, inputs, WRITTEN)
    write_json(output_dir / "compare.json", rows)
    write_text(output_dir / "table.md", table + "\n")
    plot_losses(
        {name: log for name, folder in folders.items() if (log := training_log(folder))},
        output_dir / "losses.png",
    )
    return rows


def measure(model: InferenceModel, reference: InferenceModel, task: TaskSpec, config: CompareConfig) -> Row:
    """{eval_<metric>: value, ..., parameters, megabytes, milliseconds} of one model.

    Where no row has a label the metric is the agreement with `reference`.
    """
    logits, others = (partial(collect_logits, each.predict) for each in (model, reference))
    evaluator = Evaluator(logits, model.config, task, config, model.tokenizer_dir, others)
    dataset = next(iter(evaluator.loaders.values())).dataset
    sentences = [batch[:3] for batch in sentence_batches(dataset, config)]
    milliseconds = median_latency_ms(model.predict, sentences)
    return {
        **evaluator.metrics(),
        "parameters": weight_count(model.config),
        "milliseconds": milliseconds,
        "megabytes": model.megabytes,
        "timed_sentences": len(sentences),
    }


def sentence_batches(dataset: TokenizedDataset, config: CompareConfig) -> Iterable[Batch]:
    """The first rows of a dataset as batches of one, each padded to its length bucket."""
    return splits.make_loader(dataset.head(config.timed_sentences), config, 1, shuffle=False).epoch(0)


def training_log(folder: str) -> Any:
    """The log of the run that trained a model, in its folder or next to best/; empty without one."""
    candidates = (Path(folder) / LOG_FILE, Path(folder).parent / LOG_FILE)
    log = next((path for path in candidates if path.is_file()), None)
    return read_log(log) if log else []


def render(rows: Sequence[Row], task: TaskSpec) -> str:
    """The rows as a Markdown table whose columns also line up in a terminal."""
    lines = [[column.format(metric=task.best_metric.replace("_", " ")) for column in COLUMNS]]
    for row in rows:
        share = row["of_the_first"]
        lines.append(
            [
                row["model"],
                f"{best_of(task, row):.4f}",
                "-" if share is None else f"{share:.1%}",
                f"{row['parameters']:,}",
                f"{row['megabytes']:.1f}",
                f"{row['milliseconds']:.2f}",
            ]
        )
    return aligned(lines)
