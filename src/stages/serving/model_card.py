"""README.md of an exported folder: what the model predicts, how it was made, and the code that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...commands import PROGRAM, program_version
from ...config.bert_config import BertConfig
from ..markdown import aligned

TASKS = {
    "classification": "text classification: one of the labels",
    "multi_label": "text classification: any number of the labels",
    "regression": "regression: a score",
    "token_classification": "token classification: a label for each token",
}
CLIENT = """\
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation({max_length})
{session}
text = tokenizer.encode("{example}")
columns = {{"input_ids": text.ids, "token_type_ids": text.type_ids, "attention_mask": text.attention_mask}}
feed = {{name: np.array([values], np.int64) for name, values in columns.items()}}
(logits,) = session.run(["logits"], feed)
{prediction}
"""
SESSION = 'session = onnxruntime.InferenceSession("{file}")'
# Without it, processors before VNNI saturate sums of products of bytes.
INT8_SESSION = """\
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.x64quantprecision", "1")
session = onnxruntime.InferenceSession("{file}", options)"""
# What is printed in each output mode; `labels` is a list literal.
PREDICTIONS = {
    "classification": "print({labels}[logits[0].argmax()])",
    "multi_label": "print([label for label, logit in zip({labels}, logits[0]) if logit > 0])",
    "regression": "print(float(logits[0, 0]))",
    "token_classification": "print([(t, {labels}[row.argmax()]) for t, row in zip(text.tokens, logits[0])])",
}


def model_card(config: BertConfig, facts: Mapping[str, object], file: str) -> str:
    """The content of README.md.

    Parameters: `facts` {name: value} of the table (source, size, metrics ...); `file` the model's path in the
    folder, .onnx for one with client code.
    """
    pipeline = "token-classification" if config.by_token else "text-classification"
    kind, tags = config.family.class_prefix, (config.model_type, Path(file).suffix.lstrip("."))
    rows = [("fact", "value"), *((name, str(value)) for name, value in facts.items())]
    lines = [
        f"---\npipeline_tag: {pipeline}\ntags:\n- {tags[0]}\n- {tags[1]}\n---\n",
        f"# {file}\n",
        f"A {kind} for {TASKS[config.output_mode]}, exported by {PROGRAM} {program_version()}.\n",
        aligned([[_cell(text) for text in row] for row in rows], text_columns=2) + "\n",
    ]
    if file.endswith(".onnx"):
        prediction = PREDICTIONS[config.output_mode].format(labels=list(config.labels))
        code = CLIENT.format(
            max_length=config.max_position_embeddings,
            session=(INT8_SESSION if config.quantization else SESSION).format(file=file),
            example="The text to classify.",
            prediction=prediction,
        )
        fence = "````" if "```" in code else "```"
        lines.append(
            "Run it in this folder (`pip install numpy onnxruntime tokenizers`); a pair of texts is "
            f"`tokenizer.encode(first, second)`:\n\n{fence}python\n{code}{fence}\n"
        )
    return "\n".join(lines)


def labels_of(config: BertConfig) -> str:
    """The labels in the order of the logits, or that there is a score."""
    return ", ".join(config.labels) or "none: the logit is the score"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
