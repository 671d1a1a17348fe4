"""Weight files of any kind -> float32 arrays under Hugging Face's names.

Canonical names: `bert.embeddings...`, `bert.encoder.layer.N...`, `bert.pooler.dense...`, `classifier...`, and
`hidden_projection...` (W_h of the distillation), each linear weight as (out, in).
"""

import dataclasses
import zipfile
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import read_json
from .mindspore_ckpt import is_zoo, read_ckpt, weights_of_zoo
from .safetensors_file import read_safetensors
from .tensorflow import read_tf_checkpoint, weights_of_tf
from .torch_zip import read_torch_zip

BODY = ("embeddings.", "encoder.", "pooler.")
# Heads of pre-training; "fit_denses.N" are the projections, one a layer, of TinyBERT's second general models.
PRETRAINING_HEADS = ("cls.", "fit_denses.")
MASKED_LM_HEAD = "cls.predictions."
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
# What a folder may hold, in the order of preference.
FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "*.ckpt",
    "*.ckpt*.index",
    "*.pdparams",
)
CONFIG_FILES = ("config.json", "bert_config.json")  # the second is Google's name
TORCH_SUFFIXES = (".bin", ".pt", ".pth")
LFS_POINTER = b"version https://git-lfs"


@dataclasses.dataclass(frozen=True)
class Weights:
    """What a weight file holds.

    `arrays` {canonical name: float32 array}; `set_aside` the names, as in the file, of buffers, pre-training
    heads and quantization ranges; `config` the config.json beside the file as a dict, or None; `config_file`
    its path; `source` the file read; `ignored` the number of optimizer values passed over.
    """

    arrays: dict
    set_aside: list
    config: dict | None
    config_file: Path | None
    source: Path
    ignored: int = 0


def read_weights(path, part=None, keep=(), strict=True):
    """Read a model folder or a single weight file.

    Parameters: `path` a folder (model.safetensors, pytorch_model.bin, their shards, a .ckpt), a file of one
    of these kinds, or the prefix of a TensorFlow checkpoint; `part` "student" or "teacher", needed only for a
    .ckpt that holds both (not `strict`: and passed over where there is one model); `keep` prefixes of
    pre-training heads that are not set aside (MASKED_LM_HEAD).
    Returns: Weights. Raises UserError when nothing is found, the file is broken or two names mean one weight.
    """
    path = Path(path)
    file = find_weight_file(path)
    config_file = next((file.parent / name for name in CONFIG_FILES if (file.parent / name).is_file()), None)
    config = read_json(config_file) if config_file else None
    raw, set_aside, ignored = _read_file(file, part, strict)
    arrays, more = canonical_arrays(raw, file, keep)
    return Weights(arrays, sorted(set_aside + more), config, config_file, file, ignored)


def find_weight_file(path):
    """The file that holds the weights of `path` (a folder, a file or a TensorFlow prefix)."""
    path = Path(path)
    if path.is_dir():
        for pattern in FOLDER_FILES:
            found = sorted(path.glob(pattern))
            if len(found) > 1:
                raise UserError(
                    f"{path} holds {len(found)} checkpoints (the first is {found[0].name}); "
                    "name the file itself"
                )
            if found:
                return found[0]
        raise UserError(f"{path} holds no weights; looked for {', '.join(FOLDER_FILES)}")
    if path.is_file():
        return path
    index = path.with_name(path.name + ".index")
    if index.is_file():
        return index
    raise UserError(f"{path} does not exist; give a model folder or a weight file")


def weight_bytes(file):
    """Bytes on disk of a weight file, or of all the files that an index names."""
    if file.name.endswith(".index.json"):
        return sum(shard.stat().st_size for shard in _shards(file, _weight_map(file)))
    if file.suffix == ".index":  # TensorFlow's
        return sum(part.stat().st_size for part in file.parent.glob(f"{file.stem}.data-*"))
    return file.stat().st_size


def canonical_arrays(raw, source, keep=()):
    """({canonical name: float32 array}, names set aside) of {name in the file: array}; `keep` as above."""
    arrays, origin, set_aside = {}, {}, []
    for name, array in raw.items():
        canonical = canonical_name(name, keep)
        if canonical is None:
            set_aside.append(name)
        elif canonical in arrays:
            raise UserError(
                f'{source}: "{origin[canonical]}" and "{name}" both mean "{canonical}"; remove one of them'
            )
        else:
            arrays[canonical], origin[canonical] = _as_float32(array, name, source), name
    return arrays, set_aside


def canonical_name(name, keep=()):
    """Our name of a tensor of a Hugging Face file, or None when it is a buffer or a pre-training head."""
    name = name.removeprefix("module.")
    body = name.removeprefix("bert.")
    if body in BUFFERS or name.startswith(PRETRAINING_HEADS) and not name.startswith(tuple(keep)):
        return None
    if body.startswith(BODY):
        name = "bert." + body
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    # TinyBERT's own checkpoints call W_h "fit_dense".
    return "hidden_projection." + name.removeprefix("fit_dense.") if name.startswith("fit_dense.") else name


def _as_float32(array, name, source):
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(
            f'{source}: "{name}" is stored as {array.dtype}, not as floating point; give the '
            "unquantized weights"
        )
    return np.ascontiguousarray(array, dtype=np.float32)


def _read_file(file, part, strict):
    """({name: array}, names set aside, number of values ignored) of one weight file or shard index."""
    _refuse_unreadable(file)
    if part and strict and file.suffix != ".ckpt":
        raise UserError(f"{file} holds one model; --part is for a .ckpt with a teacher and a student")
    if file.name.endswith(".index.json"):
        return _read_shards(file), [], 0
    if file.suffix == ".index":
        raw, ignored = read_tf_checkpoint(file)
        return *weights_of_tf(raw, file), ignored
    if file.suffix == ".ckpt" and not zipfile.is_zipfile(file):
        raw, ignored = read_ckpt(file)
        if not is_zoo(raw):
            return raw, [], ignored
        arrays, set_aside, state = weights_of_zoo(raw, file, part, strict)
        return arrays, set_aside, ignored + state
    return _read_tensors(file), [], 0


def _refuse_unreadable(file):
    with open(file, "rb") as handle:
        first = handle.read(len(LFS_POINTER))
    if first == LFS_POINTER:
        raise UserError(f"{file} is a Git LFS pointer, not the weights; run `git lfs pull` in its folder")
    if file.suffix == ".pdparams":
        raise UserError(
            f"{file} is Paddle's pickle, which is not run; open it with PaddleNLP, save its "
            "weights as model.safetensors or pytorch_model.bin, and convert that"
        )


def _read_tensors(file):
    if file.suffix == ".safetensors":
        return read_safetensors(file)
    if file.suffix in TORCH_SUFFIXES or zipfile.is_zipfile(file):
        return read_torch_zip(file)
    raise UserError(
        f"{file}: not a kind of weight file that is known; give .safetensors, pytorch_model.bin, "
        ".ckpt or a TensorFlow checkpoint"
    )


def _weight_map(index):
    """{name of a weight: name of its shard} that an index file holds."""
    content = read_json(index)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict):
        raise UserError(f'{index} has no "weight_map"; download it again')
    return weight_map


def _shards(index, weight_map):
    """The files that an index names; they lie beside it: a path out of the folder is never followed."""
    files = [index.parent / Path(shard).name for shard in sorted(set(map(str, weight_map.values())))]
    for file in files:
        if not file.is_file():
            raise UserError(
                f"{index} names the shard {file.name}, which is not there; download the folder again"
            )
    return files


def _read_shards(index):
    weight_map, raw = _weight_map(index), {}
    for file in _shards(index, weight_map):
        _refuse_unreadable(file)
        raw.update(_read_tensors(file))
    absent = sorted(set(weight_map) - set(raw))
    if absent:
        raise UserError(f'{index} names "{absent[0]}", which no shard holds; download the folder again')
    return raw
