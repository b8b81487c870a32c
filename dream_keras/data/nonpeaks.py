"""Regions without peaks that have the peaks' shares of G and C."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.regions import Regions

STRIDE = 1_000
"""bp from one candidate to the next; published."""
BINS = 100
"""Shares of G and C that are told apart: per cent."""

Ints = npt.NDArray[np.int64]


def gc_matched(
    genome: Mapping[str, Tokens], peaks: Regions, width: int, seed: int, per_peak: int = 1
) -> Regions:
    """Choose windows without peaks, on the peaks' chromosomes, that have as much G and C.

    Candidates stand every ``STRIDE`` bp, hold no unknown base and reach no closer to a peak's
    centre than ``width``. For each peak in turn one with the same per cent of G and C is drawn,
    or else with the nearest that is left. No candidate is taken twice. Source: ChromBPNet.

    Args:
        genome: Tokens of the chromosomes, by name.
        peaks: Their centres.
        width: bp of the window whose G and C are counted.
        seed: Of the draw.
        per_peak: Regions for each peak; fewer where candidates run out.

    Examples:
        >>> genome = {"chr1": np.tile(np.array([0, 1, 2, 3], np.uint8), 2_000)}
        >>> peaks = Regions(np.array(["chr1"]), np.array([4_000]), np.array([True]))
        >>> gc_matched(genome, peaks, width=1_000, seed=0).centres.tolist()
        [6500]
    """
    found = []
    for number, (chrom, rows) in enumerate(peaks.by_chrom()):
        random = np.random.default_rng([seed, number])
        tokens, centres = genome[chrom], peaks.centres[rows]
        shares, unknown = _shares(tokens, width)
        candidates = np.arange(width // 2, len(tokens) - width + width // 2 + 1, STRIDE)
        known = unknown[candidates - width // 2] == 0
        candidates = candidates[known & _free(candidates, centres, width)]
        starts = np.clip(centres - width // 2, 0, max(len(shares) - 1, 0))
        wanted = np.repeat(shares[starts], per_peak)
        chosen = _matched(shares[candidates - width // 2], random.permutation(wanted), random)
        at = np.sort(candidates[chosen])
        found.append(Regions(np.full(len(at), chrom), at, np.zeros(len(at), bool)))
    return Regions.joined(found)


def _shares(tokens: Tokens, width: int) -> tuple[Ints, Ints]:
    """Return per cent of G and C, and unknown bases, of the window that starts at each position."""

    def in_window(marked: npt.NDArray[np.bool_]) -> Ints:
        sums = np.concatenate([[0], np.cumsum(marked)])
        return sums[width:] - sums[:-width]

    strong = in_window((tokens == alphabet.G) | (tokens == alphabet.C))
    return np.rint(BINS * strong / width).astype(np.int64), in_window(tokens > alphabet.T)


def _free(candidates: Ints, centres: Ints, width: int) -> npt.NDArray[np.bool_]:
    """Return whether candidates keep their distance from all centres, which are ascending."""
    behind = np.searchsorted(centres, candidates)
    padded = np.concatenate([[-width], centres, [np.iinfo(np.int64).max]])
    return (candidates - padded[behind] >= width) & (padded[behind + 1] - candidates >= width)


def _matched(shares: Ints, wanted: Ints, random: np.random.Generator) -> Ints:
    """Return numbers of candidates, one for each wanted share as long as there are any."""
    pools = [
        random.permutation(np.flatnonzero(shares == share)).tolist() for share in range(BINS + 1)
    ]
    chosen = []
    for share in wanted.tolist():
        left = [each for each, pool in enumerate(pools) if pool]
        if not left:
            break
        nearest = min(left, key=lambda each: (abs(each - share), each))
        chosen.append(pools[nearest].pop())
    return np.array(chosen, np.int64)
