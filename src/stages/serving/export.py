"""Export of a model folder to one file for serving, verified against the model before it is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ...config.bert_config import BertConfig
from ...config.fields import not_default
from ...config.quantization import Quantization
from ...data.tokenization.tokenizer import model_tokenizer, set_max_length
from ...digests import sha256
from ...errors import UserError
from ...files import write_text
from ...infer.mindir import write_mindir
from ...infer.onnx.session import count_matmuls
from ...infer.predictor import LogitsCell
from ...model.bert import BertClassifier
from ...model.state_dict import load_strict
from ...output_dir import atomic_output_dir, check_output_dir
from ...tasks import find_task
from ...train.device import select_device
from ...weights.huggingface import (
    MODEL_FILES,
    check_weights,
    drop_projection,
    weight_count,
    without_ranges,
    write_metadata,
)
from ..evaluation.results import metrics_of
from ..model.inference import (
    EXPORT,
    FILES,
    HUB_FILES,
    NOT_FLOAT32,
    check_supported,
    export_info,
    task_of,
)
from ..model.load import ModelFiles, read_model
from .calibrate import calibrate, calibration_flags, described
from .model_card import labels_of, model_card
from .onnx_file import onnx_bytes, without_quantization
from .quality import LabeledRows, Quality
from .sensitivity import within_limit
from .verify import Comparison, verify

if TYPE_CHECKING:
    from ...tools.export import ExportConfig

AIR_BATCH = 32
AIR = "air"
NO_LIMIT = -1.0
CARD = "README.md"
# The largest files: protobuf's limit of a message with room for the graph; MindSpore splits larger MINDIRs.
LARGEST = {"onnx": (1 << 31) - (1 << 26), "mindir": 1 << 30}


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """What an export wrote: the folder `out`, with the model in `file`, of `size` bytes.

    `comparison` is of file and model, None for AIR. `quality` holds metric_float and metric_int8 over the
    labeled rows of eval_data_dir, None without such rows and for other formats than ONNX. `float_layers`
    are the layers of an int8 file that stayed in float32.
    """

    out: Path
    file: Path
    size: int
    comparison: Comparison | None
    quality: Quality | None = None
    float_layers: tuple[str, ...] = ()


def export(config: ExportConfig, zoo_config: BertConfig | None = None) -> ExportResult:
    """Run one export (ExportConfig). `zoo_config` describes a .ckpt without config.json.

    Nothing is written before the model is known to be complete, and the file is kept only if it agrees with
    the model.
    """
    inputs = (config.model_dir, config.calibration_data, config.eval_data_dir)
    check_output_dir(config.output_dir, config.overwrite_output_dir, inputs)
    check_supported(config, NOT_FLOAT32, "export, which writes float32")
    _check_limit(config)
    _check_used(config)
    if config.layout == "hub" and config.format != "onnx":
        raise UserError(f"--layout hub requires --format onnx; {config.format} has no place in it")
    # On other devices auto would compare the file with a model in float16.
    config = dataclasses.replace(config, dtype="float32", compute_type="float32")
    if config.format == AIR and select_device(config).target != "Ascend":
        raise UserError("--format air is written on Ascend only; give --format mindir or onnx")
    if zoo_config and config.task_name:
        zoo_config = zoo_config.for_task(find_task(config.task_name))
    if export_info(Path(config.model_dir)):
        raise UserError(f"{config.model_dir} is already an export; give the model folder it was made from")
    files = read_model(config.model_dir, print, zoo_config, ignore_unexpected=config.ignore_unexpected)
    task_of(files)
    model_tokenizer(files)
    floats = without_quantization(files)
    check_weights(floats.arrays, floats.config, files.source)
    size, limit = 4 * weight_count(files.config), LARGEST.get(config.format)
    if limit and size > limit:
        raise UserError(
            f"{files.source}: a file of format {config.format} holds at most {limit / 1e9:.1f} GB, and the "
            f"weights have {size / 1e9:.1f} GB in float32; distill or prune the model first"
        )
    files = PRECISIONS[config.precision](files, config)
    files, quality = _measured(floats, files, config)
    return _write(files, config, quality)


def _check_limit(config: ExportConfig) -> None:
    """Raise UserError for a max_drop that cannot be measured."""
    if config.max_drop == NO_LIMIT:
        return
    if config.precision == "fp32":
        raise UserError("--max_drop requires --precision int8 or int8-dynamic: float32 loses nothing")
    if not config.eval_data_dir:
        raise UserError("--max_drop requires --eval_data_dir: labeled records that the metric is measured on")


def _check_used(config: ExportConfig) -> None:
    """Raise UserError for flags that another flag makes meaningless."""
    for name, needed, used in (
        (
            "calibration_percentile",
            "--calibration_method percentile",
            config.calibration_method == "percentile",
        ),
        ("compare_rows", "--eval_data_dir", bool(config.eval_data_dir)),
    ):
        if not used and not_default(config, [name]):
            raise UserError(f"--{name} requires {needed}")


def _measured(
    floats: ModelFiles, files: ModelFiles, config: ExportConfig
) -> tuple[ModelFiles, Quality | None]:
    """The files to write, with layers in float32 where max_drop requires them, and their Quality, printed."""
    if config.format != "onnx" or not config.eval_data_dir:
        return files, None
    try:
        rows = LabeledRows(files, config)
    except UserError as error:
        if config.max_drop != NO_LIMIT:
            raise
        print(f"note: no metric is measured: {error}")
        return files, None
    if config.max_drop != NO_LIMIT:
        return within_limit(floats, files, rows, config)
    in_int8 = rows.logits(onnx_bytes(files)) if files.config.quantization else None
    quality = rows.quality(rows.logits(onnx_bytes(floats)), in_int8)
    print(quality)
    return files, quality


def _write(files: ModelFiles, config: ExportConfig, quality: Quality | None) -> ExportResult:
    """Write and verify the folder of an export."""
    inputs = (config.model_dir, config.calibration_data, config.eval_data_dir)
    written = (*MODEL_FILES, *HUB_FILES.values(), CARD)
    with atomic_output_dir(config.output_dir, config.overwrite_output_dir, inputs, written) as folder:
        write_metadata(folder, {**files.config.to_json_dict(), **_export_keys(config)}, files.tokenizer_dir)
        set_max_length(folder, files.config.max_position_embeddings)
        file = folder / _file_name(config)
        file.parent.mkdir(exist_ok=True)
        WRITERS[config.format](file, files)
        comparison = verify(file, files, config) if config.format in FILES else None
        report(file, files, config)
        facts = _facts(file, files, config, comparison)
        if quality:
            facts["quality"] = quality
        if config.calibration_data:
            facts["calibration"] = f"up to {config.calibration_rows} rows; {described(config)}"
        float_layers = files.config.quantization.float_layers if files.config.quantization else ()
        if float_layers:
            facts["layers in float32"] = ", ".join(float_layers)
        write_text(folder / CARD, model_card(files.config, facts, _file_name(config)))
        size = file.stat().st_size
    print(f"wrote {config.output_dir}")
    out = Path(config.output_dir)
    return ExportResult(out, out / _file_name(config), size, comparison, quality, float_layers)


def _file_name(config: ExportConfig) -> str:
    return HUB_FILES[config.precision] if config.layout == "hub" else f"model.{config.format}"


def _export_keys(config: ExportConfig) -> dict[str, object]:
    """What config.json of an export has in addition to that of the model."""
    info = {"format": config.format, "precision": config.precision}
    if config.layout == "flat":
        return {EXPORT: info}
    # transformers.js would look for the float file by default.
    dtype = "fp32" if config.precision == "fp32" else "q8"
    return {EXPORT: {**info, "layout": config.layout}, "transformers.js_config": {"dtype": dtype}}


def _facts(
    file: Path, files: ModelFiles, config: ExportConfig, comparison: Comparison | None
) -> dict[str, object]:
    """The table of the model card."""
    bert, weights = files.config, without_ranges(files.arrays)
    metrics = {
        f"{name} of the model before export": f"{value:.4f}" + (f", over {rows:,.0f} rows" if rows else "")
        for name, (value, rows) in metrics_of(files.source.parent).items()
    }
    return {
        "labels, in the order of the logits": labels_of(bert),
        **metrics,
        "file": f"{file.stat().st_size / 1e6:.1f} MB, {config.format} {config.precision}",
        "weights": f"{sum(array.size for array in weights.values()):,}",
        "layers": bert.num_hidden_layers,
        "hidden size, heads": f"{bert.hidden_size}, {bert.num_attention_heads}",
        "vocabulary, positions": f"{bert.vocab_size}, {bert.max_position_embeddings}",
        "verified": comparison or "no",
        "source": f"{Path(config.model_dir).resolve().name}, {files.source.name}",
        "SHA-256 of the source": sha256(files.source),
    }


def as_float(files: ModelFiles, config: ExportConfig) -> ModelFiles:
    """The files of a model in float; the bits and ranges of a quantized one are dropped, which is printed."""
    if given := calibration_flags(config):
        raise UserError(f"{given} requires --precision int8")
    if files.config.quantization:
        print("note: fp32 drops the quantization: the weights are those before rounding")
    return without_quantization(files)


def as_int8(files: ModelFiles, config: ExportConfig) -> ModelFiles:
    """The files of a quantized model; a float model gets its ranges from calibration data."""
    if config.format != "onnx":
        raise UserError(f"--precision int8 requires --format onnx; {config.format} is float only")
    quantization = files.config.quantization
    files = dataclasses.replace(files, arrays=drop_projection(files.arrays))
    if quantization is None:
        return calibrate(files, config)
    if given := calibration_flags(config):
        raise UserError(f"{files.source} is quantized and has ranges; omit {given}")
    if quantization.quantizer != "symmetric":
        raise UserError(
            f"{files.source}: the quantizer {quantization.quantizer} has no integer representation; "
            "export with --precision fp32"
        )
    return files


def as_dynamic(files: ModelFiles, config: ExportConfig) -> ModelFiles:
    """The files of a float model with integer weights, its input ranges left to the runtime."""
    if config.format != "onnx":
        raise UserError(f"--precision int8-dynamic requires --format onnx; {config.format} is float only")
    if given := calibration_flags(config):
        raise UserError(
            f"{given} requires --precision int8; int8-dynamic has no calibration, its weights are per channel"
        )
    if files.config.quantization:
        raise UserError(f"{files.source} is quantized and has ranges; export it with --precision int8")
    quantization = Quantization(per_channel=True, dynamic=True)
    arrays = drop_projection(files.arrays)
    return dataclasses.replace(files, arrays=arrays, config=files.config.replace(quantization=quantization))


PRECISIONS = {"fp32": as_float, "int8": as_int8, "int8-dynamic": as_dynamic}


def write_onnx(file: Path, files: ModelFiles) -> None:
    """Write the weights as an ONNX graph with dynamic batch size and length."""
    file.write_bytes(onnx_bytes(files))


def write_mindspore(file: Path, files: ModelFiles) -> None:
    """Write the network as MINDIR with plain operators, since compiled kernels are machine-specific."""
    network = BertClassifier(files.config)
    load_strict(network, files.arrays, files.source)
    write_mindir(file, LogitsCell(network))


def write_air(file: Path, files: ModelFiles) -> None:
    """Write the network for CANN's tools: the model zoo's batch of 32, all positions; not verified."""
    network = BertClassifier(files.config)
    load_strict(network, files.arrays, files.source)
    shape = (AIR_BATCH, files.config.max_position_embeddings)
    write_mindir(file, LogitsCell(network), "AIR", shape)


WRITERS = {"onnx": write_onnx, "mindir": write_mindspore, AIR: write_air}


def report(file: Path, files: ModelFiles, config: ExportConfig) -> None:
    """Print the size of the file relative to float32 weights, and how many matrix products are integer."""
    float_bytes = sum(array.nbytes for array in without_ranges(files.arrays).values())
    size = file.stat().st_size
    print(
        f"{file.name}: {size / 1e6:.1f} MB, {size / float_bytes:.3f} of the {float_bytes / 1e6:.1f} MB of "
        "its weights in float32"
    )
    if config.precision != "fp32":
        integer, other = count_matmuls(file)
        print(
            f"matrix products in ONNX Runtime: {integer} of integers, {other} of floats (2 of them inside "
            "attention in each layer)"
        )
