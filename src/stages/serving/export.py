"""Export: a model folder -> one file for serving, reloaded and compared with the model before it is kept."""

import dataclasses
from pathlib import Path

from ...config.quantization import Quantization
from ...data import splits
from ...data.dataloader import SortedDataLoader
from ...errors import UserError
from ...infer.mindir import write_mindir
from ...infer.onnx.bert import bert_model
from ...infer.onnx.calibration import measure_ranges
from ...infer.onnx.int8 import layers_of
from ...infer.onnx.session import count_products
from ...infer.predictor import LogitsCell
from ...model.bert import BertClassifier
from ...model.state_dict import load_strict
from ...output_dir import atomic_output_dir, check_output_dir
from ...weights.huggingface import MODEL_FILES, drop_projection, without_ranges, write_beside
from ..model import load
from ..model.inference import EXPORT, FILES, NOT_FLOAT32, check_supported, exported_as, task_of
from .verify import check

CALIBRATION_BATCH = 32


def export(config):
    """Run one export (ExportConfig) and return the Comparison of file and model.

    Nothing is written before the model is known to be whole, and nothing is kept that does not agree with it.
    """
    inputs = (config.model_dir, config.calibration_data, config.eval_data_dir)
    check_output_dir(config.output_dir, config.overwrite_output_dir, inputs)
    check_supported(config, NOT_FLOAT32, "export, which writes float32")
    # On other devices auto would compare the file with a model in float16.
    config = dataclasses.replace(config, dtype="float32", compute_type="float32")
    if exported_as(Path(config.model_dir)):
        raise UserError(f"{config.model_dir} is an exported folder; give the model that it was made from")
    files = load.read_model(config.model_dir, print)
    task_of(files)
    splits.model_tokenizer(files)
    files = PRECISIONS[config.precision](files, config)
    kind = {"format": config.format, "precision": config.precision}
    with atomic_output_dir(config.output_dir, config.overwrite_output_dir, inputs, MODEL_FILES) as folder:
        write_beside(folder, {**files.config.to_json_dict(), EXPORT: kind}, files.tokenizer_dir)
        file = folder / FILES[config.format]
        WRITERS[config.format](file, files)
        found = check(file, files, config)
        report(file, files, config)
    print(f"wrote {config.output_dir}")
    return found


def as_float(files, config):
    """The files of a model in float; a quantized one loses its bits and ranges, which is said aloud."""
    if config.calibration_data or config.per_channel:
        raise UserError("--calibration_data and --per_channel are for --precision int8")
    if files.config.quantization:
        print("note: fp32 leaves the quantization out: the weights are those from before rounding")
    arrays = without_ranges(drop_projection(files.arrays))
    return dataclasses.replace(files, arrays=arrays, config=files.config.replace(quantization=None))


def as_integers(files, config):
    """The files of a quantized model; one in float gets the ranges that calibration data show."""
    if config.format != "onnx":
        raise UserError(f"--precision int8 needs --format onnx; {config.format} holds floats only")
    quantization = files.config.quantization
    files = dataclasses.replace(files, arrays=drop_projection(files.arrays))
    if quantization is None:
        return calibrated(files, config)
    if config.calibration_data or config.per_channel:
        raise UserError(
            f"{files.source} is quantized and has its ranges; leave out --calibration_data and --per_channel"
        )
    if quantization.quantizer != "symmetric":
        raise UserError(
            f"{files.source}: weights of the quantizer {quantization.quantizer} have no integer "
            "form here; export with --precision fp32"
        )
    return files


def calibrated(files, config):
    """A float model as one of 8 bits: the largest |input| of each dense layer over some rows is its range."""
    if not config.calibration_data:
        raise UserError(
            f"{files.source} has no ranges of its layers' inputs, which int8 needs; train it "
            "with run_q8bert_train.py, or give --calibration_data to measure them on records"
        )
    table = splits.read_split(config, config.calibration_data, "train")
    splits.check_dataset(table, files.config, None, config.calibration_data)
    splits.check_tokenizer(files.tokenizer_dir, table, config.calibration_data)
    table = splits.sample_rows(table, config.calibration_rows, lambda remark: None)
    batches = SortedDataLoader(table, CALIBRATION_BATCH, equal=True).epoch()
    ranges = measure_ranges(files.config, files.arrays, (batch[:3] for batch in batches))
    print(
        f"ranges: the largest inputs of {len(ranges)} layers over {table.rows} rows of "
        f"{config.calibration_data}"
    )
    quantized = files.config.replace(quantization=Quantization(per_channel=config.per_channel))
    return dataclasses.replace(files, arrays={**files.arrays, **ranges}, config=quantized)


PRECISIONS = {"fp32": as_float, "int8": as_integers}


def write_onnx(file, files):
    """The weights as an ONNX graph with dynamic batch and length."""
    model = bert_model(files.config, files.arrays, layers_of(files.config.quantization))
    file.write_bytes(model.SerializeToString())


def write_mindspore(file, files):
    """The network as MindSpore writes it: of plain operators, as compiled kernels stay on their machine."""
    network = BertClassifier(files.config)
    load_strict(network, files.arrays, files.source)
    write_mindir(file, LogitsCell(network))


WRITERS = {"onnx": write_onnx, "mindir": write_mindspore}


def report(file, files, config):
    """Print the size of the file against the weights in float32, and what multiplies integers."""
    floats = sum(array.nbytes for array in without_ranges(files.arrays).values())
    size = file.stat().st_size
    print(
        f"{file.name}: {size / 1e6:.1f} MB, {size / floats:.3f} of the {floats / 1e6:.1f} MB that its "
        "weights take in float32"
    )
    if config.precision == "int8":
        integer, other = count_products(file)
        inside = 2 * files.config.num_hidden_layers
        print(
            f"matrix products in ONNX Runtime: {integer} of integers, {other} of floats ({inside} of them "
            "inside attention, which training leaves in float too)"
        )
