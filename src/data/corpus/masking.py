"""BERT's masking of a row's tokens, done once when the records are made.

General distillation has no loss over masked words: the student follows the teacher on the masked text. So the
masked ids take the place of the ids, and positions and original ids are not kept.
"""

import re

import numpy as np

from ...errors import UserError

ATTENTION_MASK_VALUE, RANDOM = 0.8, 0.1


class Masking:
    """Of the tokens of a row, a share `prob` is chosen; 80 % of these become [MASK], 10 % a random token."""

    def __init__(self, tokenizer, prob):
        if prob and "[MASK]" not in tokenizer.vocab:
            raise UserError("--masked_lm_prob needs a vocabulary with [MASK]")
        self.prob, self.mask_id = prob, tokenizer.vocab.get("[MASK]")
        # Words only: a random [SEP] or [unused7] would teach nothing.
        self.words = np.array(
            sorted(
                index
                for piece, index in tokenizer.vocab.items()
                if prob and not re.fullmatch(r"\[.+\]", piece)
            )
        )
        self.kept = (tokenizer.cls_id, tokenizer.sep_id)

    def __call__(self, ids, draw):
        """A list of ids with some of them replaced; [CLS] and [SEP] stay, at least one other is chosen."""
        if not self.prob:
            return ids
        places = [place for place, token in enumerate(ids) if token not in self.kept]
        count = min(len(places), max(1, round(len(places) * self.prob)))
        masked = list(ids)
        for place, kind in zip(draw.permutation(places)[:count], draw.random(count), strict=True):
            if kind < ATTENTION_MASK_VALUE:
                masked[place] = self.mask_id
            elif kind < ATTENTION_MASK_VALUE + RANDOM:
                masked[place] = int(self.words[draw.integers(len(self.words))])
        return masked
