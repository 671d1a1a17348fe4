"""Reads the pickle of a state dict without executing anything in it.

Python's own unpickler, even with its globals restricted, can be made to use up stack and memory by a small
file: hashing nested tuples recurses, shared ones take exponential time, copies of a list multiply it. So the
opcodes, decoded by pickletools, are carried out here: keys are plain values, calls go to a few stand-ins, and
the number of opcodes is bounded. torch.load does the same for weights_only (_weights_only_unpickler.py).
"""

import pickletools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from ...errors import UserError

# A tensor takes about 30 opcodes; each can create an object of some 100 bytes.
MAX_OPCODES = 200_000
KEY_TYPES = (str, bytes, int, float, bool, type(None))
LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


class StandIn:
    """Replaces a callable global of a pickle: calls of it are calls of `function`."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function


class Ignored:
    """Stands for every object that is neither a tensor nor a container of tensors, and for what it makes."""

    __slots__ = ()


IGNORED = Ignored()


class RestrictedUnpickler:
    """Reads one pickle of a binary stream; the stream is left at its end.

    `allowed` {(module, name): StandIn, IGNORED or immutable value}; `load_persistent` maps a persistent id
    to an object; `path` is the file named in errors. `load` raises UserError for any other global, unless
    `ignore_others` makes it IGNORED, and ValueError or LookupError for a malformed pickle.
    """

    def __init__(
        self,
        stream: IO[bytes],
        allowed: Mapping[tuple[str, str], object],
        load_persistent: Callable[[Any], object],
        path: Path,
        ignore_others: bool = False,
    ) -> None:
        self._stream, self._allowed, self._load_persistent = stream, allowed, load_persistent
        self._path, self._ignore_others = path, ignore_others
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The object that the pickle describes."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self._stream)):
            if count == MAX_OPCODES:
                raise ValueError(f"its pickle has more than {MAX_OPCODES:,} opcodes")
            if opcode.name == "STOP":
                return self._stack.pop()
            if opcode.name in LITERALS:
                self._stack.append(argument)
            elif opcode.name in OPERATIONS:
                OPERATIONS[opcode.name](self, argument)
            else:  # EXT1 and others bypass find_class
                raise ValueError(f"its pickle uses the opcode {opcode.name}")
        raise ValueError("its pickle has no end")

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def ignore(self, values: list[Any]) -> None:
        """Put a stand-in for an object made of `values` on the stack."""
        self._stack.append(IGNORED)

    def mark(self) -> None:
        """Remember the height of the stack."""
        self._marks.append(len(self._stack))

    def pop(self, count: int) -> list[Any]:
        """Take the top `count` values, the topmost last."""
        if count > len(self._stack):
            raise LookupError("its pickle takes values from an empty stack")
        return [self._stack.pop() for _ in range(count)][::-1]

    def pop_to_mark(self) -> list[Any]:
        """Take the values above the last mark."""
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def append(self, values: list[Any]) -> None:
        """Append to the list on the top of the stack."""
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif target is not IGNORED:
            raise ValueError("its pickle appends to something that is not a list")

    def set_items(self, values: list[Any]) -> None:
        """Set keys and values, in turn, in the dict on the top of the stack."""
        target = self._stack[-1]
        if target is IGNORED:
            return
        if not isinstance(target, dict):
            raise ValueError("its pickle sets items of something that is not a dict")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if isinstance(key, KEY_TYPES):
                target[key] = value
            elif not self._ignore_others:
                raise ValueError("a key in its pickle is neither text nor a number")

    def new_dict(self, values: list[Any]) -> None:
        """Push a dict of keys and values, in turn."""
        self._stack.append({})
        self.set_items(values)

    def find_class(self, module: object, name: object) -> None:
        """Push what stands for a global. Raises UserError for one that is not allowed."""
        found = self._allowed.get((str(module), str(name)))
        if found is None and self._ignore_others:
            found = IGNORED
        if found is None:
            raise UserError(
                f"{self._path}: its pickle references {module}.{name}, which is not part of a state dict; "
                "the file was not loaded and none of its code was run"
            )
        self._stack.append(found)

    def call(self, function: Any, arguments: Any) -> None:
        """Push the result of a stand-in."""
        if function is IGNORED:
            self._stack.append(IGNORED)
        elif isinstance(function, StandIn) and isinstance(arguments, (tuple, list)):
            self._stack.append(function.function(*arguments))
        else:
            raise ValueError("its pickle calls something that is not a function")

    def persistent_load(self, pid: Any) -> None:
        """Push the object of a persistent id."""
        self._stack.append(self._load_persistent(pid))

    def get(self, index: int) -> None:
        """Push an object of the memo."""
        self._stack.append(self._memo[index])

    def put(self, index: int | None = None) -> None:
        """Put the top of the stack into the memo."""
        self._memo[len(self._memo) if index is None else index] = self._stack[-1]


Operation = Callable[[RestrictedUnpickler, Any], object]


def _nothing(machine: RestrictedUnpickler, argument: Any) -> None:
    pass


OPERATIONS: dict[str, Operation] = {
    **dict.fromkeys(("PROTO", "FRAME"), _nothing),
    "BUILD": lambda machine, _: machine.pop(1),  # attributes: version numbers, hooks
    "MARK": lambda machine, _: machine.mark(),
    "POP": lambda machine, _: machine.pop(1),
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.push(machine._stack[-1]),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(IGNORED),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "DICT": lambda machine, _: machine.new_dict(machine.pop_to_mark()),
    "FROZENSET": lambda machine, _: machine.ignore(machine.pop_to_mark()),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop(3))),
    "APPEND": lambda machine, _: machine.append(machine.pop(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.pop_to_mark(),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "GLOBAL": lambda machine, argument: machine.find_class(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.find_class(*machine.pop(2)),
    "REDUCE": lambda machine, _: machine.call(*machine.pop(2)),
    "NEWOBJ": lambda machine, _: machine.call(*machine.pop(2)),
    "NEWOBJ_EX": lambda machine, _: machine.call(*machine.pop(3)[:2]),
    "PERSID": lambda machine, argument: machine.persistent_load(argument),
    "BINPERSID": lambda machine, _: machine.persistent_load(*machine.pop(1)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, index: machine.get(index)),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, index: machine.put(index)),
    "MEMOIZE": lambda machine, _: machine.put(),
}
