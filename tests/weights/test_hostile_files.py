"""Weight files made to crash a reader, to fill the memory or to hang it: each is one sentence."""

import json
import os
import socket
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save

from tests.reading import outcomes
from tests.weights.torch_files import DATA, tensor_program, write_legacy, write_zip

READER = "tests.weights.test_hostile_files:read"
# Imported before the files are read: their memory is not the files'.
MODULES = "safetensors.numpy,mindspore.train.checkpoint_pb2"
NAME = "bert.pooler.dense.bias"
MEGABYTES = 250  # of memory that a small file may take


def pickle_of(program):
    """A file of torch whose pickle is `program`, in both formats."""

    def make(folder):
        write_zip(folder / "zip.bin", program, {"0": DATA.tobytes()})
        write_legacy(folder / "legacy.bin", program, {"0": DATA.tobytes()})

    return make


def repeated_copies(module, name, tail=b""):
    """A list of 200,000 numbers that is given to a function 20,000 times."""
    call = b"h\x01h\x00" + tail + b"\x85R"
    numbers = b"](" + b"K\0" * 200_000 + b"eq\x00"
    return b"\x80\x02" + numbers + f"c{module}\n{name}\nq\x01".encode() + call * 20_000 + b"."


def tensor_with(size, stride):
    """A pickle of {"w": tensor} whose sizes are the given opcodes."""
    return tensor_program().replace(
        b"(J\2\0\0\0J\2\0\0\0t(J\2\0\0\0J\1\0\0\0t", b"(" + size + b"t(" + stride + b"t"
    )


PICKLES = {
    "nested a million deep": b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x01s.",
    "nested 150,000 deep": b"\x80\x02})" + b"\x85" * 150_000 + b"K\x01s.",
    "lists nested 150,000 deep": b"\x80\x02" + b"]" * 150_000 + b"a" * 149_999 + b".",
    "a key of 2^60 tuples": b"\x80\x02})q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01s.",
    "torch.Size repeated": repeated_copies("torch", "Size"),
    "OrderedDict repeated": repeated_copies("collections", "OrderedDict"),
    "a million empty lists": b"\x80\x02" + b"]" * 1_000_000 + b".",
    "a million opcodes that do nothing": b"\x80\x02" + b"N0" * 500_000 + b"N.",
    "a frame of 2^62 bytes": b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"}.",
    "text of 2^62 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62) + b"x.",
    "text of 2 GB": b"\x80\x02X\xff\xff\xff\x7fx.",
    "a memo of 2^32": b"\x80\x02}r\xff\xff\xff\xff.",
    "a number of 5,000 digits": b"\x80\x02I" + b"9" * 5000 + b"\n.",
    "a size of 600 digits": tensor_with(b"\x8a\xff" + b"\x7f" * 255, b"K\1"),
    "65 dimensions": tensor_with(b"K\1" * 65, b"K\1" * 65),
    "33 dimensions": tensor_with(b"K\1" * 33, b"K\1" * 33),
    "a shape of 0 and 2^61": tensor_with(b"K\0\x8a\x08" + struct.pack("<q", 1 << 61), b"K\1K\1"),
    "sizes that are lists": tensor_program().replace(b"t(J\2", b"l(J\2"),
    "an opcode of extensions": b"\x80\x02\x82\x01.",
    "no end": b"\x80\x02}",
    "nothing": b"",
    "an empty stack": b"0.",
}


def shared_storage(folder):
    """5,000 tensors over a storage of a megabyte."""
    one = tensor_program((1 << 18,), (1,), 0, 1 << 18)
    start = b"\x80\x02ccollections\nOrderedDict\n)R"
    call = one[len(start) + len(b"X\x01\x00\x00\x00w") : -2]
    names = (b"X\x05\x00\x00\x00%05d" % number for number in range(5000))
    program = start + b"".join(name + call + b"s" for name in names) + b"."
    for write, file in ((write_zip, "zip.bin"), (write_legacy, "legacy.bin")):
        write(folder / file, program, {"0": bytes(1 << 20)})


def patched_zip(old, new):
    """A good file with bytes of its directory replaced."""

    def make(folder):
        file = folder / "zip.bin"
        write_zip(file, tensor_program(), {"0": DATA.tobytes()})
        content = file.read_bytes()
        place = content.index(b"PK\1\2")
        assert old in content[place:]
        file.write_bytes(content[:place] + content[place:].replace(old, new))

    return make


def compressed(method, megabytes):
    """An archive whose pickle expands to many times its size."""

    def make(folder):
        with zipfile.ZipFile(folder / "zip.bin", "w", method) as archive:
            with archive.open("archive/data.pkl", "w", force_zip64=True) as entry:
                for _ in range(megabytes):
                    entry.write(bytes(1 << 20))

    return make


def storage_claiming(count, size):
    """A file of before 1.6 whose storage claims another number of elements."""

    def make(folder):
        write_legacy(folder / "legacy.bin", tensor_program(count=size), {"0": DATA.tobytes()})
        content = (folder / "legacy.bin").read_bytes()
        (folder / "legacy.bin").write_bytes(content[:-24] + struct.pack("<q", count) + content[-16:])

    return make


ARCHIVES = {
    "5,000 tensors over one storage": shared_storage,
    "deflated 300 MB": compressed(zipfile.ZIP_DEFLATED, 300),
    "bzip2 10 MB": compressed(zipfile.ZIP_BZIP2, 10),
    "an entry that claims 2 GB": patched_zip(struct.pack("<II", 16, 16), struct.pack("<II", 2**31, 2**31)),
    "an entry beyond the file": patched_zip(bytes(4) + b"archive/data.p", b"\xf0\xff\xff\x7farchive/data.p"),
    "a damaged archive": patched_zip(b"PK\5\6", b"PK\5\7"),
    "an unknown method": patched_zip(b"PK\1\2\x14\3\x14\0\0\0\0\0", b"PK\1\2\x14\3\x14\0\0\0\x63\0"),
    "an encrypted entry": patched_zip(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"),
    "a storage of 2^60": storage_claiming(1 << 60, 4),
    "a storage of -1": storage_claiming(-1, 4),
    "a tensor of 2^31": storage_claiming(4, (1 << 31) - 1),
}


def safetensors_of(header, data=bytes(8)):
    """A .safetensors file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()

    def make(folder):
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)

    return make


def entry(**changes):
    return {NAME: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


def entry_text(shape):
    return b'{"%s": {"dtype": "F32", "shape": [%s], "data_offsets": [0, 8]}}' % (NAME.encode(), shape)


SAFETENSORS = {
    "a shape of 0 and 2^62": safetensors_of(entry(shape=[0, 1 << 62], data_offsets=[0, 0]), b""),
    "bfloat16 of 0 and 2^62": safetensors_of(
        entry(dtype="BF16", shape=[0, 1 << 62], data_offsets=[0, 0]), b""
    ),
    "65 dimensions": safetensors_of(entry(shape=[1] * 64 + [2])),
    "33 dimensions": safetensors_of(entry(shape=[1] * 32 + [2])),
    "an infinite size": safetensors_of(entry_text(b"Infinity")),
    "a size of 5,000 digits": safetensors_of(entry_text(b"9" * 5000)),
    "sizes whose product overflows": safetensors_of(entry(shape=[1 << 32, 1 << 32]), b""),
    "a list as dtype": safetensors_of(entry(dtype=["F32"])),
    "text as shape": safetensors_of(entry(shape="2")),
    "objects nested deeply": safetensors_of(b'{"a":' * 100_000),
    "lists nested deeply": safetensors_of(b"[" * 100_000),
    "overlapping tensors": safetensors_of({**entry(), "classifier.bias": entry()[NAME]}),
    "a gap between tensors": safetensors_of(entry(data_offsets=[4, 12]), bytes(12)),
    "a header of 2^40": lambda folder: (folder / "m.safetensors").write_bytes(struct.pack("<Q", 1 << 40)),
    "not UTF-8": safetensors_of(b'{"\xff": 1}'),
    "complex numbers": safetensors_of(entry(dtype="C64", shape=[1])),
    "a name of 100,000 letters": safetensors_of({"x" * 100_000: entry(dtype="I8", shape=[8])[NAME]}),
    "a name that writes to the terminal": safetensors_of({"\x1b[2J\n": entry(dtype="I8", shape=[8])[NAME]}),
}


def index_of(weight_map):
    """An index of shards beside one good shard."""

    def make(folder):
        (folder / "a.safetensors").write_bytes(save({NAME: np.ones(2, np.float32)}))
        text = weight_map if isinstance(weight_map, bytes) else json.dumps(weight_map).encode()
        (folder / "model.safetensors.index.json").write_bytes(text)

    return make


INDICES = {
    "no object": index_of([]),
    "no weight_map": index_of({}),
    "a list as weight_map": index_of({"weight_map": [1]}),
    "a number as shard": index_of({"weight_map": {NAME: 3}}),
    "a shard that is a folder": index_of({"weight_map": {NAME: ".."}}),
    "a shard that is absent": index_of({"weight_map": {NAME: "b.safetensors"}}),
    "a weight that is absent": index_of({"weight_map": {"x": "a.safetensors"}}),
    "the index as its shard": index_of({"weight_map": {NAME: "model.safetensors.index.json"}}),
    "nested deeply": index_of(b'{"weight_map":' * 100_000),
}


def checkpoint_of(**fields):
    """A MindSpore checkpoint of one parameter."""

    def make(folder):
        from google.protobuf.internal.encoder import _VarintBytes as varint

        tensor = b"".join(b"\x08" + varint(size % (1 << 64)) for size in fields.get("dims", [2]))
        kind, data = fields.get("kind", b"Float32"), fields.get("data", bytes(8))
        for number, value in ((b"\x12", kind), (b"\x1a", data)):
            tensor += number + varint(len(value)) + value
        value = b"\x0a" + varint(1) + b"x" + b"\x12" + varint(len(tensor)) + tensor
        (folder / "m.ckpt").write_bytes(b"\x0a" + varint(len(value)) + value)

    return make


CHECKPOINTS = {
    "more numbers than bytes": checkpoint_of(dims=[1 << 40]),
    "sizes whose product overflows": checkpoint_of(dims=[1 << 62, 1 << 62]),
    "a negative size": checkpoint_of(dims=[-1]),
    "33 dimensions": checkpoint_of(dims=[1] * 32 + [2]),
    "an unknown type": checkpoint_of(kind=b"Complex"),
    "half a number": checkpoint_of(data=bytes(7)),
    "not protobuf": lambda folder: (folder / "m.ckpt").write_bytes(b"\xff" * 100),
}


def special(kind):
    """Something that is no regular file under the name of a weight file, and of a config."""

    def make(folder):
        file = folder / "model.safetensors"
        if kind == "fifo":
            os.mkfifo(file)
        elif kind == "device":
            file.symlink_to("/dev/zero")
        elif kind == "socket":
            here = os.getcwd()
            os.chdir(folder)  # a socket's path has to be short
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(file.name)
            os.chdir(here)
        elif kind == "folder":
            file.mkdir()
        else:
            file.write_bytes(save({NAME: np.ones(2, np.float32)}))
            os.mkfifo(folder / "config.json")

    return make


SPECIAL = {kind: special(kind) for kind in ("fifo", "device", "socket", "folder")}
CASES = {
    **{f"pickle: {name}": pickle_of(program) for name, program in PICKLES.items()},
    **{f"archive: {name}": make for name, make in ARCHIVES.items()},
    **{f"safetensors: {name}": make for name, make in SAFETENSORS.items()},
    **{f"index: {name}": make for name, make in INDICES.items()},
    **{f"checkpoint: {name}": make for name, make in CHECKPOINTS.items()},
    **{f"special: {name}": make for name, make in SPECIAL.items()},
}


GOOD = {
    "pickles": pickle_of(tensor_program()),
    "safetensors": safetensors_of(entry()),
    "checkpoint": checkpoint_of(),
    "index": index_of({"weight_map": {NAME: "a.safetensors"}}),
}
MUTATED = ("zip.bin", "legacy.bin", "model.safetensors", "m.ckpt")


def mutations(content, count, seed):
    """Copies of `content` with a few bytes changed, removed or inserted, or cut short."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        data = bytearray(content)
        for _ in range(rng.integers(1, 5)):
            place, kind = int(rng.integers(len(data))), rng.integers(5)
            if kind == 0:
                data[place] ^= 1 << int(rng.integers(8))
            elif kind == 1:
                data[place] = int(rng.choice([0, 1, 127, 128, 255]))
            elif kind == 2:
                del data[place : place + int(rng.integers(1, 9))]
            elif kind == 3:
                data[place:place] = rng.bytes(int(rng.integers(1, 9)))
            else:
                del data[place:]
            data = data or bytearray(1)
        yield bytes(data)


def read(path):
    """Read a weight file, or every file of a folder, whose exceptions must all be UserErrors."""
    from src.errors import UserError
    from src.weights.reader import read_weights

    if path.name != "mutated":
        return read_weights(path)
    for file in sorted(path.iterdir()):
        try:
            read_weights(file)
        except UserError as error:
            assert str(error).isprintable() and len(str(error)) < 1000


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """{(case, file name): outcome} of all files, read by one process that forks for each."""
    root, files = tmp_path_factory.mktemp("hostile"), {}
    for number, (name, make) in enumerate([*CASES.items(), *GOOD.items()]):
        folder = root / str(number)
        folder.mkdir()
        make(folder)
        files |= {(name, file.name): file for file in folder.iterdir() if file.name != "a.safetensors"}
    good = {file: path for (case, file), path in files.items() if case in GOOD}
    for kind in MUTATED:
        folder = root / kind / "mutated"
        folder.mkdir(parents=True)
        for number, data in enumerate(mutations(good[kind].read_bytes(), 150, seed=7)):
            (folder / f"{number:04d}{kind}").write_bytes(data)
        files["mutated", kind] = folder
    return dict(zip(files, outcomes(READER, files.values(), MODULES), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_each_file_is_one_sentence(case, results):
    found = {file: result for (name, file), result in results.items() if name == case}
    assert found
    for file, result in found.items():
        assert result["outcome"] == "refused", (file, result)
        message = result["message"]
        assert file in message and message.isprintable() and len(message) < 1000, message
        assert result["megabytes"] < MEGABYTES, (file, result)


@pytest.mark.parametrize("kind", MUTATED)
def test_mutated_files(kind, results):
    result = results["mutated", kind]
    assert result["outcome"] == "read" and result["megabytes"] < MEGABYTES, result


def test_good_files_of_these_kinds_are_read(results):
    """The files above fail for the fault they have, not for how they are made."""
    found = {file: result["outcome"] for (case, file), result in results.items() if case in GOOD}
    assert found == dict.fromkeys([*MUTATED, "model.safetensors.index.json"], "read")
