"""python -m src.tools.convert: weights of any known kind -> a model folder."""

import dataclasses

from ..commands import command_line
from ..config.cli import parse
from ..config.fields import flag, required_flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class ConvertConfig:
    """Read a model of any known kind; write it as a folder of this project, of Hugging Face, or a .ckpt."""

    input: str = required_flag(
        "model folder or weight file (.safetensors, pytorch_model.bin, .ckpt, TensorFlow)"
    )
    output_dir: str = required_flag("folder to write")
    to: str = flag(
        "project",
        "project: Hugging Face's layout and what only this project knows; hf: just "
        "what transformers opens; ckpt: a MindSpore checkpoint with the same names",
        choices=("project", "hf", "ckpt"),
    )
    config_file: str = flag("", "config.json to use instead of the one beside the weights")
    part: str = flag(
        "",
        "which model of a distillation checkpoint to take: student or teacher",
        choices=("", "student", "teacher"),
    )
    overwrite_output_dir: bool = flag(False, "delete what an earlier run wrote to output_dir")


def main(argv=None):
    """Convert as the command line says."""
    config = parse(ConvertConfig, argv, prog=command_line("convert")).config
    from ..stages.serving.convert import convert

    convert(config)


if __name__ == "__main__":
    run_main(main)
