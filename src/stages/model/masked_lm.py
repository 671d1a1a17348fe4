"""A model folder -> BERT with its head of masked language modelling, where it has one."""

import numpy as np

from ...config.bert_config import BertConfig
from ...errors import UserError
from ...model.masked_lm import BertMaskedLM
from ...model.state_dict import load_strict
from ...weights.reader import MASKED_LM_HEAD, read_weights
from .load import ModelFiles

WORDS = "bert.embeddings.word_embeddings.weight"
DECODER, BIAS = f"{MASKED_LM_HEAD}decoder.", f"{MASKED_LM_HEAD}bias"
POOLER = "bert.pooler."


def read_masked_lm(path):
    """The ModelFiles of a folder; the head, where there is one, under the names of transformers.

    Raises UserError without a config.json, or when the output matrix is not that of the word embeddings.
    """
    weights = read_weights(path, keep=(MASKED_LM_HEAD,))
    if weights.config_file is None:
        raise UserError(f"{weights.source} has no config.json beside it; give a Hugging Face folder")
    arrays = dict(weights.arrays)
    # Which copies of the tied weights a file holds depends on what wrote it.
    decoder = arrays.pop(f"{DECODER}weight", None)
    if decoder is not None and not np.array_equal(decoder, arrays.get(WORDS)):
        raise UserError(
            f"{weights.source}: {DECODER}weight is not that of the word embeddings; give a model whose "
            "output matrix is tied to them, as BERT's is"
        )
    bias = arrays.pop(f"{DECODER}bias", None)
    if bias is not None:
        arrays.setdefault(BIAS, bias)
    return ModelFiles(BertConfig.from_json(weights.config_file), arrays, weights.source)


def has_head(files):
    """Whether the model of `read_masked_lm` can predict words."""
    return any(name.startswith(MASKED_LM_HEAD) for name in files.arrays)


def masked_lm_from(files, device):
    """A BertMaskedLM with the weights of `files`, ready to predict.

    Its pooler, which nothing reads, may be absent from them.
    """
    config = files.config.replace(
        labels=(), output_mode="classification", dtype=device.dtype, compute_type=device.compute_type
    )
    kept = {name: array for name, array in files.arrays.items() if name.startswith(("bert.", MASKED_LM_HEAD))}
    network = BertMaskedLM(config, device.layers)
    load_strict(network, kept, files.source, optional=(POOLER,))
    return network.set_train(False)
