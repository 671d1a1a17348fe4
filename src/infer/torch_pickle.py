"""Reads pytorch_model.bin without torch and without running its pickle.

torch.save (1.6 and later) writes a zip: `<name>/data.pkl` describes the tensors, `<name>/data/<key>` holds
their bytes. A pickle is a program; here its opcodes are read one by one by a small machine that can build
dictionaries, lists and tensors and knows no way to call anything else. Every other name in the file is refused.
"""
import math
import pickletools
import zipfile
from pathlib import Path

import numpy as np

from src.errors import UserError
from src.infer.safetensors_file import widen_bfloat16

STORAGE_TYPES = {"DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "u2",
                 "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1",
                 "ByteStorage": "u1", "BoolStorage": "?"}
NESTED = ("state_dict", "model_state_dict", "model")
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
LITERALS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BININT", "BININT1", "BININT2", "LONG1", "LONG4",
            "BINFLOAT", "SHORT_BINSTRING", "BINSTRING", "INT", "LONG", "UNICODE"}
NO_EFFECT = {"PROTO", "FRAME"}
# What reading a damaged archive or an ill-formed pickle may raise.
BROKEN = (zipfile.BadZipFile, NotImplementedError, EOFError, LookupError, ValueError, TypeError, AttributeError)


def read_torch_zip(path):
    """{name: array} of a state dict saved by torch; bfloat16 comes back as float32.

    Raises UserError when the file is of torch's format before 1.6, is broken, or names anything but tensors.
    """
    path = Path(path)
    if not zipfile.is_zipfile(path):
        raise UserError(_not_a_zip(path))
    try:
        with zipfile.ZipFile(path) as archive:
            root = _root(archive, path)
            storages = _Storages(archive, root, path)
            top = _Machine(storages, path).run(archive.read(f"{root}data.pkl"))
            return _state_dict(top, path)
    except BROKEN as error:
        raise UserError(f"{path} is broken ({error}); download or save it again") from None


def _not_a_zip(path):
    with open(path, "rb") as handle:
        first = handle.read(2)
    if first == b"\x80\x02":
        return (f"{path} was saved by torch before 1.6 or with its legacy format; open it in torch and save "
                "it again (torch.save or safetensors)")
    return f"{path} is truncated or was not saved by torch; download or save it again"


def _root(archive, path):
    roots = [name[:-len("data.pkl")] for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise UserError(f"{path} is a zip file, but not one that torch saved (no data.pkl)")
    if f"{roots[0]}byteorder" in archive.namelist() and archive.read(f"{roots[0]}byteorder") != b"little":
        raise UserError(f"{path} was saved on a big-endian machine; save it again on this one")
    return roots[0]


def _state_dict(top, path):
    for key in NESTED:
        if isinstance(top, dict) and isinstance(top.get(key), dict):
            top = top[key]
    arrays = {k: v for k, v in top.items() if isinstance(v, np.ndarray)} if isinstance(top, dict) else {}
    if not arrays:
        raise UserError(f"{path} holds no state dict (names and tensors); save model.state_dict()")
    return arrays


class _Storages:
    """The byte blocks of the archive, each read once however many tensors share it."""

    def __init__(self, archive, root, path):
        self.archive, self.root, self.path = archive, root, path
        self.blocks = {}

    def get(self, kind, key, count):
        """One-dimensional array of the storage `key`: `count` numbers of type `kind`."""
        if key not in self.blocks:
            info = self.archive.getinfo(f"{self.root}data/{key}")
            dtype = np.dtype(STORAGE_TYPES[kind])
            # torch never compresses; a compressed entry could unfold to any size.
            if info.compress_type != zipfile.ZIP_STORED or info.file_size < count * dtype.itemsize:
                raise ValueError(f"storage {key} has {info.file_size} bytes for {count} numbers")
            block = np.frombuffer(self.archive.read(info), dtype=dtype, count=count)
            self.blocks[key] = widen_bfloat16(block) if kind == "BFloat16Storage" else block
        return self.blocks[key]


class _StorageType(str):
    """The name of a storage class: the only kind of class that a file may mention, and never called."""


def _ordered_dict(pairs=()):
    return dict(pairs)


def _tensor(storage, offset, size, stride, *_unused):
    """The strided view (offset and strides in numbers, not bytes) of a storage, copied."""
    if any(n < 0 for n in (offset, *size, *stride)) or len(size) != len(stride):
        raise ValueError("a tensor with negative or unequal sizes and strides")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count and (last >= storage.size or count > storage.size):
        raise ValueError(f"a tensor of shape {tuple(size)} lies outside its storage")
    if not count:
        return np.zeros(size, storage.dtype)
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, [s * storage.itemsize for s in stride])
    return np.array(view)


def _parameter(tensor, *_unused):
    return tensor


ALLOWED = {("collections", "OrderedDict"): _ordered_dict,
           ("torch._utils", "_rebuild_tensor_v2"): _tensor,
           ("torch._utils", "_rebuild_tensor"): _tensor,
           ("torch._utils", "_rebuild_parameter"): _parameter,
           ("torch", "Size"): tuple,
           **{("torch", name): _StorageType(name) for name in STORAGE_TYPES}}


class _Machine:
    """Interprets the opcodes of data.pkl; see the module's docstring."""

    def __init__(self, storages, path):
        self.storages, self.path = storages, path
        self.stack, self.marks, self.memo = [], [], {}

    def run(self, program):
        """The object that the pickle describes."""
        for opcode, argument, _ in pickletools.genops(program):
            name = opcode.name
            if name == "STOP":
                return self.stack[-1]
            if name in CONSTANTS:
                self.stack.append(CONSTANTS[name])
            elif name in LITERALS:
                self.stack.append(argument)
            elif name not in NO_EFFECT:
                self._operation(name)(argument)
        raise ValueError("its pickle has no end")

    def _operation(self, name):
        operation = getattr(self, f"_op_{name.lower()}", None)
        if operation is None:
            raise UserError(f"{self.path}: its pickle uses {name}, which no state dict needs; not read")
        return operation

    def _since_mark(self):
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _op_global(self, argument):
        module, name = argument.split(" ", 1)
        self._push_global(module, name)

    def _op_stack_global(self, _):
        name, module = self.stack.pop(), self.stack.pop()
        self._push_global(module, name)

    def _push_global(self, module, name):
        if (module, name) not in ALLOWED:
            raise UserError(f"{self.path}: its pickle names {module}.{name}, which is no part of a state dict; "
                            "not read, and nothing of it was run")
        self.stack.append(ALLOWED[module, name])

    def _op_binpersid(self, _):
        kind_of, storage_type, key, _device, count = self.stack.pop()
        if kind_of != "storage" or not isinstance(storage_type, _StorageType):
            raise ValueError("a persistent object that is no storage")
        self.stack.append(self.storages.get(storage_type, key, count))

    def _op_reduce(self, _):
        arguments, function = self.stack.pop(), self.stack.pop()
        if function not in (_ordered_dict, _tensor, _parameter, tuple):
            raise ValueError("a call of something that is no function")
        self.stack.append(function(*arguments))

    def _op_build(self, _):
        # The attributes of an OrderedDict (torch keeps version numbers there): not needed.
        self.stack.pop()

    def _op_mark(self, _):
        self.marks.append(len(self.stack))

    def _op_tuple(self, _):
        self.stack.append(tuple(self._since_mark()))

    def _op_empty_tuple(self, _):
        self.stack.append(())

    def _op_tuple1(self, _):
        self._tuple_of(1)

    def _op_tuple2(self, _):
        self._tuple_of(2)

    def _op_tuple3(self, _):
        self._tuple_of(3)

    def _tuple_of(self, count):
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(items)

    def _op_empty_list(self, _):
        self.stack.append([])

    def _op_append(self, _):
        item = self.stack.pop()
        self.stack[-1].append(item)

    def _op_appends(self, _):
        items = self._since_mark()
        self.stack[-1].extend(items)

    def _op_empty_dict(self, _):
        self.stack.append({})

    def _op_setitem(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][key] = value

    def _op_setitems(self, _):
        items = self._since_mark()
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _op_memoize(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def _op_binput(self, index):
        self.memo[index] = self.stack[-1]

    def _op_binget(self, index):
        self.stack.append(self.memo[index])

    _op_put = _op_long_binput = _op_binput
    _op_get = _op_long_binget = _op_binget
