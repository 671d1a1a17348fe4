"""Names in a state dict: prefixes that training frameworks put before them, and patterns of flags."""

import fnmatch
import re

from ..files import split_paths

# Modules that wrap any part of a model: DataParallel, torch.compile, FSDP, activation checkpointing.
WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Attributes under which a LightningModule, or another module, holds the whole model.
ATTRIBUTES = re.compile(r"^(?:(?:model|bert_model)\.)+")


def strip_wrappers(name: str) -> str:
    """`module._orig_mod.model.bert.pooler.dense.bias` -> `bert.pooler.dense.bias`."""
    return ATTRIBUTES.sub("", WRAPPERS.sub("", name))


def matches(name: str, patterns: str) -> bool:
    """Whether a name matches one of the fnmatch `patterns`, separated by commas."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in split_paths(patterns))
