"""Logits of every row of a table, whatever computes them: this module knows no framework."""

import numpy as np

from ..errors import UserError


def collect_logits(predict, batches):
    """Logits of every row.

    Parameters: `predict` a function of input_ids, token_type_ids, attention_mask [B, S] that returns logits
    [B, C], or [B, S, C] of each token; `batches` one unshuffled pass (a data loader),
    whose fill rows have weight 0 and are dropped here. Returns: float32 [rows, C], or [T, C] of the real
    tokens of all rows, in the order of the table. Raises UserError where one of them is no number.
    """
    logits, table = None, batches.dataset
    for batch in batches.epoch(0):
        values = predict(batch.input_ids, batch.token_type_ids, batch.attention_mask)
        by_token = values.ndim == 3
        if logits is None:
            count = len(table.tokens) if by_token else table.rows
            logits = np.full((count, values.shape[-1]), np.nan, np.float32)
        real = batch.weights > 0
        rows, values = batch.rows[real], values[real]
        if by_token:
            tokens, places = table.places(rows, values.shape[1])
            logits[places] = values[tokens]
        else:
            logits[rows] = values
    broken = np.count_nonzero(~np.isfinite(logits).all(axis=1))
    if broken:
        # The largest of NaNs is the first: they would pass for answers.
        raise UserError(
            f"{broken} of {len(logits)} answers of the model are NaN or infinite: its weights "
            "are, or its numbers grow too large; take an earlier checkpoint, or train with a "
            "lower --learning_rate"
        )
    return logits
