"""python -m src.tools.convert: convert PyTorch, TensorFlow or MindSpore weights to a model folder."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import IGNORE_UNEXPECTED
from ..config.fields import flag, required_flag
from ..config.migration.zoo_config import ZooTaskConfig
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class ConvertConfig(ZooTaskConfig):
    """Convert weights of any supported format to a model folder or a MindSpore checkpoint."""

    input: str = required_flag(
        "model folder or weight file (.safetensors, pytorch_model.bin, .ckpt, TensorFlow)"
    )
    output_dir: str = required_flag("output folder")
    to: str = flag(
        "project",
        "output format. project: Hugging Face layout plus this project's own weights; hf: only what "
        "transformers loads; ckpt: a MindSpore checkpoint with the same names; mindspore: one with the model "
        "zoo's names, for its scripts; tensorflow: Google's checkpoint (requires tensorflow)",
        choices=("project", "hf", "ckpt", "mindspore", "tensorflow"),
    )
    config_file: str = flag("", "config.json to use instead of the one next to the weights")
    part: str = flag(
        "",
        "model to extract from a distillation checkpoint: student or teacher",
        choices=("", "student", "teacher"),
    )
    ignore_unexpected: str = flag("", IGNORE_UNEXPECTED)
    overwrite_output_dir: bool = flag(False, "delete files that an earlier run wrote to output_dir")


def main(argv: Sequence[str] | None = None) -> None:
    """Convert the weights."""
    resolved = parse(ConvertConfig, argv, prog=command_line("convert"))
    from ..stages.serving.convert import convert

    convert(resolved.config, resolved.networks)


if __name__ == "__main__":
    run_main(main)
