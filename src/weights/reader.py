"""Reads weight files of any kind as float32 arrays under Hugging Face's names.

Canonical names: `bert.embeddings...`, `bert.encoder.layer.N...`, `bert.pooler.dense...`, `classifier...`, and
of the distillation `hidden_projection...` (W_h) or `hidden_projection.N...` (one for the hidden states of
each layer, 0 for the embedding output). Linear weights are (out, in).
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..config.quantization import Quantization
from ..digests import check_digest
from ..errors import UserError
from ..files import check_regular, restore_replaced
from ..json_reader import read_json, read_object
from .families import bert_name, weight_prefix
from .foreign import HEAD, foreign_files, refuse_foreign
from .mindspore_ckpt import has_zoo_names, read_ckpt, zoo_to_hf
from .names import matches, strip_wrappers
from .nlp_architect import has_nlp_architect_names, read_q8bert
from .paddle import has_paddle_names, paddle_to_hf
from .safetensors_file import read_safetensors
from .tensorflow import read_tf_checkpoint, tf_to_hf
from .torch.legacy_format import MAGIC, read_torch_legacy
from .torch.zip_format import read_torch_zip

# Heads of other tasks.
OTHER_HEADS = (
    *("cls.", "qa_outputs."),
    *("discriminator_predictions.", "generator_predictions.", "generator_lm_head."),  # ELECTRA's
)
MASKED_LM_HEAD = "cls.predictions."
# W_h in TinyBERT's checkpoints: "fit_dense", and one per layer, "fit_denses.N", in the second general models.
FIT_DENSE = re.compile(r"^fit_dense(?:s(?=\.\d))?\.")
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
# Weight files in a folder, in order of preference.
FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "*.ckpt",
    "*.ckpt*.index",
    # Variants in another precision, as transformers names them: model.fp16.safetensors.
    "model.*.safetensors",
    "model.safetensors.index.*.json",
    "pytorch_model.*.bin",
)
CONFIG_FILES = ("config.json", "bert_config.json")  # the second is Google's name
SHARD = re.compile(r"-\d+-of-\d+\.")
TORCH_SUFFIXES = (".bin", ".pt", ".pth")
ZIP = b"PK"


@dataclasses.dataclass(frozen=True)
class Weights:
    """The content of a weight file.

    `arrays` {canonical name: float32 array}; `ignored_names` the names, as in the file, of buffers,
    pre-training heads and quantization ranges; `config` the config.json next to the file as a dict, or None;
    `config_file` its path; `source` the file that was read; `optimizer_values` how many values of the
    optimizer and its schedule were ignored; `quantization` that of a file which describes it itself, with
    `note`, a sentence to log; `prefix` that of the family in the names (`roberta.`), or empty.
    """

    arrays: dict[str, np.ndarray]
    ignored_names: list[str]
    config: dict | None
    config_file: Path | None
    source: Path
    optimizer_values: int = 0
    quantization: Quantization | None = None
    note: str = ""
    prefix: str = ""


def read_weights(
    path: str | Path,
    part: str | None = None,
    keep: Sequence[str] = (),
    strict: bool = True,
    ignore_unexpected: str = "",
) -> Weights:
    """Read a model folder or a single weight file.

    Parameters: `path` a folder (model.safetensors, pytorch_model.bin, their shards, a .ckpt), a file of one
    of these kinds, or the prefix of a TensorFlow checkpoint; `part` "student" or "teacher", for a .ckpt that
    contains both (ignored for a single model unless `strict`); `keep` prefixes of pre-training heads to read
    as well (MASKED_LM_HEAD); `ignore_unexpected` patterns of names that may be integers, which no weight is.
    Raises UserError when no file is found, the file is broken, or two names map to one weight.
    """
    path = Path(path)
    restore_replaced(path)
    file = find_weight_file(path)
    config_file = next((file.parent / name for name in CONFIG_FILES if (file.parent / name).is_file()), None)
    config = read_json(config_file) if config_file else None
    raw, ignored, optimizer_values = _read_file(file, part, strict, ignore_unexpected)
    if has_paddle_names(raw):
        raw = paddle_to_hf(raw)
    quantization, note = None, ""
    if has_nlp_architect_names(raw):
        raw, q8bert_names, quantization, note = read_q8bert(raw, config)
        ignored = ignored + q8bert_names
    arrays, more = canonical_arrays(raw, file, keep, ignore_unexpected)
    ignored, prefix = sorted(ignored + more), weight_prefix(map(strip_wrappers, raw))
    return Weights(arrays, ignored, config, config_file, file, optimizer_values, quantization, note, prefix)


def find_weight_file(path: str | Path) -> Path:
    """The weight file of `path` (a folder, a file or a TensorFlow prefix)."""
    path = Path(path)
    if path.is_dir():
        for pattern in FOLDER_FILES:
            # Shards are listed in an index; without it one of them is no model.
            found = sorted(file for file in path.glob(pattern) if not SHARD.search(file.name))
            if len(found) > 1:
                raise UserError(
                    f"{path} contains {len(found)} checkpoints (the first is {found[0].name}); "
                    "give the path of one file"
                )
            if found:
                return found[0]
        raise UserError(
            f"{path} contains no weights; looked for {', '.join(FOLDER_FILES)}{foreign_files(path)}"
        )
    if path.exists():
        check_regular(path)
        return path
    index = path.with_name(path.name + ".index")
    if index.is_file():
        return index
    raise UserError(f"{path} does not exist; give a model folder or a weight file")


def has_weights(folder: Path) -> bool:
    """Whether a folder contains a weight file."""
    return any(next(folder.glob(pattern), None) for pattern in FOLDER_FILES)


def weight_bytes(file: Path) -> int:
    """Bytes on disk of a weight file, of all shards of an index, or of a graph and its external data."""
    if file.name.endswith(".index.json"):
        return sum(shard.stat().st_size for shard in _shards(file, _weight_map(file)))
    if file.suffix == ".index":  # TensorFlow's
        return sum(part.stat().st_size for part in file.parent.glob(f"{file.stem}.data-*"))
    external = [file.with_name(f"{file.name}{end}") for end in ("_data", ".data")]  # of ONNX
    return sum(part.stat().st_size for part in (file, *external) if part.is_file())


def canonical_arrays(
    raw: Mapping[str, np.ndarray], source: Path, keep: Sequence[str] = (), ignore_unexpected: str = ""
) -> tuple[dict[str, np.ndarray], list[str]]:
    """({canonical name: float32 array}, ignored names) of {name in the file: array}; the rest as above."""
    arrays: dict[str, np.ndarray] = {}
    origin: dict[str, str] = {}
    ignored = []
    for name, array in raw.items():
        canonical = canonical_name(name, keep)
        is_float = np.issubdtype(array.dtype, np.floating)
        if canonical is None or not is_float and matches(canonical, ignore_unexpected):
            ignored.append(name)
        elif canonical in arrays:
            raise UserError(
                f'{source}: "{origin[canonical]}" and "{name}" both map to "{canonical}"; remove one of them'
            )
        else:
            arrays[canonical], origin[canonical] = _as_float32(array, name, source), name
    return arrays, ignored


def canonical_name(name: str, keep: Sequence[str] = ()) -> str | None:
    """The canonical name of a Hugging Face tensor of any family; None for a buffer or another head."""
    bert = bert_name(strip_wrappers(name).removeprefix("tinybert."))
    if bert is None or bert.removeprefix("bert.") in BUFFERS:
        return None
    if bert.startswith(OTHER_HEADS) and not bert.startswith(tuple(keep)):
        return None
    name = bert.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    body = name.removeprefix("bert.")
    return FIT_DENSE.sub("hidden_projection.", body) if FIT_DENSE.match(body) else name


def _as_float32(array: np.ndarray, name: str, source: Path) -> np.ndarray:
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(
            f'{source}: "{name}" is stored as {array.dtype}, not as floating point; give unquantized weights'
        )
    return np.ascontiguousarray(array, dtype=np.float32)


def _read_file(
    file: Path, part: str | None, strict: bool, ignore_unexpected: str
) -> tuple[dict[str, np.ndarray], list[str], int]:
    """({name: array}, ignored names, number of optimizer values) of one weight file or shard index."""
    head = _head(file)
    if part and strict and (file.suffix != ".ckpt" or head.startswith((ZIP, MAGIC))):
        raise UserError(f"{file} contains one model; --part is for a .ckpt with a teacher and a student")
    if file.name.endswith(".index.json"):
        return _read_shards(file), [], 0
    if file.suffix == ".index":
        for each in (file, *file.parent.glob(f"{file.stem}.data-*")):
            check_digest(each)
        raw, optimizer_values = read_tf_checkpoint(file)
        return *tf_to_hf(raw, file, ignore_unexpected), optimizer_values
    if file.suffix == ".ckpt" and not head.startswith((ZIP, MAGIC)):
        check_digest(file)
        raw, scalars = read_ckpt(file)
        if not has_zoo_names(raw):
            return raw, [], scalars
        arrays, ignored, optimizer_values = zoo_to_hf(raw, file, part, strict, ignore_unexpected)
        return arrays, ignored, scalars + optimizer_values
    return _read_tensors(file), [], 0


def _head(file: Path) -> bytes:
    """First bytes of a weight file. Raises UserError for what is not a file, and for other kinds of file."""
    check_regular(file)
    with open(file, "rb") as handle:
        head = handle.read(max(HEAD, len(MAGIC)))
    refuse_foreign(file, head)
    return head


def _read_tensors(file: Path) -> dict[str, np.ndarray]:
    """{name: array} of a file in the format of safetensors or torch, whatever its suffix."""
    head = _head(file)
    check_digest(file)
    if head.startswith(ZIP):
        return read_torch_zip(file)
    if head.startswith(MAGIC):
        return read_torch_legacy(file)
    if file.suffix == ".safetensors" or head[8:9] == b"{":
        return read_safetensors(file)
    if file.suffix in TORCH_SUFFIXES:
        raise UserError(f"{file} is truncated or was not saved by torch; download or save it again")
    raise UserError(
        f"{file}: unknown kind of weight file; give .safetensors, pytorch_model.bin, .ckpt or a "
        "TensorFlow checkpoint"
    )


def _weight_map(index: Path) -> dict[str, str]:
    """{name of a weight: name of its shard} of an index file."""
    return read_object(index, {"weight_map": {str: str}}, "download it again")["weight_map"]


def _shards(index: Path, weight_map: Mapping[str, str]) -> list[Path]:
    """The shards of an index, all in its own folder: paths that lead elsewhere are never followed."""
    files = [index.parent / Path(shard).name for shard in sorted(set(weight_map.values()))]
    for file in files:
        try:
            check_regular(file)
        except UserError as error:
            raise UserError(
                f"{index} lists the shard {file.name}: {error}; download the folder again"
            ) from None
    return files


def _read_shards(index: Path) -> dict[str, np.ndarray]:
    weight_map = _weight_map(index)
    raw: dict[str, np.ndarray] = {}
    for file in _shards(index, weight_map):
        raw.update(_read_tensors(file))
    missing = sorted(set(weight_map) - set(raw))
    if missing:
        raise UserError(f'{index} lists "{missing[0]}", which no shard contains; download the folder again')
    return raw
