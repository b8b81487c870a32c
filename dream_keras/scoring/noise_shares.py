"""The share of noise in the variance of what a suite scores, in bootstrap resamples."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, vstack

from dream_keras.scoring.correlator import Integers
from dream_keras.scoring.formulas import FORMULAS
from dream_keras.scoring.metrics import Floats
from dream_keras.scoring.neutral_pairs import LevelNoise
from dream_keras.scoring.resampling import design
from dream_keras.scoring.suite import Subset, Suite


class NoiseShares:
    """The shares of all subsets of one part.

    The members of a pair are two sources of noise. Where several pairs share a row, the variance
    between the pairs has less of its noise (none, if all share one), and how much it has of those
    few is a matter of chance.

    Attributes:
        sizes: How many units there are in each draw: those of the bootstrap, then the clusters of
            neutral pairs of each target.
        units: How many there are in all, and one that is never drawn.
    """

    def __init__(self, suite: Suite, part: str, noises: Sequence[LevelNoise]):
        """Arrange what is summed over the members of each subset."""
        self._suite, self._noises = suite, noises
        sizes, units = design(suite, part)
        self._first_cluster = sum(sizes)
        self.sizes = (*sizes, *(noise.clusters for noise in noises))
        self.units = sum(self.sizes) + 1
        of_target = {noise.target: noise for noise in noises}
        blocks: list[csr_array] = []
        self._freedom: list[float] = []
        self._first_source: list[int] = []

        def add(weights: Floats, rows: Integers, members: Integers, height: int) -> None:
            blocks.append(csr_array((weights, (rows, members)), (height, self.units)))

        for name, subset in suite.subsets.items():
            values = subset.pick(suite.measured, part)
            values = values - values[:1].sum()  # constant ones get a variance of exactly 0
            moments = np.stack([np.ones_like(values), values, values**2])
            place = np.indices(moments.shape)[0]
            add(moments.ravel(), place.ravel(), np.tile(units[name], 3), 3)
            self._first_source.append(len(self._freedom))
            noise = of_target[subset.target]
            for rows, weights, freedom in _sources(subset, part):
                add(weights, noise.bin_of_row[rows], units[name], len(noise.bins))
                self._freedom.append(freedom)
        self._matrix = vstack(blocks, format="csr")
        self._edges = np.cumsum([block.shape[0] for block in blocks])[:-1]

    def __call__(self, counts: npt.NDArray[np.generic]) -> Floats:
        """Return the share of each source of noise, then the variance in each bin.

        Args:
            counts: How often each unit was drawn, shape (units, width).

        Returns:
            Shape (sources + bins, width); a share is NaN where measured values are constant.
        """
        drawn = counts.astype(np.float64)
        first, variances = self._first_cluster, {}
        for noise in self._noises:
            variances[noise.target] = noise.variances(drawn[first : first + noise.clusters])
            first += noise.clusters
        sums = iter(np.split(self._matrix @ drawn, self._edges))
        shares = []
        for subset in self._suite.subsets.values():
            n, total, square = next(sums)
            spread = square - np.divide(total**2, n, where=n > 0, out=np.zeros_like(n))
            for _ in range(2 if subset.is_pairs else 1):
                noise_sum = (next(sums) * variances[subset.target]).sum(axis=0)
                unknown = np.full_like(spread, math.nan)
                shares.append(np.divide(noise_sum, spread, where=spread > 0, out=unknown))
        return np.concatenate([shares, *variances.values()])

    def ceilings(self, found: Floats, random: np.random.Generator | None = None) -> Floats:
        """Turn shares into the ceilings of the Pearson Score and of each subset's r^2.

        Args:
            found: What a call returned, shape (sources + bins, n).
            random: Draws the noise of shared rows; without it they have the expected one.

        Returns:
            Shape (1 + subsets + bins, n); the bins are left as they are.
        """
        shares, bins = np.split(found.copy(), [len(self._freedom)])
        for share, freedom in zip(shares, self._freedom, strict=True):
            if random is not None and math.isfinite(freedom):
                share *= random.chisquare(freedom, len(share)) / freedom
        r2 = np.clip(1 - np.add.reduceat(shares, self._first_source), 0.0, 1.0)
        value = FORMULAS[self._suite.formulas.pearson].value
        weights = np.array([subset.weight for subset in self._suite.subsets.values()])
        score = weights @ np.nan_to_num(value(np.sqrt(r2), math.nan), nan=0.0) / weights.sum()
        return np.concatenate([[score], r2, bins])


def _sources(subset: Subset, part: str) -> Iterator[tuple[Integers, Floats, float]]:
    """Yield the rows of each source of noise, their weights, and its degrees of freedom."""
    positions = subset.positions[part]
    if not subset.is_pairs:
        yield positions, np.ones(len(positions)), math.inf
        return
    same = positions[:, 0] == positions[:, 1]
    for rows in positions.T:
        if subset.mean_of_strands:
            yield rows, np.where(same, 0.5, 0.25), math.inf
        else:
            between, freedom = _between(rows)
            yield rows, np.where(same, 0.0, between), freedom


def _between(rows: Integers) -> tuple[float, float]:
    """Return how much of the noise of rows varies between pairs, and its degrees of freedom.

    With the share p of the pairs in each row, that is 1 - sum of p^2, and the degrees of freedom
    are 1 / sum of p^2 - 1 (as the effective number of weights, Kish, Survey Sampling, 1965, less
    1); infinite where no row has more than one pair.
    """
    _, times = np.unique(rows, return_counts=True)
    if len(times) == len(rows):
        return 1.0, math.inf
    concentration = float(np.sum((times / len(rows)) ** 2))
    return 1 - concentration, 1 / concentration - 1 if len(times) > 1 else math.inf
