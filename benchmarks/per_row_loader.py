"""The plain way of encoding training rows, one row at a time in Python: the speed yardstick.

It does what published PyTorch loaders do for team autosome's processor: strings are cut and joined,
letters looked up one by one, the soft bins computed per row with ``scipy.stats``.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from dream_keras.data.yeast import LEFT_ADAPTER, LEFT_FLANK

Floats = npt.NDArray[np.float32]

LENGTH = 150
BINS = 18
ONE_HOT = {
    "A": [1, 0, 0, 0],
    "G": [0, 1, 0, 0],
    "C": [0, 0, 1, 0],
    "T": [0, 0, 0, 1],
    "N": [0, 0, 0, 0],
}
"""Channels in team autosome's order; N is all zeros, as in the team's training."""
COMPLEMENT = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}


def cut(sequence: str) -> str:
    """Join the plasmid and the row without its left adapter; keep the last 150 bases."""
    return (LEFT_FLANK + LEFT_ADAPTER + sequence[len(LEFT_ADAPTER) :])[-LENGTH:]


def channels(sequence: str, is_reverse: bool, is_singleton: bool) -> Floats:
    """Encode one strand, shape (6, 150): A, G, C, T, is_reverse, is_singleton."""
    one_hot = np.array([ONE_HOT[letter] for letter in sequence], np.float32)
    flags = np.full((len(sequence), 2), [is_reverse, is_singleton], np.float32)
    return np.concatenate([one_hot, flags], axis=1).T


def soft_bins(label: float) -> Floats:
    """Smear one label over the bins, shape (18,)."""
    below = norm.cdf(np.arange(1, BINS), loc=label + 0.5, scale=0.5)
    return np.diff(below, prepend=0, append=1).astype(np.float32)


def rows(path: Path) -> Iterator[tuple[Floats, Floats]]:
    """Read a training file and yield each row's two strands, forward first.

    Yields:
        Channels, shape (6, 150), and the probabilities of the bins, shape (18,).
    """
    with path.open() as file:
        for line in file:
            sequence, text = line.rstrip("\n").split("\t")
            label = float(text)
            forward = cut(sequence)
            reverse = "".join(COMPLEMENT[letter] for letter in reversed(forward))
            for strand, is_reverse in ((forward, False), (reverse, True)):
                yield channels(strand, is_reverse, label.is_integer()), soft_bins(label)


def batches(path: Path, batch_size: int) -> Iterator[tuple[Floats, Floats]]:
    """Stack the strands of a training file; the last batch may be smaller.

    Yields:
        Channels, shape (batch, 6, 150), and probabilities, shape (batch, 18).
    """
    stream = rows(path)
    while batch := list(itertools.islice(stream, batch_size)):
        inputs, targets = zip(*batch, strict=True)
        yield np.stack(inputs), np.stack(targets)
