"""Q8BERT inference in NumPy integer arithmetic: int8 matmuls with int32 accumulation, then dequantization.

Written from the paper (Zafrir et al. 2019, section 2) and the definition of BERT, independently of the graph
under test. Everything except the matmuls of dense layers is computed in float64.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import erf, softmax

from src.config.bert_config import BertConfig, Quantization


def quantize(x: np.ndarray, clip_value: float | np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Quantize symmetrically to (integers, scale); `clip_value` per tensor, or [rows, 1] per weight row."""
    qmax = 2 ** (bits - 1) - 1
    scale = np.asarray(clip_value, np.float32) / np.float32(qmax)
    scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
    return np.clip(np.round(x.astype(np.float32) / scale), -qmax - 1, qmax).astype(np.int32), scale


class IntegerBert:
    """A classifier with all weights and activations quantized to 8 bits or fewer.

    Call: input_ids, token_type_ids, attention_mask [B, S] -> logits [B, C].
    """

    def __init__(self, config: BertConfig, arrays: Mapping[str, np.ndarray]) -> None:
        self.config, self.arrays = config, arrays
        self.quantization = config.quantization or Quantization()

    def dense(self, x: np.ndarray, name: str) -> np.ndarray:
        weight, bias = self.arrays[f"{name}.weight"], self.arrays[f"{name}.bias"]
        if not self.quantization.quantizes(name):
            return x @ weight.T.astype(float) + bias
        axis = 1 if self.quantization.per_channel else None
        abs_max = np.abs(weight).max(axis=axis, keepdims=True)
        weight, weight_scale = quantize(weight, abs_max, self.quantization.weight_bits)
        clip_value = self.arrays[f"{name}.input_threshold"].item()
        x, scale = quantize(x, clip_value, self.quantization.activation_bits)
        return (x @ weight.T) * (float(scale) * weight_scale.astype(float).reshape(-1)) + bias

    def table(self, name: str) -> np.ndarray:
        table = self.arrays[f"bert.embeddings.{name}_embeddings.weight"]
        if f"bert.embeddings.{name}_embeddings" in self.quantization.float_layers:
            return table
        by_column = self.quantization.static or self.quantization.dynamic
        abs_max = np.abs(table).max(axis=0) if by_column else np.abs(table).max()
        integers, scale = quantize(table, abs_max, self.quantization.embedding_bits)
        return integers * scale.astype(float)

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        centered = x - x.mean(-1, keepdims=True)
        std = np.sqrt((centered**2).mean(-1, keepdims=True) + self.config.layer_norm_eps)
        return centered / std * self.arrays[f"{name}.weight"] + self.arrays[f"{name}.bias"]

    def attention(self, queries: np.ndarray, x: np.ndarray, mask: np.ndarray, prefix: str) -> np.ndarray:
        query, key, value = (
            self.dense(hidden, f"{prefix}.self.{part}").reshape(*hidden.shape[:2], -1, self.config.head_size)
            for part, hidden in (("query", queries), ("key", x), ("value", x))
        )
        scores = np.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(self.config.head_size)
        probs = softmax(scores + (1.0 - mask[:, None, None, :]) * -10000.0, axis=-1)
        return np.einsum("bhqk,bkhd->bqhd", probs, value).reshape(*queries.shape[:2], -1)

    def __call__(
        self, input_ids: np.ndarray, token_type_ids: np.ndarray, attention_mask: np.ndarray
    ) -> np.ndarray:
        x = self.table("word")[input_ids] + self.table("token_type")[token_type_ids]
        x = self.norm(x + self.table("position")[: input_ids.shape[1]], "bert.embeddings.LayerNorm")
        for layer in range(self.config.num_hidden_layers):
            prefix = f"bert.encoder.layer.{layer}"
            # The last layer is computed for [CLS] alone, which matters for dynamic ranges.
            queries = x[:, :1] if layer == self.config.num_hidden_layers - 1 else x
            context = self.attention(queries, x, attention_mask, f"{prefix}.attention")
            mixed = self.dense(context, f"{prefix}.attention.output.dense")
            x = self.norm(mixed + queries, f"{prefix}.attention.output.LayerNorm")
            inner = self.dense(x, f"{prefix}.intermediate.dense")
            inner = inner * 0.5 * (1.0 + erf(inner / np.sqrt(2.0)))
            x = self.norm(self.dense(inner, f"{prefix}.output.dense") + x, f"{prefix}.output.LayerNorm")
        return self.dense(np.tanh(self.dense(x[:, 0], "bert.pooler.dense")), "classifier")


class DynamicBert(IntegerBert):
    """The same with ONNX's DynamicQuantizeLinear on the inputs: bytes over [min, max] of the batch and 0."""

    def dense(self, x: np.ndarray, name: str) -> np.ndarray:
        weight, bias = self.arrays[f"{name}.weight"], self.arrays[f"{name}.bias"]
        if not self.quantization.quantizes(name):
            return x @ weight.T.astype(float) + bias
        weight, weight_scale = quantize(weight, np.abs(weight).max(axis=1, keepdims=True), 8)
        x = x.astype(np.float32)
        low, high = min(x.min(), 0.0), max(x.max(), 0.0)
        scale = np.float32((high - low) / 255)
        zero = np.clip(np.round(-low / scale), 0, 255)
        integers = np.clip(np.round(x / scale) + zero, 0, 255).astype(np.int32) - int(zero)
        return (integers @ weight.T) * (float(scale) * weight_scale.astype(float).reshape(-1)) + bias


class StaticBert(IntegerBert):
    """The same with calibrated scales and zero points: divided inputs in bytes, some channels in float."""

    def dense(self, x: np.ndarray, name: str) -> np.ndarray:
        weight, bias = self.arrays[f"{name}.weight"], self.arrays[f"{name}.bias"]
        if not self.quantization.quantizes(name):
            return x @ weight.T.astype(float) + bias
        channels = self.arrays.get(f"{name}.float_channels", np.zeros(0, int))
        in_float = x[..., channels] @ weight[:, channels].T.astype(float)
        smoothing = self.arrays.get(f"{name}.input_smoothing", np.ones(x.shape[-1], np.float32))
        rest = weight * smoothing
        rest[:, channels] = 0
        axis = 1 if self.quantization.per_channel else None
        _, weight_scale = quantize(rest, np.abs(rest).max(axis=axis, keepdims=True), 8)
        scale = self.arrays[f"{name}.input_scale"].item()
        zero = int(self.arrays[f"{name}.input_zero_point"])
        integers = np.clip(np.round(x / smoothing / scale) + zero, 0, 255).astype(np.int32) - zero
        product = integers @ self.arrays[f"{name}.weight_integers"].T.astype(np.int32)
        rescaled = product * (scale * weight_scale.astype(float).reshape(-1))
        return rescaled + in_float + bias - self.arrays[f"{name}.bias_correction"]
