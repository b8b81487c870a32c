"""The noise-free expression of designs for models that were trained on simulated promoters."""

import functools
from collections.abc import Sequence

import numpy as np

from dream_keras.data import alphabet, yeast
from dream_keras.interpret.predictor import Floats
from dream_keras.simulate.assay import INSERT_LENGTHS, random_bases, with_adapters
from dream_keras.simulate.expression import noise_free_expression

RANDOM_PROMOTERS = 100_000
"""Promoters that designs are compared with; their expression takes about a second."""


def true_expression(sequences: Sequence[str]) -> Floats | None:
    """Return the simulator's expression in bins, (rows,); None unless all are its promoters.

    Examples:
        >>> true_expression(["ACGT"]) is None
        True
    """
    around = len(yeast.LEFT_ADAPTER) + len(yeast.RIGHT_ADAPTER)
    for sequence in sequences:
        ends = sequence.startswith(yeast.LEFT_ADAPTER) and sequence.endswith(yeast.RIGHT_ADAPTER)
        if not ends or len(sequence) - around not in INSERT_LENGTHS:
            return None
    width = max(map(len, sequences))
    tokens = np.full((len(sequences), width), alphabet.N, np.uint8)
    for row, sequence in zip(tokens, sequences, strict=True):
        row[width - len(sequence) :] = alphabet.encode(sequence)
    return noise_free_expression(tokens)


def percentiles(expression: Floats) -> Floats:
    """Return for each value the percentage of random promoters that are not above it, (rows,)."""
    drawn = _random_promoters()
    return 100 * np.searchsorted(drawn, expression, side="right") / len(drawn)


@functools.cache
def _random_promoters() -> Floats:
    """Return the expression of random promoters of the usual length, sorted."""
    random = np.random.default_rng(0)
    inserts = random_bases((RANDOM_PROMOTERS, yeast.INSERT_LENGTH), random)
    return np.sort(noise_free_expression(with_adapters(inserts)))
