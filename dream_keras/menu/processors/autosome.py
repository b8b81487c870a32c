"""Data processor of the autosome team: promoters in their plasmid, 18 soft sorting bins."""

import math
from typing import Any

import numpy as np
from keras import ops

from dream_keras.data import alphabet, vector
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import BINS, Lengths, Processor, one_hot, strand
from dream_keras.menu.registry import register

LABEL_DEVIATION = 0.5
"""Standard deviation of the normal distribution that a label is spread over the bins with."""
CHANNELS = (alphabet.A, alphabet.G, alphabet.C, alphabet.T)
"""Order of the one-hot planes, which matters when published weights are imported."""


@register("processor", "autosome", source="Prix Fixe, autosome.org data processor")
class Autosome(Processor):
    """150 bp that end where the read ends, filled up on the left with the plasmid's own bases.

    Planes: one-hot A, G, C, T (N is all zeros), is_reverse, is_singleton. Every row is trained on
    as both strands. At test is_singleton is 0 and the two strands' scores are averaged.

    Args:
        length: Positions of the input in bp; 150 as published.
        singleton_in_validation: Take is_singleton from the label on validation rows too, as the
            reference does; the default leaves it 0 there, as at test.
        average_validation_strands: Average the two strands' scores of a validation row, as at
            test; the reference scores each strand as a row of its own.
        n_value_at_prediction: What an N puts into each one-hot plane at prediction. The reference
            puts 0.25 there, although it trains with 0.
    """

    planes = 6
    targets = ("bins", "value")
    strands = "rows"

    def __init__(
        self,
        length: int = 150,
        singleton_in_validation: bool = False,
        average_validation_strands: bool = True,
        n_value_at_prediction: float = 0.0,
    ):
        self.length = length
        self.singleton_in_validation = singleton_in_validation
        self.average_validation_strands = average_validation_strands
        self.n_value_at_prediction = n_value_at_prediction
        self.left_adapter = alphabet.encode(vector.LEFT_ADAPTER)
        self.longest = length + len(self.left_adapter)
        self._upstream = alphabet.encode(vector.LEFT_FLANK + vector.LEFT_ADAPTER)

    def encode(self, tokens: Tokens, lengths: Lengths) -> Tokens:
        """Take the last ``length`` of plasmid + sequence without its left adapter.

        Shapes as in ``Processor.encode``. Rows of the same length are done together.
        """
        encoded = np.empty((len(tokens), self.length), np.uint8)
        for length in np.unique(lengths):
            rows = lengths == length
            kept = int(np.clip(length - len(self.left_adapter), 0, self.length))
            upstream = self.length - kept
            encoded[rows, upstream:] = tokens[rows, length - kept : length]
            encoded[rows, :upstream] = self._upstream[len(self._upstream) - upstream :]
        return encoded

    def make_planes(
        self, tokens: Any, reverse: Any, singleton: Any, prediction: bool = False
    ) -> Any:
        """Make the six planes; shapes as in ``Processor.make_planes``."""
        tokens = strand(tokens, reverse)
        bases = one_hot(tokens, CHANNELS)
        if prediction and self.n_value_at_prediction:
            unknown = ops.cast(ops.expand_dims(tokens == alphabet.N, -1), "float32")
            bases = bases + self.n_value_at_prediction * unknown
        ones = ops.ones_like(bases[..., :1])
        flags = [
            ones * ops.reshape(ops.cast(flag, "float32"), (-1, 1, 1))
            for flag in (reverse, singleton)
        ]
        return ops.concatenate([bases, *flags], axis=-1)

    def make_target(self, values: Any, tokens: Any, kind: str) -> Any:
        """Return soft bins, (batch, 18), for ``"bins"`` and the values for ``"value"``."""
        return soft_bins(values) if kind == "bins" else values


def soft_bins(values: Any) -> Any:
    """Spread labels over the sorting bins.

    Args:
        values: Labels, (batch,), on the scale of 0 to 17.

    Returns:
        Probabilities, (batch, 18): Normal(label + 0.5, sd 0.5) integrated over
        (-inf, 1], (1, 2], ..., (17, inf).
    """
    values = ops.expand_dims(ops.cast(values, "float32"), -1)
    edges = ops.arange(1, BINS, dtype="float32")
    z = (edges - (values + 0.5)) / (LABEL_DEVIATION * math.sqrt(2))
    below = 0.5 * (1 + ops.erf(z))
    below = ops.concatenate([ops.zeros_like(values), below, ops.ones_like(values)], axis=-1)
    return below[:, 1:] - below[:, :-1]
