"""Logits of every row of a dataset, independent of the framework that computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    from ..data.dataloader import Batch
    from ..data.dataset import TokenizedDataset


class DataLoader(Protocol):
    """What `collect_logits` needs of a data loader."""

    dataset: TokenizedDataset

    def epoch(self, epoch: int) -> Iterable[Batch]: ...


def collect_logits(predict: Callable[..., np.ndarray], loader: DataLoader) -> np.ndarray:
    """Logits of every row.

    Parameters: `predict` a function of input_ids, token_type_ids, attention_mask [B, S] that returns logits
    [B, C], or [B, S, C] per token; `loader` an unshuffled data loader, whose padding rows have weight 0 and
    are dropped. Returns: float32 [rows, C], or [T, C] of the real tokens of all rows, in the order of the
    dataset. Raises UserError when a logit is not finite.
    """
    logits, dataset = None, loader.dataset
    for batch in loader.epoch(0):
        values = predict(batch.input_ids, batch.token_type_ids, batch.attention_mask)
        by_token = values.ndim == 3
        if logits is None:
            count = len(dataset.tokens) if by_token else dataset.rows
            logits = np.full((count, values.shape[-1]), np.nan, np.float32)
        real = batch.weights > 0
        rows, values = batch.rows[real], values[real]
        if by_token:
            tokens, positions = dataset.places(rows, values.shape[1])
            logits[positions] = values[tokens]
        else:
            logits[rows] = values
    assert logits is not None, "an empty dataset"
    broken = np.count_nonzero(~np.isfinite(logits).all(axis=1))
    if broken:
        # argmax returns the first NaN, which would pass for a prediction.
        raise UserError(
            f"{broken} of {len(logits)} outputs of the model are NaN or infinite: its weights are not finite "
            "or activations overflow; use an earlier checkpoint, or train with a lower --learning_rate"
        )
    return logits
