"""Regions without peaks that have the peaks' shares of G and C."""

from collections.abc import Callable

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
    genome: Callable[[str], Tokens], peaks: Regions, width: int, seed: int, per_peak: int = 1
) -> Regions:
    """Choose windows without peaks, on the peaks' chromosomes, that have as much G and C.

    Candidates stand every ``STRIDE`` bp, hold no unknown base and reach no closer to a peak's
    centre than ``width``. For each peak in turn one with the same per cent of G and C is drawn,
    or else with the nearest that is left. No candidate is taken twice. Source: ChromBPNet.

    Args:
        genome: Returns the tokens of a chromosome, by name.
        peaks: Their centres.
        width: bp of the window whose G and C are counted.
        seed: Of the draw.
        per_peak: Regions for each peak; fewer where candidates run out.

    Examples:
        >>> genome = {"chr1": np.tile(np.array([0, 1, 2, 3], np.uint8), 2_000)}
        >>> peaks = Regions(np.array(["chr1"]), np.array([4_000]), np.array([True]))
        >>> gc_matched(genome.__getitem__, peaks, width=1_000, seed=0).centres.tolist()
        [1500]
    """
    found = []
    for number, (chrom, rows) in enumerate(peaks.by_chrom()):
        random = np.random.default_rng([seed, number])
        tokens, centres, half = genome(chrom), peaks.centres[rows], width // 2
        last = len(tokens) - width
        candidates = np.arange(half, last + half + 1, STRIDE)
        candidates = candidates[_free(candidates, centres, width)]
        unknown = _in_windows(tokens > alphabet.T, candidates - half, width)
        candidates = candidates[unknown == 0]
        strong = (tokens == alphabet.G) | (tokens == alphabet.C)
        wanted, offered = (
            np.rint(BINS * _in_windows(strong, starts, width) / width).astype(np.int64)
            for starts in (np.clip(centres - half, 0, max(last, 0)), candidates - half)
        )
        chosen = _matched(offered, random.permutation(np.repeat(wanted, per_peak)), random)
        at = np.sort(candidates[chosen])
        found.append(Regions(np.full(len(at), chrom), at, np.zeros(len(at), bool)))
    return Regions.joined(found)


def _in_windows(marked: npt.NDArray[np.bool_], starts: Ints, width: int) -> Ints:
    """Return how many bases are marked in the windows that start at some positions."""
    sums = np.concatenate([np.zeros(1, np.int32), np.cumsum(marked, dtype=np.int32)])
    return (sums[np.minimum(starts + width, len(marked))] - sums[starts]).astype(np.int64)


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
    order = [
        sorted(range(BINS + 1), key=lambda each: abs(each - share)) for share in range(BINS + 1)
    ]
    chosen = []
    for share in wanted.tolist():
        pool = next((pools[each] for each in order[share] if pools[each]), None)
        if pool is None:
            break
        chosen.append(pool.pop())
    return np.array(chosen, np.int64)
