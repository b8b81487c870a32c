"""The two experiments: a sorted library of random promoters, and a deep measurement of few.

Numbers marked "official sample" were read off published rows of the challenge's training data.
"""

import functools

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet, yeast
from dream_keras.data.alphabet import Tokens
from dream_keras.simulate.expression import HIGHEST, LOWEST

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BINS = 18
"""Sorting bins, 0..17."""
LONGEST_INSERT = 112
"""Longest insert in bp; the shortest is 48."""
INSERT_LENGTHS = {
    **{80: 0.8193, 79: 0.1275, 78: 0.0239, 77: 0.0078, 76: 0.0046, 75: 0.0027, 74: 0.0017},
    **dict.fromkeys(range(70, 74), 0.0007),
    **dict.fromkeys(range(60, 70), 0.0004),
    **dict.fromkeys(range(48, 60), 0.00005),
    81: 0.0046,
    **dict.fromkeys(range(82, LONGEST_INSERT + 1), 0.00005),
}
"""Share of each insert length (official sample, smoothed in the tails); synthesis loses bases."""
BASE_SHARES = (0.225, 0.192, 0.281, 0.302)
"""Shares of A, C, G, T in random inserts (official sample)."""
UNREAD_SHARE = 0.004
"""Share of rows with bases that were not read (official sample)."""
UNREAD_REGION = 24
"""Where those N stand: in the last bases of the insert (official sample: 15 N in such a row)."""
UNREAD_RATE = 0.65
"""Share of N inside that region."""

MEAN_CELLS = 1.22
"""Mean of the Poisson law of sorted cells per sequence, of which only non-zero counts are seen:
with ``CELL_SD`` it makes 58 % of the labels integers."""
CELL_SD = 1.3
"""Cell-to-cell spread of fluorescence of one promoter, in bins."""
STRAY_CELLS = 0.015
"""Share of cells sorted into a bin at random: dead cells, doublets, swapped sequencing tags."""
EXTRA_READS = 2.0
"""Mean number of reads of a cell beyond the first."""
BIN_WEIGHTS = (0.7, 1.4)
"""Range of the weights by which the reads of the bins are normalised."""

DEEP_CELLS = 100
"""Mean number of cells per sequence in the test experiment."""
DEEP_RANGE = (-1.40, 1.66)
"""The lowest and the highest expression on the scale of the test experiment."""
DEEP_SLOPE = (DEEP_RANGE[1] - DEEP_RANGE[0]) / (HIGHEST - LOWEST)
"""Units of the test scale per bin."""
DEEP_FLOOR = 0.05
"""Standard deviation of the test measurement that more cells do not remove, in its units."""


def generator(seed: int, *stream: int) -> np.random.Generator:
    """Random numbers of one part of a simulation: the same for the same seed and stream."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


def random_bases(shape: tuple[int, ...], rng: np.random.Generator) -> Tokens:
    """Draw bases with the library's shares."""
    return _base_of_word()[rng.integers(0, 1 << 16, shape, np.uint16)]


@functools.cache
def _base_of_word() -> Tokens:
    """The base that each 16-bit number stands for, so that one look-up draws it."""
    edges = np.cumsum(BASE_SHARES) / sum(BASE_SHARES)
    words = (np.arange(1 << 16) + 0.5) / (1 << 16)
    return np.searchsorted(edges, words).astype(np.uint8)


def with_adapters(inserts: Tokens) -> Tokens:
    """Put inserts, shape (rows, length), between the adapters, shape (rows, length + 30).

    Examples:
        >>> alphabet.decode_rows(with_adapters(alphabet.encode("ACGT")[None]))
        ['TGCATTTTTTTCACATCACGTGGTTACGGCTGTT']
    """
    left, right = alphabet.encode(yeast.LEFT_ADAPTER), alphabet.encode(yeast.RIGHT_ADAPTER)
    rows, length = inserts.shape
    tokens = np.empty((rows, len(left) + length + len(right)), np.uint8)
    tokens[:, : len(left)] = left
    tokens[:, len(left) : len(left) + length] = inserts
    tokens[:, len(left) + length :] = right
    return tokens


def random_library(rows: int, rng: np.random.Generator) -> tuple[Tokens, Integers]:
    """Draw random promoters of the training library.

    Returns:
        Sequences with adapters, aligned on the right and filled with N on the left, shape
        (rows, 142), and the length of each, shape (rows,).
    """
    choices = np.array(list(INSERT_LENGTHS))
    shares = np.array(list(INSERT_LENGTHS.values()))
    inserts = rng.choice(choices, rows, p=shares / shares.sum())
    tokens = with_adapters(random_bases((rows, LONGEST_INSERT), rng))
    left = alphabet.encode(yeast.LEFT_ADAPTER)
    for length in np.unique(inserts):
        start = LONGEST_INSERT - length
        same = np.flatnonzero(inserts == length)
        tokens[same, :start] = alphabet.N
        tokens[same, start : start + len(left)] = left
    _hide_unread(tokens, rng)
    return tokens, inserts + len(left) + len(yeast.RIGHT_ADAPTER)


def _hide_unread(tokens: Tokens, rng: np.random.Generator) -> None:
    rows = np.flatnonzero(rng.random(len(tokens)) < UNREAD_SHARE)
    end = tokens.shape[1] - len(yeast.RIGHT_ADAPTER)
    region = tokens[rows, end - UNREAD_REGION : end]
    region[rng.random(region.shape) < UNREAD_RATE] = alphabet.N
    tokens[rows, end - UNREAD_REGION : end] = region


def bin_weights(rng: np.random.Generator) -> Floats:
    """Draw the normalisation of each sorting bin, shape (18,)."""
    return rng.uniform(*BIN_WEIGHTS, BINS)


def sorted_labels(expression: Floats, weights: Floats, rng: np.random.Generator) -> Floats:
    """Sort cells into bins, sequence them and average the bins of the reads of each promoter.

    Args:
        expression: Noise-free expression in bins, shape (rows,).
        weights: Normalisation of the reads of each bin, shape (18,).
        rng: Source of the noise.

    Returns:
        Mean bin, 0..17, shape (rows,); an exact integer where all reads come from one bin.
    """
    cells = 1 + np.searchsorted(_cell_shares(), rng.random(len(expression)))
    starts = np.cumsum(cells) - cells
    owners = np.repeat(np.arange(len(expression)), cells)
    bins = np.rint(expression[owners] + CELL_SD * rng.standard_normal(len(owners)))
    bins = np.clip(bins, 0, BINS - 1).astype(np.int64)
    strays = rng.random(len(owners)) < STRAY_CELLS
    bins[strays] = rng.integers(0, BINS, np.count_nonzero(strays))
    weight = weights[bins] * (1 + rng.poisson(EXTRA_READS, len(owners)))
    first = bins[starts]
    # Averaging the distance from the first cell's bin keeps singletons exact integers.
    distance = np.add.reduceat((bins - first[owners]) * weight, starts)
    return first + distance / np.add.reduceat(weight, starts)


@functools.cache
def _cell_shares() -> Floats:
    """Cumulative shares of 1, 2, 3 ... cells per sequence, given that there is one."""
    counts = np.arange(1, 15)
    shares = np.cumprod(MEAN_CELLS / counts)
    return np.cumsum(shares / shares.sum())[:-1]


def deep_scale(expression: Floats) -> Floats:
    """Translate expression in bins to the scale of the test experiment.

    Examples:
        >>> deep_scale(np.array([LOWEST, HIGHEST])).round(2).tolist()
        [-1.4, 1.66]
    """
    return DEEP_RANGE[0] + DEEP_SLOPE * (expression - LOWEST)


def deep_measurement(expression: Floats, rng: np.random.Generator) -> Floats:
    """Measure each promoter with about a hundred cells, on the scale of the test experiment."""
    cells = np.maximum(rng.poisson(DEEP_CELLS, len(expression)), 1)
    spread = np.hypot(DEEP_SLOPE * CELL_SD / np.sqrt(cells), DEEP_FLOOR)
    return deep_scale(expression) + spread * rng.standard_normal(len(expression))
