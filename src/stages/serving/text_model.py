"""A model folder with its tokenizer: texts in, logits out. Base class of Classifier and Tagger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...config.data_config import ModelConfig
from ...data.dataset import check_segments
from ...data.tokenization.tokenizer import model_tokenizer
from ...errors import UserError
from ...infer.logits import collect_logits
from ...train.throughput import ThroughputMeter
from ..model.inference import load_for_inference

if TYPE_CHECKING:
    from ...data.dataset import TokenizedDataset
    from ...data.tokenization.features import EncodingCounts

Text = TypeVar("Text")


class TextModel:
    """A best/ or last/ folder of a run, a Hugging Face BERT with a head, or an export, with its tokenizer.

    An exported ONNX file runs in ONNX Runtime with `threads` threads (0: one per core), everything else in
    MindSpore on `device_target`, or as configured by `settings`, a ModelConfig. Texts are truncated to
    `max_seq_length` (0: the model's positions). Raises UserError for any other folder.
    """

    def __init__(
        self,
        model_dir: str | Path,
        max_seq_length: int = 0,
        batch_size: int = 32,
        device_target: str = "auto",
        threads: int = 0,
        settings: ModelConfig | None = None,
    ) -> None:
        settings = settings or ModelConfig(device_target=device_target)
        self.meter = ThroughputMeter()
        self.model = load_for_inference(model_dir, settings, threads, meter=self.meter)
        self.config, self.batch_size = self.model.config, batch_size
        positions = self.config.max_position_embeddings
        if max_seq_length > positions:
            raise UserError(
                f"max_seq_length {max_seq_length} is more than the {positions} positions of {model_dir}"
            )
        self.max_seq_length = max_seq_length or positions
        self.tokenizer = model_tokenizer(self.model)

    @property
    def limit(self) -> str:
        """How a longer text is truncated, and whether a larger limit is possible; completes a sentence."""
        positions = self.config.max_position_embeddings
        most = ", which are all positions of the model" if self.max_seq_length == positions else ""
        return f"{most} (their ends are not read; in a pair the longer text is shortened first)"

    def forward(
        self, encode: Callable[..., Any], texts: Sequence[Any], *more: object
    ) -> tuple[TokenizedDataset, EncodingCounts, np.ndarray]:
        """(TokenizedDataset, EncodingCounts, logits) of `encode(texts, tokenizer, *more, max_seq_length)`."""
        with self.meter.working():
            dataset, counts = encode(texts, self.tokenizer, *more, self.max_seq_length)
            check_segments(dataset, self.config, self.model.source)
            logits = collect_logits(self.model.predict, self.model.loader(dataset, self.batch_size))
        self.meter.add(dataset.rows, dataset.lengths.sum())
        return dataset, counts, logits


def check_list(texts: Sequence[Text]) -> Sequence[Text]:
    """`texts`. Raises UserError for a single string, which is a sequence too."""
    if isinstance(texts, str):
        raise UserError(f'give a list of texts, ["{texts[:40]}"], not a single text')
    return texts
