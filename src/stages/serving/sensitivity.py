"""A limit on what int8 costs: the layers that it changes most stay in float32 until the limit holds.

The sensitivity of a layer is the mean squared difference of the logits between the float model and the same
model with this layer alone in integers, as in HAWQ and ZeroQ (Dong et al. 2019, Cai et al. 2020). The other
way round, one layer in float and the rest in integers, several bad layers would hide one another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ...commands import command_line
from ...config.quantization import is_range
from ...data import splits
from ...errors import UserError
from ...infer.latency import interleaved_latencies_ms
from ...infer.onnx.session import onnx_predictor
from ...weights.huggingface import quantizable_layers
from ..markdown import aligned
from ..model.load import ModelFiles
from .onnx_file import onnx_bytes
from .quality import LabeledRows, Quality

if TYPE_CHECKING:
    from ...tools.export import ExportConfig

SAMPLE = 128  # rows on which sensitivities are measured
MAX_SHARE = 0.5  # of the layers in float32; beyond that an int8 file has lost its point
NEXT = 3  # layers in the table after those kept in float32
LENGTH, ROUNDS = 64, 60  # tokens and repetitions of a latency
COLUMNS = ("layer", "stored in", "squared difference", "ms in float32", "MB in float32")


@dataclasses.dataclass(frozen=True)
class Layer:
    """A dense layer or embedding table and its sensitivity."""

    name: str
    difference: float


def within_limit(
    floats: ModelFiles, files: ModelFiles, rows: LabeledRows, config: ExportConfig
) -> tuple[ModelFiles, Quality]:
    """`files`, quantized, with as many layers in float32 as the max_drop of an ExportConfig requires.

    `floats` is the same model in float32. Prints each try and a table of the layers that stay in float32.
    Returns (files, their Quality on all rows). Raises UserError where not even half of the layers in float32
    keep the limit.
    """
    in_float = rows.logits(onnx_bytes(floats))

    def measure(names: Sequence[str]) -> Quality:
        return rows.quality(in_float, rows.logits(onnx_bytes(in_float32(files, names))))

    found = measure(())
    print(found)
    if _holds(found, config.max_drop):
        return files, found
    layers = sensitivities(floats, files, rows)
    print(
        f"more than --max_drop {config.max_drop:g}: layers return to float32, those first that alone in int8 "
        f"change the logits most"
    )
    count, found = fewest(
        [layer.name for layer in layers], measure, partial(_holds, limit=config.max_drop), files
    )
    kept = [layer.name for layer in layers[:count]]
    result = in_float32(files, kept)
    print(cost_table(files, layers, count))
    for line in _totals(floats, files, result):
        print(line)
    print(found)
    return result, found


def _holds(quality: Quality, limit: float) -> bool:
    return quality.drop <= limit + 1e-9


def in_float32(files: ModelFiles, names: Sequence[str]) -> ModelFiles:
    """Quantized files with further layers in float32; these lose their ranges."""
    quantization = files.config.quantization
    assert quantization is not None, "a quantized model"
    layers = (*quantization.float_layers, *names)
    changed = dataclasses.replace(quantization, float_layers=layers)
    arrays = {
        n: array for n, array in files.arrays.items() if not (is_range(n) and n.rpartition(".")[0] in layers)
    }
    return dataclasses.replace(files, arrays=arrays, config=files.config.replace(quantization=changed))


def quantized_layers(files: ModelFiles) -> list[str]:
    """The layers of quantized files that are in integers, in the order of the forward pass."""
    quantization = files.config.quantization
    assert quantization is not None, "a quantized model"

    def bits(name: str) -> int:
        tables = name.endswith("_embeddings")
        return (
            quantization.embedding_bits
            if tables
            else quantization.weight_bits or quantization.activation_bits
        )

    names = quantizable_layers(files.config)
    return [name for name in names if quantization.quantizes(name) and bits(name)]


def sensitivities(floats: ModelFiles, files: ModelFiles, rows: LabeledRows) -> list[Layer]:
    """The quantized layers of `files`, the most sensitive first, measured on a sample of the rows."""
    sample = splits.sample_rows(rows.dataset, SAMPLE, lambda text: None)
    expected, names = rows.logits(onnx_bytes(floats), sample), quantized_layers(files)
    layers = []
    for name in tqdm(names, desc="sensitivity", unit=" layers", disable=None, leave=False):
        alone = in_float32(files, [other for other in names if other != name])
        difference = rows.logits(onnx_bytes(alone), sample) - expected
        layers.append(Layer(name, float(np.mean(difference**2))))
    return sorted(layers, key=lambda layer: -layer.difference)


def fewest(
    names: Sequence[str],
    measure: Callable[[Sequence[str]], Quality],
    holds: Callable[[Quality], bool],
    files: ModelFiles,
) -> tuple[int, Quality]:
    """How many of the first `names` in float32 keep the limit: doubled until it holds, then bisected.

    The number returned was measured to hold; where the metric does not grow with each layer, a smaller one
    may hold too. Returns (number, its Quality).
    """
    most, too_few, count = max(int(MAX_SHARE * len(names)), 1), 0, 1
    while True:
        found = measure(names[:count])
        print(_try(count, found))
        if holds(found):
            break
        if count == most:
            raise UserError(
                f"no int8 file of {files.source} keeps --max_drop: {found.metric} is {found.metric_int8:.4f} "
                f"with the {count} most sensitive of {len(names)} layers in float32, {found.drop:.2f} points "
                f"below {found.metric_float:.4f}; train the model with rounding by "
                f"{command_line('q8bert_train')}, or export it with --precision fp32"
            )
        too_few, count = count, min(2 * count, most)
    while count - too_few > 1:
        middle = (too_few + count) // 2
        tried = measure(names[:middle])
        print(_try(middle, tried))
        if holds(tried):
            count, found = middle, tried
        else:
            too_few = middle
    return count, found


def _try(count: int, quality: Quality) -> str:
    layers = "1 layer" if count == 1 else f"{count} layers"
    return f"{layers} in float32: {quality.metric} {quality.metric_int8:.4f} ({-quality.drop:+.2f} points)"


def cost_table(files: ModelFiles, layers: Sequence[Layer], count: int) -> str:
    """Markdown table of the `count` layers in float32 and the next ones: sensitivity, cost in ms and MB."""
    base = onnx_bytes(files)
    lines = [list(COLUMNS)]
    for index, layer in enumerate(layers[: count + NEXT]):
        alone = onnx_bytes(in_float32(files, [layer.name]))
        milliseconds = _latencies(files, [base, alone])
        lines.append(
            [
                layer.name,
                "float32" if index < count else "int8",
                f"{layer.difference:.2g}",
                f"{np.median(milliseconds[1] - milliseconds[0]):+.2f}",
                f"{(len(alone) - len(base)) / 1e6:+.2f}",
            ]
        )
    return aligned(lines, text_columns=2)


def _totals(floats: ModelFiles, files: ModelFiles, result: ModelFiles) -> Iterator[str]:
    """Size and latency of the file in int8, of the result and of the file in float32."""
    models = [onnx_bytes(each) for each in (files, result, floats)]
    milliseconds = np.median(_latencies(files, models), axis=1)
    names = ("int8", "with these layers in float32", "float32")
    parts = [
        f"{name} {value:.2f} ms, {len(model) / 1e6:.1f} MB"
        for name, value, model in zip(names, milliseconds, models, strict=True)
    ]
    yield "; ".join(parts)
    length = min(LENGTH, files.config.max_position_embeddings)
    yield f"(one text of {length} tokens, one thread, medians of {ROUNDS} rounds in which files take turns)"


def _latencies(files: ModelFiles, models: Sequence[bytes]) -> np.ndarray:
    """[models, rounds] milliseconds for one text on one thread, the models in turn."""
    length = min(LENGTH, files.config.max_position_embeddings)
    ids = np.random.default_rng(0).integers(0, files.config.vocab_size, (1, length))
    columns = (ids, np.zeros_like(ids), np.ones_like(ids))
    calls = [partial(onnx_predictor(model, threads=1), *columns) for model in models]
    return interleaved_latencies_ms(calls, ROUNDS)
