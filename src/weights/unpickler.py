"""An unpickler that executes nothing from the file: globals come from an allow-list of stand-ins.

See "Restricting Globals" in https://docs.python.org/3/library/pickle.html.
"""

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError

MEMO_OPCODES = ("PUT", "BINPUT", "LONG_BINPUT")
EXTENSION_OPCODES = ("EXT1", "EXT2", "EXT4")  # these bypass find_class


class StandIn:
    """Replaces a callable global of a pickle: REDUCE calls `function`; BUILD is ignored.

    BUILD sets attributes, so a pickle could modify a plain function or class.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        pass


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickler limited to the globals in `allowed` {(module, name): StandIn or immutable value}.

    `load_persistent` maps a persistent id to an object; `path` is the file named in errors. `load` raises
    UserError for any other global, and what pickle.Unpickler raises for a malformed pickle.
    """

    def __init__(
        self,
        program: bytes,
        allowed: Mapping[tuple[str, str], object],
        load_persistent: Callable[[Any], object],
        path: Path,
    ) -> None:
        _check_opcodes(program)
        super().__init__(io.BytesIO(program))
        self._allowed, self._load_persistent, self._path = allowed, load_persistent, path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise UserError(
                f"{self._path}: its pickle references {module}.{name}, which is not part of a state dict; "
                "the file was not loaded and none of its code was run"
            )
        return self._allowed[module, name]

    def persistent_load(self, pid: Any) -> object:
        return self._load_persistent(pid)


def _check_opcodes(program: bytes) -> None:
    """Reject opcodes that could allocate more memory than the pickle has bytes, or bypass the allow-list.

    pickle.Unpickler allocates its memo up to the largest index before it stores anything.
    """
    for opcode, argument, _ in pickletools.genops(program):
        if opcode.name in EXTENSION_OPCODES:
            raise ValueError(f"its pickle uses {opcode.name}")
        if opcode.name in MEMO_OPCODES and int(argument or 0) > len(program):
            raise ValueError(f"its pickle uses memo index {argument}")
