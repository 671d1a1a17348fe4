"""Reads Google's TensorFlow checkpoints of BERT (bert_model.ckpt.index), where tensorflow is installed."""

import re
from pathlib import Path

import numpy as np

from ..errors import UserError, did_you_mean

STATE = re.compile(r"(?:/|^)(?:adam_[mv]|global_step|good_steps|loss_scale|beta[12]_power)$")
# run_classifier.py's head, already (out, in)
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


def read_tf_checkpoint(index):
    """{TensorFlow name: array} of the checkpoint whose .index file is `index`; optimizer state is not read.

    Returns also the number of names passed over. Raises UserError when tensorflow is not installed.
    """
    prefix = str(Path(index).with_suffix(""))
    try:
        import tensorflow
    except ImportError:
        raise UserError(
            f"{prefix} is a TensorFlow checkpoint, which needs tensorflow "
            "(pip install tensorflow-cpu), or a copy converted to safetensors"
        ) from None
    try:
        reader = tensorflow.train.load_checkpoint(prefix)
        names = list(reader.get_variable_to_shape_map())
        wanted = [name for name in names if not STATE.search(name)]
        return {name: reader.get_tensor(name) for name in wanted}, len(names) - len(wanted)
    except (tensorflow.errors.OpError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{prefix} cannot be read ({reason}); download it again") from None


def weights_of_tf(raw, source):
    """Hugging Face names for Google's: ({name: array (out, in)}, names set aside).

    A TensorFlow kernel is (in, out) and is transposed. Raises UserError for a name that is not BERT's.
    """
    arrays, set_aside, unknown = {}, [], []
    for name, array in raw.items():
        if name.startswith("cls/"):
            set_aside.append(name)
        elif name in HEAD:
            arrays[HEAD[name]] = array
        elif PATTERN.fullmatch(name):
            arrays[_hf_name(name)] = np.ascontiguousarray(array.T) if name.endswith("/kernel") else array
        else:
            unknown.append(name)
    if unknown:
        raise UserError(
            f"{source}: {len(unknown)} names are not of Google's BERT: {', '.join(unknown[:5])}"
            f"{did_you_mean(unknown[0], EXAMPLES)}"
        )
    return arrays, set_aside


def _hf_name(name):
    name = re.sub(r"/layer_(\d+)/", r"/layer/\1/", name).replace("/", ".")
    for theirs, ours in (("kernel", "weight"), ("gamma", "weight"), ("beta", "bias")):
        name = re.sub(rf"\.{theirs}$", f".{ours}", name)
    return name + ".weight" if name.endswith(EMBEDDINGS) else name
