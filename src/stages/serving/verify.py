"""Verification of an exported file: the logits of file and model over the same rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...data import splits
from ...data.dataset import TokenizedDataset
from ...errors import UserError
from ...infer.logits import collect_logits
from ...infer.onnx.session import onnx_predictor
from ...infer.predictor import predictor
from ..model.device import setup_device
from ..model.inference import EXPORT_LOADERS, task_of
from ..model.load import ModelFiles, load_classifier
from .onnx_file import onnx_bytes, without_quantization

if TYPE_CHECKING:
    from ...tools.export import ExportConfig

BATCH = 32
RANDOM_ROWS, RANDOM_LENGTH = 32, 64
# Float sums in another order change a logit by about 1e-5. In integers a value near a rounding boundary can
# fall on the other side and shift everything after it: most rows agree as closely as floats, a few differ.
MAX_DIFFERENCE, MAX_MEDIAN_SHARE = 1e-3, 0.05
ABSURD_SHARE = 0.5  # of the logits' root mean square: more than any quantization that works


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Logits of file and model over some rows, or over their tokens for a token classifier.

    For each row (token) take the largest difference of a logit: `largest` and `typical` are the maximum and
    median of these. `changed` counts differing predictions (None for scores), `margin` is the largest gap
    between the model's best two logits among those rows; `scale` is the root mean square of the model's
    logits; `unit` says whether `count` is of rows or tokens, `sides` what is compared.
    """

    sides: str
    unit: str
    count: int
    largest: float
    typical: float
    changed: int | None
    margin: float
    scale: float

    @classmethod
    def of(
        cls,
        logits: np.ndarray,
        expected: np.ndarray,
        output_mode: str = "classification",
        sides: str = "file and model",
    ) -> Comparison:
        """Compare logits [rows, C], or [tokens, C], with the expected ones."""
        differences = np.abs(logits - expected).max(axis=1)
        changed, margin = None, 0.0
        if output_mode != "regression":
            changed, margin = _changed(*(_choices(values, output_mode) for values in (logits, expected)))
        unit = "tokens" if output_mode == "token_classification" else "rows"
        return cls(
            sides,
            unit,
            len(logits),
            float(differences.max()),
            float(np.median(differences)),
            changed,
            margin,
            float(np.sqrt(np.mean(expected**2))),
        )

    def agrees(self, precision: str) -> bool:
        """Whether the differences are within rounding error; False for NaN logits."""
        if precision != "fp32":
            return bool(self.typical <= MAX_MEDIAN_SHARE * self.scale and np.isfinite(self.largest))
        return self.largest <= MAX_DIFFERENCE * max(1.0, self.scale)

    def __str__(self) -> str:
        text = (
            f"{self.sides} over {self.count} {self.unit}: logits differ by at most {self.largest:.2g}"
            f", in half of the {self.unit} by at most {self.typical:.2g}"
        )
        if self.changed is None:
            return text
        margin = f", by margins of up to {self.margin:.2g} in the model" if self.changed else ""
        return f"{text}; {self.changed} predictions differ{margin}"


def _changed(logits: np.ndarray, expected: np.ndarray) -> tuple[int, float]:
    """(number of differing predictions, the largest margin of one in `expected`) for logits [rows, C]."""
    changed = logits.argmax(axis=1) != expected.argmax(axis=1)
    best = np.sort(expected[changed], axis=1)
    return int(changed.sum()), float((best[:, -1] - best[:, -2]).max()) if changed.any() else 0.0


def _choices(logits: np.ndarray, output_mode: str) -> np.ndarray:
    """The logits to choose among: each label of a multi-label model is a binary choice, no (0) or yes."""
    if output_mode != "multi_label":
        return logits
    return np.stack([np.zeros_like(logits), logits], axis=-1).reshape(-1, 2)


def verify(file: Path, files: ModelFiles, config: ExportConfig) -> Comparison:
    """Reload an exported file and compare it with the network of `files`.

    Training does not simulate the schemes of post-training quantization: their file is compared with its
    graph in floats of the same values, this graph without rounding with the network, and what is printed and
    returned is the Comparison of the file with the network in float32: what quantization changes. Raises
    UserError where file and model, or file and simulation, differ by more than rounding error.
    """
    quantization, floats = files.config.quantization, files
    post_training = quantization is not None and quantization.post_training
    if post_training:
        floats = without_quantization(files)
    loader = splits.make_loader(comparison_rows(files, config), config, BATCH, shuffle=False)
    device = setup_device(config, lambda text: None)
    network, _ = load_classifier(floats, task_of(files), device, lambda text: None)
    expected = collect_logits(predictor(network), loader)
    exported = EXPORT_LOADERS[config.format](file, files.config, config, 0)
    logits, mode = collect_logits(exported.predict, loader), files.config.output_mode
    comparison = Comparison.of(logits, expected, mode)
    if post_training:
        graph = collect_logits(onnx_predictor(onnx_bytes(floats)), loader)
        _require(Comparison.of(graph, expected), "fp32")
        simulated = collect_logits(onnx_predictor(onnx_bytes(files, simulated=True)), loader)
        _require(Comparison.of(logits, simulated), config.precision)
        comparison = Comparison.of(logits, expected, mode, "int8 and float32")
        if comparison.typical > ABSURD_SHARE * comparison.scale:
            print("warning: int8 changes the logits beyond recognition; export with --max_drop or fp32")
    else:
        _require(comparison, config.precision)
    print(comparison)
    return comparison


def _require(comparison: Comparison, precision: str) -> None:
    if not comparison.agrees(precision):
        raise UserError(
            f"the exported file does not agree with the model (logits differ by up to "
            f"{comparison.largest:.3g}); it was not kept: please report this"
        )


def comparison_rows(files: ModelFiles, config: ExportConfig) -> TokenizedDataset:
    """The first rows of the evaluation records, or rows of random token ids of varying length."""
    bert, path = files.config, config.eval_data_dir
    if path:
        dataset = splits.read_split(config, path, "dev").head(config.compare_rows)
        splits.check_models(dataset, [(bert, files.tokenizer_dir)], None, path)
        return dataset
    rng = np.random.default_rng(0)
    longest = min(RANDOM_LENGTH, bert.max_position_embeddings)
    lengths = rng.integers(min(3, longest), longest + 1, RANDOM_ROWS)
    tokens = rng.integers(0, bert.vocab_size, lengths.sum())
    segments = rng.integers(0, max(bert.type_vocab_size, 1), lengths.sum())
    return TokenizedDataset.from_flat(tokens, segments, lengths, None, longest)
