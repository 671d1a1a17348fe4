"""PaddleNLP's names of BERT and TinyBERT -> Hugging Face's; its linear weights are (in, out).

Names: paddle.nn.TransformerEncoderLayer, and PaddleNLP's conversion scripts, which map them one by one.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

LAYER = re.compile(r"\bencoder\.layers\.(\d+)\.([\w.]+)\.(weight|bias)$")
IN_LAYER = {
    "self_attn.q_proj": "attention.self.query",
    "self_attn.k_proj": "attention.self.key",
    "self_attn.v_proj": "attention.self.value",
    "self_attn.out_proj": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "linear1": "intermediate.dense",
    "linear2": "output.dense",
    "norm2": "output.LayerNorm",
}
FEED_FORWARD = re.compile(r"\bencoder\.layers\.\d+\.linear1\.weight$")


def has_paddle_names(names: Iterable[str]) -> bool:
    """Whether these are PaddleNLP's names. torch.nn.TransformerEncoder shares only some of them."""
    found = list(names)
    return any(map(FEED_FORWARD.search, found)) and any(".self_attn.q_proj." in name for name in found)


def paddle_to_hf(raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of PaddleNLP under Hugging Face's names, linear weights as (out, in).

    A file whose weights a conversion has transposed already is recognized by linear1, whose bias has the
    output's length. Names that are the same in both are kept.
    """
    transposed = _is_in_out(raw)
    arrays = {}
    for name, array in raw.items():
        is_linear = name.endswith(".weight") and array.ndim == 2 and "embeddings." not in name
        # cls.predictions.decoder_weight, the table of the word embeddings, ends otherwise.
        arrays[_hf_name(name)] = np.ascontiguousarray(array.T) if transposed and is_linear else array
    return arrays


def _is_in_out(raw: Mapping[str, np.ndarray]) -> bool:
    for name, weight in raw.items():
        bias = raw.get(name.removesuffix("weight") + "bias")
        if FEED_FORWARD.search(name) and bias is not None and weight.ndim == 2:
            return weight.shape[1] == bias.size
    return True


def _hf_name(name: str) -> str:
    name = re.sub(r"\bembeddings\.layer_norm\.", "embeddings.LayerNorm.", name)
    layer = LAYER.search(name)
    if layer is None or layer[2] not in IN_LAYER:
        return name
    return f"{name[: layer.start()]}encoder.layer.{layer[1]}.{IN_LAYER[layer[2]]}.{layer[3]}"
