"""Prefixes that training frameworks put before the names of a state dict."""

import re

# Modules that wrap any part of a model: DataParallel, torch.compile, FSDP, activation checkpointing.
WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Attributes under which a LightningModule, or another module, holds the whole model.
ATTRIBUTES = re.compile(r"^(?:(?:model|bert_model)\.)+")


def strip_wrappers(name: str) -> str:
    """`module._orig_mod.model.bert.pooler.dense.bias` -> `bert.pooler.dense.bias`."""
    return ATTRIBUTES.sub("", WRAPPERS.sub("", name))
