"""Q8BERT's inference in NumPy, integers as integers: int8 times int8 summed in int32, then scaled back.

Written from the paper (Zafrir et al. 2019, section 2) and BERT's definition, not from the graph under test;
what is not a product of a dense layer is computed in float64.
"""

import numpy as np
from scipy.special import erf, softmax


def to_integers(x, threshold, bits):
    """(integers, scale) of the symmetric scheme; `threshold` a number, or one for each row of a weight."""
    limit = 2 ** (bits - 1) - 1
    scale = np.float32(threshold) / np.float32(limit)
    scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
    return np.clip(np.round(np.float32(x) / scale), -limit, limit).astype(np.int32), scale


class IntegerBert:
    """A quantized classifier of 8 bits or fewer in all groups.

    Call: input_ids, token_type_ids, attention_mask [B, S] -> logits [B, C].
    """

    def __init__(self, config, arrays):
        self.config, self.arrays, self.scheme = config, arrays, config.quantization

    def dense(self, x, name):
        weight, bias = self.arrays[f"{name}.weight"], self.arrays[f"{name}.bias"]
        if name == "classifier" and not self.scheme.quantize_classifier:
            return x @ weight.T.astype(float) + bias
        axis = 1 if self.scheme.per_channel else None
        largest = np.abs(weight).max(axis=axis, keepdims=True)
        weight, weight_scale = to_integers(weight, largest, self.scheme.weight_bits)
        threshold = self.arrays[f"{name}.input_threshold"].item()
        x, scale = to_integers(x, threshold, self.scheme.activation_bits)
        return (x @ weight.T) * (float(scale) * weight_scale.astype(float).reshape(-1)) + bias

    def table(self, name):
        table = self.arrays[f"bert.embeddings.{name}_embeddings.weight"]
        integers, scale = to_integers(table, np.abs(table).max(), self.scheme.embedding_bits)
        return integers * float(scale)

    def norm(self, x, name):
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + self.config.layer_norm_eps)
        return centred / deviation * self.arrays[f"{name}.weight"] + self.arrays[f"{name}.bias"]

    def attention(self, x, mask, start):
        batch, length, _ = x.shape
        query, key, value = (
            self.dense(x, f"{start}.self.{part}").reshape(batch, length, -1, self.config.head_size)
            for part in ("query", "key", "value")
        )
        scores = np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(self.config.head_size)
        probs = softmax(scores + (1.0 - mask[:, None, None, :]) * -10000.0, axis=-1)
        return np.einsum("bhqk,bkhd->bqhd", probs, value).reshape(x.shape)

    def __call__(self, input_ids, token_type_ids, attention_mask):
        x = self.table("word")[input_ids] + self.table("token_type")[token_type_ids]
        x = self.norm(x + self.table("position")[: input_ids.shape[1]], "bert.embeddings.LayerNorm")
        for layer in range(self.config.num_hidden_layers):
            start = f"bert.encoder.layer.{layer}"
            mixed = self.dense(
                self.attention(x, attention_mask, f"{start}.attention"), f"{start}.attention.output.dense"
            )
            x = self.norm(mixed + x, f"{start}.attention.output.LayerNorm")
            inner = self.dense(x, f"{start}.intermediate.dense")
            inner = inner * 0.5 * (1.0 + erf(inner / np.sqrt(2.0)))
            x = self.norm(self.dense(inner, f"{start}.output.dense") + x, f"{start}.output.LayerNorm")
        return self.dense(np.tanh(self.dense(x[:, 0], "bert.pooler.dense")), "classifier")
