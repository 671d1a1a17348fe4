"""Logits of every row of a table, whatever computes them: this module knows no framework."""

import numpy as np


def collect_logits(predict, batches):
    """Logits of every row.

    Parameters: `predict` a function of input_ids, token_type_ids, attention_mask [B, S] that returns logits
    [B, C]; `batches` one unshuffled pass (data.dataset.Batches or SortedBatches), whose fill rows have
    weight 0 and are dropped here. Returns: float32 [rows, C] in the order of the table.
    """
    logits = None
    for batch in batches.epoch(0):
        values = predict(batch.input_ids, batch.token_type_ids, batch.attention_mask)
        if logits is None:
            logits = np.full((batches.table.rows, values.shape[1]), np.nan, np.float32)
        real = batch.weights > 0
        logits[batch.rows[real]] = values[real]
    return logits
