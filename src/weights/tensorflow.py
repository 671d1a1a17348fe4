"""Google's TensorFlow checkpoints of BERT (bert_model.ckpt.index); requires tensorflow."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, did_you_mean
from ..files import reading
from .names import matches

OPTIMIZER_STATE = re.compile(r"(?:/|^)(?:adam_[mv]|global_step|good_steps|loss_scale|beta[12]_power)$")
# run_classifier.py's head, stored as (out, in)
HEAD = {"output_weights": "classifier.weight", "output_bias": "classifier.bias"}
EMBEDDINGS = ("word_embeddings", "position_embeddings", "token_type_embeddings")
DENSE = (
    r"(?:attention/self/(?:query|key|value)|(?:attention/output|intermediate|output)/dense)"
    r"/(?:kernel|bias)"
)
NORM = r"(?:attention/)?output/LayerNorm/(?:gamma|beta)"
PATTERN = re.compile(
    rf"bert/(?:embeddings/(?:{'|'.join(EMBEDDINGS)}|LayerNorm/(?:gamma|beta))"
    rf"|encoder/layer_\d+/(?:{DENSE}|{NORM})|pooler/dense/(?:kernel|bias))"
)
EXAMPLES = ["bert/embeddings/" + name for name in EMBEDDINGS] + ["bert/pooler/dense/kernel", "output_weights"]


def import_tensorflow(reason: str) -> Any:
    """The tensorflow module. Raises UserError that begins with `reason` where it is not installed."""
    try:
        import tensorflow
    except ImportError:
        raise UserError(
            f"{reason}, which requires tensorflow (pip install tensorflow-cpu); install it, or use "
            "safetensors instead"
        ) from None
    return tensorflow


def write_tf_checkpoint(prefix: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write {TensorFlow name: array} as `prefix`.index and `prefix`.data-00000-of-00001."""
    tensorflow = import_tensorflow(f"{prefix} is a TensorFlow checkpoint")
    tensorflow.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=list(map(tensorflow.constant, arrays.values())),
    )


def hf_to_tf(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{Hugging Face name: array} under Google's names, the inverse of `tf_to_hf`."""
    named = {}
    for name, array in arrays.items():
        tf_name = _tf_name(name)
        named[tf_name] = np.ascontiguousarray(array.T) if tf_name.endswith("/kernel") else array
    return named


def read_tf_checkpoint(index: Path) -> tuple[dict[str, np.ndarray], int]:
    """({TensorFlow name: array}, number of skipped optimizer values) of a checkpoint's .index file.

    Raises UserError when tensorflow is not installed or the checkpoint cannot be read.
    """
    prefix = str(Path(index).with_suffix(""))
    tensorflow = import_tensorflow(f"{prefix} is a TensorFlow checkpoint")
    with reading(prefix, "a TensorFlow checkpoint"):
        reader = tensorflow.train.load_checkpoint(prefix)
        names = list(reader.get_variable_to_shape_map())
        weights = [name for name in names if not OPTIMIZER_STATE.search(name)]
        return {name: reader.get_tensor(name) for name in weights}, len(names) - len(weights)


def tf_to_hf(
    raw: Mapping[str, np.ndarray], source: Path | str, ignore_unexpected: str = ""
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Google's arrays under Hugging Face's names: ({name: array (out, in)}, the ignored names).

    A TensorFlow kernel is (in, out) and gets transposed. Raises UserError for a name that is not BERT's and
    matches none of the patterns `ignore_unexpected`.
    """
    arrays: dict[str, np.ndarray] = {}
    ignored: list[str] = []
    unknown: list[str] = []
    for name, array in raw.items():
        if name.startswith("cls/"):
            ignored.append(name)
        elif name in HEAD:
            arrays[HEAD[name]] = array
        elif PATTERN.fullmatch(name):
            arrays[_hf_name(name)] = np.ascontiguousarray(array.T) if name.endswith("/kernel") else array
        else:
            (ignored if matches(name, ignore_unexpected) else unknown).append(name)
    if unknown:
        raise UserError(
            f"{source}: {len(unknown)} names are not of Google's BERT: {', '.join(unknown[:5])}"
            f"{did_you_mean(unknown[0], EXAMPLES)}"
        )
    return arrays, ignored


def _hf_name(name: str) -> str:
    name = re.sub(r"/layer_(\d+)/", r"/layer/\1/", name).replace("/", ".")
    for tf_name, hf_name in (("kernel", "weight"), ("gamma", "weight"), ("beta", "bias")):
        name = re.sub(rf"\.{tf_name}$", f".{hf_name}", name)
    return name + ".weight" if name.endswith(EMBEDDINGS) else name


def _tf_name(name: str) -> str:
    heads = {hf_name: tf_name for tf_name, hf_name in HEAD.items()}
    if name in heads:
        return heads[name]
    norm = name.endswith(("LayerNorm.weight", "LayerNorm.bias"))
    kinds = {"weight": "gamma", "bias": "beta"} if norm else {"weight": "kernel", "bias": "bias"}
    stem, _, kind = name.rpartition(".")
    stem = re.sub(r"\.layer\.(\d+)", r".layer_\1", stem).replace(".", "/")
    return stem if stem.endswith(EMBEDDINGS) else f"{stem}/{kinds[kind]}"
