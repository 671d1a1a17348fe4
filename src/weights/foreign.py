"""Files that are taken for a model's weights and are something else: what they are, and the way out."""

import fnmatch
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError


class ForeignKind(NamedTuple):
    """What a file is and what to do instead, recognized by its name or its first bytes."""

    what: str
    advice: str
    names: tuple[str, ...] = ()
    magic: tuple[bytes, ...] = ()


OTHER_FRAMEWORK = (
    "load it with transformers below 5, BertModel.from_pretrained(folder, {flag}=True) or the class of its "
    "head, and save it with save_pretrained"
)
ORIGINAL = "give the model that it was made from (model.safetensors or pytorch_model.bin)"
OF_TRAINING = "give model.safetensors or pytorch_model.bin of the same folder"
FOREIGN = (
    ForeignKind(
        "a Git LFS pointer, not the weights",
        "run `git lfs pull` in its folder",
        magic=(b"version https://git-lfs",),
    ),
    ForeignKind(
        "a PEFT adapter, which holds changes of another model's weights",
        "merge it with peft, PeftModel.from_pretrained(model, folder).merge_and_unload(), and save that with "
        "save_pretrained",
        names=("adapter_model.*", "adapter_config.json"),
    ),
    ForeignKind(
        "the state of a training with transformers, not a model",
        OF_TRAINING,
        names=(
            "training_args.bin",
            "optimizer.*",
            "scheduler.*",
            "scaler.*",
            "rng_state*.pth",
            "trainer_state.json",
        ),
    ),
    ForeignKind(
        "TensorFlow's weights of a Keras model (HDF5)",
        OTHER_FRAMEWORK.format(flag="from_tf"),
        names=("*.h5", "*.hdf5", "*.keras"),
        magic=(b"\x89HDF\r\n\x1a\n",),
    ),
    ForeignKind(
        "Flax's weights (msgpack)",
        OTHER_FRAMEWORK.format(flag="from_flax"),
        names=("*.msgpack",),
    ),
    ForeignKind(
        "an ONNX file, which is for inference",
        f"predict, evaluate and benchmark take its folder if `export` wrote it; for anything else {ORIGINAL}",
        names=("*.onnx", "*.onnx_data", "*.ort"),
    ),
    ForeignKind(
        "a MindIR file, which is for inference",
        f"predict, evaluate and benchmark take its folder if `export` wrote it; for anything else {ORIGINAL}",
        names=("*.mindir", "*.ms"),
    ),
    ForeignKind("a GGUF file (llama.cpp)", ORIGINAL, names=("*.gguf", "*.ggml"), magic=(b"GGUF",)),
    ForeignKind("an OpenVINO model", ORIGINAL, names=("openvino_*.bin", "openvino_*.xml"), magic=(b"<?xml",)),
    ForeignKind("rust-bert's weights", ORIGINAL, names=("*.ot",)),
    ForeignKind("a TensorFlow Lite model", ORIGINAL, names=("*.tflite",)),
    ForeignKind("a Core ML model", ORIGINAL, names=("*.mlmodel", "*.mlpackage")),
    ForeignKind("a TensorFlow SavedModel", ORIGINAL, names=("saved_model.pb", "*.pb")),
    ForeignKind(
        "Paddle's pickle",
        "load it with PaddleNLP, save the weights as model.safetensors, and convert that file",
        names=("*.pdparams", "*.pdopt", "*.pdmodel"),
    ),
    ForeignKind(
        "a compressed file or an archive",
        "unpack it first",
        names=("*.tar", "*.tgz", "*.gz", "*.bz2", "*.xz", "*.7z"),
        magic=(b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf"),
    ),
    ForeignKind(
        "a web page, as of a failed download",
        "download it again",
        magic=(b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML"),
    ),
    ForeignKind(
        "NumPy's arrays",
        "save them with safetensors.numpy.save_file under Hugging Face's names",
        names=("*.npz", "*.npy"),
        magic=(b"\x93NUMPY",),
    ),
)
HEAD = max(len(magic) for kind in FOREIGN for magic in kind.magic)


def refuse_foreign(file: Path, head: bytes) -> None:
    """Raise UserError that names the kind of `file` if it is foreign; `head` are its first HEAD bytes."""
    for kind in FOREIGN:
        if _has_name(file, kind) or head.startswith(kind.magic):
            raise UserError(f"{file} is {kind.what}; {kind.advice}")


def foreign_files(folder: Path) -> str:
    """`; <name> is <kind>: <advice>` for the first file of a foreign kind in a folder, or an empty string."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    found = ((file, kind) for kind in FOREIGN for file in files if _has_name(file, kind))
    return next((f"; {file.name} is {kind.what}: {kind.advice}" for file, kind in found), "")


def _has_name(file: Path, kind: ForeignKind) -> bool:
    return any(fnmatch.fnmatchcase(file.name.lower(), pattern) for pattern in kind.names)
