"""python -m src.tools.export: a model folder -> model.onnx (fp32, int8) or model.mindir, checked first."""

import dataclasses

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import FormatConfig
from ..config.fields import POSITIVE, flag, required_flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class ExportConfig(FormatConfig):
    """Write a model as one file for serving, in a folder that holds all it needs and nothing else."""

    model_dir: str = required_flag(
        "model folder (best/ or last/ of a run, or any Hugging Face folder with a head)"
    )
    output_dir: str = required_flag("folder to write")
    format: str = flag(
        "onnx", "onnx: for ONNX Runtime and its like; mindir: MindSpore's own, fp32 only", ("onnx", "mindir")
    )
    precision: str = flag(
        "fp32",
        "int8 keeps embeddings and dense layers as integers, which a runtime multiplies as such",
        ("fp32", "int8"),
    )
    calibration_data: str = flag(
        "", "records on which the input ranges of a float model are measured (int8; a folder's train split)"
    )
    calibration_rows: int = flag(512, "rows of calibration_data to take, a fixed sample", check=POSITIVE)
    per_channel: bool = flag(False, "with calibration_data: a weight range for each output of a layer")
    eval_data_dir: str = flag(
        "", "records on which file and model are compared (a folder's dev split; default: random rows)"
    )
    compare_rows: int = flag(1000, "rows of eval_data_dir to compare, from the first", check=POSITIVE)
    overwrite_output_dir: bool = flag(False, "delete what an earlier run wrote to output_dir")


def main(argv=None):
    """Export as the command line says."""
    config = parse(ExportConfig, argv, prog=command_line("export")).config
    from ..stages.serving.export import export

    export(config)


if __name__ == "__main__":
    run_main(main)
