"""BERT's token masking, applied once when the records are written (static masking).

General distillation has no masked LM loss: the student mimics the teacher on the masked text. So the masked
ids replace the originals, and neither masked positions nor original ids are stored.
"""

import re

import numpy as np

from ...errors import UserError
from ..tokenization.tokenizer import TextTokenizer

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1


class Masking:
    """Selects tokens with probability `prob`; 80 % of them become [MASK], 10 % a random token."""

    def __init__(self, tokenizer: TextTokenizer, prob: float) -> None:
        if prob and tokenizer.mask_id is None:
            raise UserError("--masked_lm_prob needs a vocabulary with [MASK] or another mask token")
        self.prob, self.mask_id = prob, -1 if tokenizer.mask_id is None else tokenizer.mask_id
        # Words only, no special or unused tokens.
        self.words = np.array(
            sorted(
                index
                for piece, index in tokenizer.vocab.items()
                if prob and index not in tokenizer.special_ids and not re.fullmatch(r"\[.+\]", piece)
            )
        )
        self.special_ids = {index for gap in tokenizer.pair.gaps for index in gap}

    def __call__(self, ids: list[int], rng: np.random.Generator | None) -> list[int]:
        """Copy of `ids` with some of them replaced, at least one; [CLS] and [SEP] are never selected."""
        if not self.prob or rng is None:
            return ids
        positions = [position for position, token in enumerate(ids) if token not in self.special_ids]
        count = min(len(positions), max(1, round(len(positions) * self.prob)))
        masked = list(ids)
        for position, value in zip(rng.permutation(positions)[:count], rng.random(count), strict=True):
            if value < MASK_SHARE:
                masked[position] = self.mask_id
            elif value < MASK_SHARE + RANDOM_SHARE:
                masked[position] = int(self.words[rng.integers(len(self.words))])
        return masked
