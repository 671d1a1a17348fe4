"""Resume checkpoints: one safetensors file each, written atomically, position and SHA-256 in its header."""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..digests import hash_arrays
from ..errors import UserError
from ..files import atomic_path

LOG = logging.getLogger(__name__)
NAME = re.compile(r"^phase(\d+)_step_(\d+)\.safetensors$")


class Checkpoints:
    """The folder checkpoints/ of a run; keeps the newest `keep` files. Only the main rank writes."""

    def __init__(self, output_dir: Path | str, keep: int, is_main: bool = True) -> None:
        self.folder = Path(output_dir) / "checkpoints"
        self.keep, self.is_main = max(keep, 1), is_main

    def save(self, step_cell: nn.Cell, position: dict[str, Any]) -> None:
        """Write every parameter of the train step (weights, optimizer, loss scale) except the teacher's.

        `position` is a dict of plain JSON values: phase, step, and what else resuming needs.
        """
        if not self.is_main:
            return
        arrays = {name: parameter.asnumpy() for name, parameter in saved_parameters(step_cell).items()}
        with atomic_path(
            self.folder / f"phase{position['phase']}_step_{position['step']}.safetensors"
        ) as path:
            text = json.dumps(position)
            save_file(arrays, str(path), metadata={"position": text, "sha256": _digest(text, arrays)})
        here = position["phase"], position["step"]
        newer = [path for place, path in self._files() if place > here]  # truncated ones that were skipped
        older = [path for place, path in self._files() if place <= here]
        for old in newer + older[: -self.keep]:
            old.unlink(missing_ok=True)

    def last(self) -> tuple[dict[str, Any], Path] | None:
        """(position, path) of the newest intact checkpoint, or None without any; damaged ones are skipped.

        Raises UserError where all of them are damaged.
        """
        path = None
        for _, path in reversed(self._files()):
            try:
                return _read_position(path), path
            except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
                LOG.warning("checkpoint %s is damaged, skipped (%s)", path, error)
        if path:
            raise UserError(
                f"{self.folder} holds no intact checkpoint; restore one, or start over with "
                "--overwrite_output_dir"
            )
        return None

    def _files(self) -> list[tuple[tuple[int, int], Path]]:
        found = [(NAME.match(path.name), path) for path in self.folder.glob("phase*.safetensors")]
        return sorted(((int(m[1]), int(m[2])), path) for m, path in found if m)


def _digest(position: str, arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of all that a checkpoint holds."""
    return hashlib.sha256(f"{position} {hash_arrays(arrays)}".encode()).hexdigest()


def _read_position(path: Path) -> dict[str, Any]:
    """The position in a checkpoint. Raises ValueError and others where it is damaged."""
    with safe_open(str(path), "numpy") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}
    # Checkpoints of earlier versions have no digest.
    if "sha256" in metadata and metadata["sha256"] != _digest(metadata["position"], arrays):
        raise ValueError("its content differs from its SHA-256")
    position = json.loads(metadata["position"])
    if not isinstance(position, dict) or any(type(position[name]) is not int for name in ("phase", "step")):
        raise ValueError("it has no position")
    return position


def saved_parameters(step_cell: nn.Cell) -> dict[str, Parameter]:
    """{path: Parameter} of all that training changes: everything but the teacher."""
    return {
        name: parameter
        for name, parameter in step_cell.parameters_and_names()
        if not name.startswith("network.teacher.")
    }


def restore(step_cell: nn.Cell, path: Path) -> None:
    """Load a checkpoint into the train step. Raises UserError when names or shapes differ."""
    parameters = saved_parameters(step_cell)
    with safe_open(str(path), "numpy") as file:
        if set(file.keys()) != set(parameters):
            odd = sorted(set(file.keys()) ^ set(parameters))
            raise UserError(
                f"{path} is from a run with other settings (it differs in {odd[0]}); resume with the flags "
                "of that run"
            )
        for name, parameter in parameters.items():
            value = file.get_tensor(name)
            if tuple(value.shape) != tuple(parameter.shape):
                raise UserError(
                    f"{path}: {name} has shape {value.shape} instead of {parameter.shape}; resume with the "
                    "flags of that run"
                )
            parameter.set_data(Tensor(value, parameter.dtype))
