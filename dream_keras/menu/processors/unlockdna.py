"""Data processor of the UnlockDNA team: both strands of the insert as one sentence of tokens."""

from typing import Any

import numpy as np
from keras import ops

from dream_keras.data import alphabet, vector
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Lengths, ScalingProcessor, one_hot
from dream_keras.errors import UserError, at_least
from dream_keras.menu.registry import register

CHANNELS = (alphabet.A, alphabet.C, alphabet.G, alphabet.T, alphabet.N, alphabet.MASK)
"""The team's tokens 0 to 5 are planes 0 to 5."""


@register("processor", "unlockdna", source="Prix Fixe, Unlock_DNA data processor; Proformer")
class UnlockDNA(ScalingProcessor):
    """200 tokens: the insert in the middle of 100, then the reverse complement of these 100.

    Planes: one-hot A, C, G, T, N, M. The adapters are cut off and the insert is padded with N on
    both sides, an odd N on the right. In training some bases are hidden (M), on each strand for
    itself, for a final block that is asked for them. The target is the label minus the mean of
    the training labels, divided by their standard deviation. Longer inserts do not fit: the team
    left such rows out (``data.long_rows=drop``).

    Args:
        insert_length: Longest insert in bp; 100 as published.
        head: bp cut off in front; 17, the left adapter, in the team's own code. The reference
            implementation's default is 20.
        tail: bp cut off behind; 13, the right adapter, in the team's own code. The reference
            implementation's default is 20.
        mask_rate: Share of the bases hidden in training; 0.05 in the team's own code, 0.2 in the
            reference implementation.
        label_mean: Mean of the training labels; None takes it from them.
        label_deviation: Their standard deviation; None takes it from them.
    """

    planes = 6
    targets = ("masked", "value", "label")
    strands = "input"

    def __init__(
        self,
        insert_length: int = 100,
        head: int = 17,
        tail: int = 13,
        mask_rate: float = 0.05,
        label_mean: float | None = None,
        label_deviation: float | None = None,
    ):
        at_least(1, insert_length=insert_length)
        at_least(0, head=head, tail=tail)
        if not 0 <= mask_rate <= 1:
            raise UserError(f"mask_rate: expected a share between 0 and 1, got {mask_rate}")
        self.insert_length = insert_length
        self.head = head
        self.tail = tail
        self.mask_rate = mask_rate
        self.label_mean = label_mean
        self.label_deviation = label_deviation
        self.length = 2 * insert_length
        self.longest = head + insert_length + tail
        self.left_adapter = alphabet.encode(vector.LEFT_ADAPTER)

    @property
    def label_center(self) -> float:
        """The mean of the training labels."""
        return self.label_mean or 0.0

    def encode(self, tokens: Tokens, lengths: Lengths) -> Tokens:
        """Cut the adapters off, pad with N, append the reverse complement.

        Shapes as in ``Processor.encode``. Rows of the same length are done together.
        """
        first = np.full((len(tokens), self.insert_length), alphabet.N, np.uint8)
        for length in np.unique(lengths):
            rows = lengths == length
            inner = int(np.clip(length - self.head - self.tail, 0, self.insert_length))
            start = (self.insert_length - inner) // 2
            first[rows, start : start + inner] = tokens[rows, self.head : self.head + inner]
        return np.concatenate([first, alphabet.reverse_complement(first)], axis=1)

    def training_view(self, tokens: Tokens, random: np.random.Generator) -> Tokens:
        """Mark the bases to be hidden; an N never is one."""
        hidden = random.random(tokens.shape, np.float32) < self.mask_rate
        return tokens + np.where(hidden & (tokens != alphabet.N), np.uint8(alphabet.HIDDEN), 0)

    def make_planes(
        self, tokens: Any, reverse: Any, singleton: Any, prediction: bool = False
    ) -> Any:
        """Make the six planes; shapes as in ``Processor.make_planes``."""
        tokens = ops.cast(tokens, "int32")
        return one_hot(ops.where(tokens >= alphabet.HIDDEN, alphabet.MASK, tokens), CHANNELS)

    def make_target(self, values: Any, tokens: Any, kind: str) -> Any:
        """Return scaled labels; for ``"masked"`` also which base stands where and was hidden.

        For ``"masked"``: ``"value"``, (batch,), ``"bases"`` and ``"hidden"``, (batch, length).
        """
        if kind != "masked":
            return super().make_target(values, tokens, kind)
        tokens = ops.cast(tokens, "int32")
        return {
            "value": super().make_target(values, tokens, "value"),
            "bases": tokens % alphabet.HIDDEN,
            "hidden": ops.cast(tokens >= alphabet.HIDDEN, "float32"),
        }
