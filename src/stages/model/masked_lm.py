"""Loads a model folder into a BERT with a masked language modeling head."""

from pathlib import Path

import numpy as np

from ...errors import UserError
from ...model.masked_lm import BertMaskedLM
from ...model.state_dict import load_strict
from ...weights.huggingface import POOLER, fit_config
from ...weights.reader import MASKED_LM_HEAD, read_weights
from .device import DeviceSetup
from .load import Log, ModelFiles

WORDS = "bert.embeddings.word_embeddings.weight"
DECODER, BIAS = f"{MASKED_LM_HEAD}decoder.", f"{MASKED_LM_HEAD}bias"


def read_masked_lm(path: str | Path, log: Log, ignore_unexpected: str = "") -> ModelFiles:
    """The ModelFiles of a folder, including an MLM head under transformers' names if there is one.

    Raises UserError without a config.json, or when the decoder is not tied to the word embeddings.
    """
    weights = read_weights(path, keep=(MASKED_LM_HEAD,), ignore_unexpected=ignore_unexpected)
    if weights.config_file is None:
        raise UserError(f"{weights.source} has no config.json next to it; give a Hugging Face folder")
    config, weights, notes = fit_config(weights, ignore_unexpected=ignore_unexpected)
    for note in notes:
        log(f"{weights.source}: {note}")
    arrays = dict(weights.arrays)
    # Which copies of the tied weights a file contains depends on the program that wrote it.
    decoder = arrays.pop(f"{DECODER}weight", None)
    if decoder is not None and (WORDS not in arrays or not np.array_equal(decoder, arrays[WORDS])):
        raise UserError(
            f"{weights.source}: {DECODER}weight differs from the word embeddings; give a model with tied "
            "embeddings, such as BERT"
        )
    bias = arrays.pop(f"{DECODER}bias", None)
    if bias is not None:
        arrays.setdefault(BIAS, bias)
    return ModelFiles(config, arrays, weights.source)


def has_mlm_head(files: ModelFiles) -> bool:
    """Whether a model from `read_masked_lm` can predict words."""
    return any(name.startswith(MASKED_LM_HEAD) for name in files.arrays)


def load_masked_lm(files: ModelFiles, device: DeviceSetup) -> BertMaskedLM:
    """A BertMaskedLM with the weights of `files`, in evaluation mode; the unused pooler may be missing."""
    config = files.config.replace(
        labels=(), output_mode="classification", dtype=device.dtype, compute_type=device.compute_type
    )
    kept = {name: array for name, array in files.arrays.items() if name.startswith(("bert.", MASKED_LM_HEAD))}
    network = BertMaskedLM(config, device.layers)
    load_strict(network, kept, files.source, optional=(POOLER,))
    return network.set_train(False)
