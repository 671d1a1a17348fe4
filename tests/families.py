"""Tiny models of every family, as transformers saves them, with weights that need no torch.

`python -m tests.families` writes fixtures/families.json: for each family and task the config.json, the shapes
of the weights and the logits of transformers for `batch`. The weights are drawn from their names.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.families import FAMILIES

FILE = Path(__file__).with_name("fixtures") / "families.json"
BATCH = (3, 8)  # rows, length
# task -> (class of transformers, values of its config)
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "classification": ("ForSequenceClassification", {"id2label": {0: "bad", 1: "good", 2: "odd"}}),
    "pairs": ("ForSequenceClassification", {"id2label": {0: "yes", 1: "no"}}),
    "regression": ("ForSequenceClassification", {"num_labels": 1}),
    "multi_label": (
        "ForSequenceClassification",
        {"id2label": {0: "a", 1: "b"}, "problem_type": "multi_label_classification"},
    ),
    "tokens": ("ForTokenClassification", {"id2label": {0: "O", 1: "B-X", 2: "I-X"}}),
}
SIZES = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 32,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
OWN_SIZES: dict[str, dict[str, Any]] = {
    "electra": {"embedding_size": 16},
    "camembert": {"max_position_embeddings": 34},  # with 2 token types, the default of transformers
    **{n: {"max_position_embeddings": 34, "type_vocab_size": 1} for n in ("roberta", "xlm-roberta")},
}
NAMES = [name for name in FAMILIES if name != "bert"]


def entries() -> dict[str, Any]:
    """{"<family> <task>": its config, shapes and logits} of the fixture."""
    return json.loads(FILE.read_text())


def batch(family: str, task: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """input_ids, token_type_ids, attention_mask [B, S] of rows of different lengths, as the family pads."""
    rng = np.random.default_rng(0)
    rows, length = BATCH
    lengths = np.linspace(length, 3, rows).astype(int)
    mask = (np.arange(length) < lengths[:, None]).astype(np.int32)
    pad = FAMILIES[family].defaults.get("pad_token_id", 0)
    ids = np.where(mask > 0, rng.integers(5, 100, (rows, length)), pad).astype(np.int32)
    second = (np.arange(length) >= lengths[:, None] // 2).astype(np.int32) * mask
    return ids, second if task == "pairs" and FAMILIES[family].token_types else second * 0, mask


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """{name: float32 array} drawn from the names: large enough for differences to show."""
    arrays = {}
    for name, shape in shapes.items():
        rng, mean = np.random.default_rng(zlib.crc32(name.encode())), float("norm.weight" in name.lower())
        arrays[name] = (mean + 0.2 * rng.standard_normal(shape)).astype(np.float32)
    return arrays


def their_model(family: str, task: str) -> Any:
    """The model of transformers with `weights`, in evaluation mode."""
    import transformers

    class_name, values = TASKS[task]
    spec = FAMILIES[family]
    sizes = {spec.config_keys.get(k, k): v for k, v in {**SIZES, **OWN_SIZES.get(family, {})}.items()}
    config_class = getattr(transformers, f"{spec.class_prefix}Config")
    return with_weights(
        getattr(transformers, spec.class_prefix + class_name)(config_class(**sizes, **values))
    )


def with_weights(model: Any) -> Any:
    """A model of transformers with `weights`, in evaluation mode."""
    import torch

    arrays = weights({name: tuple(p.shape) for name, p in model.named_parameters()})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(arrays[name]))
    return model.eval()


def their_logits(model: Any, columns: Sequence[np.ndarray]) -> np.ndarray:
    """Logits of transformers for input_ids, token_type_ids, attention_mask; DistilBERT takes no segments."""
    import torch

    names = ["input_ids", "token_type_ids", "attention_mask"]
    inputs = {n: torch.tensor(c.astype(np.int64)) for n, c in zip(names, columns, strict=True)}
    if model.config.model_type == "distilbert":
        del inputs["token_type_ids"]
    with torch.no_grad():
        return model(**inputs).logits.numpy().copy()


def save(folder: Path, entry: Mapping[str, Any]) -> Path:
    """Write the model of a fixture's entry as transformers writes it."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(entry["config"]))
    save_file(weights(entry["shapes"]), str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def main() -> None:
    """Write the fixture."""
    found = {}
    for family in NAMES:
        for task in TASKS:
            model = their_model(family, task)
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder)
                config = json.loads((Path(folder) / "config.json").read_text())
            shapes = {name: list(p.shape) for name, p in model.named_parameters()}
            logits = their_logits(model, batch(family, task))
            found[f"{family} {task}"] = {"config": config, "shapes": shapes, "logits": logits.tolist()}
    FILE.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
