"""Reads a pickle without running it.

A pickle is a program: pickle.load does what the file says, whatever that is. Here its opcodes are taken one
by one by a small machine that builds tuples, lists and dictionaries and calls the functions it was handed.
"""

import pickletools

from ..errors import UserError

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
LITERALS = {
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "LONG4",
    "BINFLOAT",
    "SHORT_BINSTRING",
    "BINSTRING",
    "INT",
    "LONG",
    "UNICODE",
}
NO_EFFECT = {"PROTO", "FRAME"}


class RestrictedUnpickler:
    """Interprets the opcodes of one pickle.

    `allowed` {(module, name): object} are the only globals; of these `functions` alone can be called;
    `persistent` turns a persistent id (a tuple) into an object; `path` is named in errors.
    """

    def __init__(self, allowed, functions, persistent, path):
        self.allowed, self.functions, self.persistent, self.path = allowed, functions, persistent, path
        self.stack, self.marks, self.memo = [], [], {}

    def run(self, program):
        """The object that the pickle describes.

        Raises UserError for a global or an opcode outside the list; LookupError, ValueError, TypeError or
        AttributeError when the pickle is ill-formed.
        """
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
        if (module, name) not in self.allowed:
            raise UserError(
                f"{self.path}: its pickle names {module}.{name}, which is no part of a state "
                "dict; not read, and nothing of it was run"
            )
        self.stack.append(self.allowed[module, name])

    def _op_binpersid(self, _):
        self.stack.append(self.persistent(self.stack.pop()))

    def _op_reduce(self, _):
        arguments, function = self.stack.pop(), self.stack.pop()
        if not any(function is known for known in self.functions):
            raise ValueError("a call of something that is no function")
        self.stack.append(function(*arguments))

    def _op_build(self, _):
        # The attributes of an object (torch keeps version numbers in its OrderedDict): not needed.
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
