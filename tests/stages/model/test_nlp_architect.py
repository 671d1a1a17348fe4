"""Logits of nlp-architect's Q8BERT: its layers as nn/torch/quantization.py computes them, in torch."""

import json

import numpy as np
import pytest

from src.config.data_config import ModelConfig
from src.stages.model.inference import load_for_inference
from tests import tiny

pytestmark = pytest.mark.reference
QMAX = 127


def fake_quantize(x, threshold, lowest=-QMAX):
    """quantize and dequantize with the scale qmax / threshold."""
    scale = QMAX / threshold
    return x.mul(scale).round().clamp(lowest, QMAX).div(scale)


def quantize_layers(torch, model, thresholds, lowest):
    """Give every linear layer and embedding the forward pass of inference, without requantized outputs.

    `lowest` is the smallest integer of inputs.
    """
    functional = torch.nn.functional
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding):

            def embed(ids, module=module):
                return functional.embedding(ids, fake_quantize(module.weight, module.weight.abs().max()))

            module.forward = embed
        elif isinstance(module, torch.nn.Linear):

            def linear(x, module=module, threshold=thresholds[name]):
                weight = fake_quantize(module.weight, module.weight.abs().max())
                return functional.linear(fake_quantize(x, threshold, lowest), weight, module.bias)

            module.forward = linear


# Inputs that are clipped below: theirs stop at -127, ours use the integer -128 as well.
@pytest.mark.parametrize("share, lowest", [(1.0, -QMAX), (0.9, -QMAX - 1)], ids=["published", "clipped"])
def test_logits(tmp_path, vocabulary, graph_mode, share, lowest):
    torch = pytest.importorskip("torch")
    from safetensors.numpy import save_file
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path / "model"
    tiny.write_model(folder, vocabulary, seed=4)
    model = BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    assert isinstance(model.config, BertConfig)
    columns = tiny.token_batch(rows=6)
    names = ("input_ids", "token_type_ids", "attention_mask")
    feed = {name: torch.tensor(column, dtype=torch.long) for name, column in zip(names, columns, strict=True)}
    largest, hooks = {}, []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            # With a share below 1, as a moving average may be, some inputs are clipped.
            note = lambda _, inputs, name=name: largest.update({name: inputs[0].abs().max().item() * share})  # noqa: E731
            hooks.append(module.register_forward_pre_hook(note))
    with torch.no_grad():
        in_float = model(**feed).logits.numpy()
        for hook in hooks:
            hook.remove()
        quantize_layers(torch, model, largest, lowest)
        expected = model(**feed).logits.numpy()
    raw = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for name, threshold in largest.items():
        raw[f"{name}.input_thresh"] = np.full(1, threshold, np.float32)
        raw[f"{name}._step"] = np.zeros(1, np.float32)
    raw.update({f"bert.embeddings.{kind}_embeddings._step": np.zeros(1, np.float32)
                for kind in ("word", "position", "token_type")})  # fmt: skip
    save_file(raw, str(folder / "model.safetensors"))
    config = json.loads((folder / "config.json").read_text())
    config["attention_query"] = {"mode": "ema", "requantize_output": False}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    found = load_for_inference(folder, ModelConfig(device_target="CPU", kernels="off"))
    assert found.config.quantization is not None
    np.testing.assert_allclose(found.predict(*columns), expected, atol=1e-4)
    assert np.abs(in_float - expected).max() > 1e-2
