"""The simulated chromatin: factors that open it and leave footprints, and the enzyme's own bias.

Everything follows from the sequence, so that the truth is known for any sequence, also for one
with a variant. Consensus sequences are published; strengths are this simulator's own choice.
"""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.simulate.motifs import matrix_of

Floats = npt.NDArray[np.float64]

CLOSED = 0.1
"""Expected cuts at a base of closed chromatin, without the enzyme's bias."""
DOSE = 10.0
"""Odds that a site with the best sequence is occupied."""
SHARPNESS = 1.5
"""Exponent of the affinities: a base that the consensus does not allow costs a factor of 70."""
WEAKEST = 0.02
"""Sites that are occupied less often than this are left out."""
OPEN_WIDTH = 120.0
"""Standard deviation in bp of the stretch that a site opens."""
REACH = 480
"""bp from a site beyond which it opens nothing."""
FOOTPRINT_MARGIN = 3
"""bp on either side of a motif that the factor shields from the enzyme as well."""
BIAS_REACH = 10
"""bp on either side of a cut that the enzyme's preference depends on."""
BIAS_DEVIATION = 0.35
"""Standard deviation of the enzyme's log preferences at the cut; it falls off with distance."""
BIAS_SEED = 5
"""Of the enzyme's preferences: they are the same in every simulation."""


@dataclass(frozen=True)
class Factor:
    """A factor that opens chromatin.

    Attributes:
        name: Its name.
        consensus: IUPAC letters.
        opening: Cuts at a base that it adds in the middle of what it opens, when always bound.
        footprint: Share of the cuts in its motif that it prevents, when always bound.
        source: Publication of the consensus.
    """

    name: str
    consensus: str
    opening: float
    footprint: float
    source: str

    @functools.cached_property
    def log_affinities(self) -> Floats:
        """Log affinity of each base beside the best of its column, (width, 4)."""
        matrix = matrix_of(self.consensus)
        return SHARPNESS * np.log(matrix / matrix.max(axis=1, keepdims=True))


FACTORS = (
    Factor("CTCF", "CCASYAGRKGGCR", 3.0, 0.85, "Kim et al. 2007, Cell 128:1231"),
    Factor("GATA1-TAL1", "CTGNNNNNNNWGATAA", 2.0, 0.4, "Wadman et al. 1997, EMBO J 16:3145"),
    Factor("NFE2", "TGCTGAGTCAY", 2.2, 0.6, "Andrews et al. 1993, Nature 362:722"),
    Factor("NRF1", "YGCGCATGCGCR", 2.6, 0.8, "Virbasius et al. 1993, Genes Dev 7:2431"),
    Factor("ETS", "ACCGGAAGTR", 1.4, 0.5, "Wei et al. 2010, EMBO J 29:2147"),
    Factor("YY1", "CAAGATGGCGGC", 1.8, 0.3, "Xi et al. 2007, Genome Res 17:798"),
)
"""Factors of the simulated cell."""


class Sites(NamedTuple):
    """Bound sites of a sequence.

    Attributes:
        factor: Number of the factor in ``FACTORS``, (sites,).
        start: First base, (sites,).
        strand: 1 or -1, (sites,).
        occupancy: Share of cells in which it is bound, (sites,).
    """

    factor: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    strand: npt.NDArray[np.int64]
    occupancy: Floats


def find_sites(tokens: Tokens) -> Sites:
    """Return the sites of all factors on both strands of a sequence, (length,)."""
    columns: list[tuple[npt.NDArray[Any], ...]] = []
    for number, factor in enumerate(FACTORS):
        for strand in (1, -1):
            weights = factor.log_affinities[::strand, ::strand]
            scores = window_sums(tokens, weights, unknown=-50.0)
            odds = DOSE * np.exp(scores)
            start = np.flatnonzero(odds > WEAKEST / (1 - WEAKEST))
            occupancy = odds[start] / (1 + odds[start])
            columns.append(
                (np.full(len(start), number), start, np.full(len(start), strand), occupancy)
            )
    factors, start, strands, occupancy = map(np.concatenate, zip(*columns, strict=True))
    order = np.lexsort((strands, factors, start))
    return Sites(factors[order], start[order], strands[order], occupancy[order])


def accessibility(tokens: Tokens, sites: Sites | None = None) -> Floats:
    """Return the expected cuts at each base if the enzyme had no preference, (length,).

    Each bound site opens the chromatin around it, by a bell-shaped curve of its own height; what
    several sites open adds up. Then each shields its motif.

    Args:
        tokens: (length,).
        sites: Its sites, if they are known.
    """
    sites = find_sites(tokens) if sites is None else sites
    reach = np.arange(-REACH, REACH + 1)
    bell = np.exp(-0.5 * (reach / OPEN_WIDTH) ** 2)
    opened, shielded = np.full(len(tokens), CLOSED), np.ones(len(tokens))
    for number, start, _, occupancy in zip(*(column.tolist() for column in sites), strict=True):
        factor = FACTORS[number]
        width = len(factor.consensus)
        middle = start + width // 2
        first, last = max(middle - REACH, 0), min(middle + REACH + 1, len(tokens))
        offset = middle - REACH
        opened[first:last] += factor.opening * occupancy * bell[first - offset : last - offset]
        motif = slice(max(start - FOOTPRINT_MARGIN, 0), start + width + FOOTPRINT_MARGIN)
        shielded[motif] *= 1 - factor.footprint * occupancy
    return opened * shielded


@functools.cache
def bias_weights() -> Floats:
    """Return the enzyme's log preferences for bases around a cut, (2 * BIAS_REACH + 1, 4).

    They read the same on both strands, as those of Tn5 do once cuts are shifted by +4 and -4.
    """
    random = np.random.default_rng(BIAS_SEED)
    offsets = np.arange(-BIAS_REACH, BIAS_REACH + 1)
    deviations = BIAS_DEVIATION * np.exp(-np.abs(offsets) / 5) * np.sqrt(2)
    drawn = random.normal(size=(len(offsets), 4)) * deviations[:, None]
    symmetric = (drawn + drawn[::-1, ::-1]) / 2
    return symmetric - symmetric.mean(axis=1, keepdims=True)


def enzyme_bias(tokens: Tokens) -> Floats:
    """Return how much the enzyme prefers each base to the average one, (length,).

    1 on average over sequences in which all bases are equally frequent; bases beyond the ends, and
    unknown ones, count as average.
    """
    weights = bias_weights()
    ends = np.full(BIAS_REACH, alphabet.N, np.uint8)
    padded = np.concatenate([ends, tokens, ends])
    average = np.log(np.exp(weights).mean(axis=1))
    # An unknown base counts as the average preference, which the columns are divided by.
    return np.exp(window_sums(padded, weights - average[:, None], unknown=0.0))


def window_sums(tokens: Tokens, weights: Floats, unknown: float) -> Floats:
    """Return the sum of the weights of a window's bases, for the window that starts at each base.

    Args:
        tokens: (length,).
        weights: Of A, C, G and T at each position of the window, (width, 4).
        unknown: Weight of other tokens.

    Returns:
        (length - width + 1,); empty for a shorter sequence.

    Examples:
        >>> window_sums(np.array([0, 1, 1], np.uint8), np.array([[1.0, 0, 0, 0], [0, 2, 0, 0]]), 0)
        array([3., 2.])
    """
    count = max(len(tokens) - len(weights) + 1, 0)
    sums = np.zeros(count)
    for offset, column in enumerate(weights):
        table = np.full(256, unknown)
        table[:4] = column
        sums += table[tokens[offset : offset + count]]
    return sums
