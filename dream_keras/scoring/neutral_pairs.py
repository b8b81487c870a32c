"""The noise of measurements by level of expression, from pairs that predictions call unchanged.

Where two rows have the same true value, half the squared difference of their measured values is an
unbiased estimate of the variance of the noise of one. Neutral pairs are those that every given set
of predictions calls unchanged: each set calls so a share of all pairs, those with its smallest
differences. The measured values have no part in the choice.

The level is the mean over the sets of the predictions, each in standard deviations from its mean;
for a pair the mean of both members. The variance is estimated in bins of equally many neutral
pairs; rows below the lowest or above the highest level of these count to the nearest bin.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dream_keras.common.errors import UserError
from dream_keras.scoring.correlator import Integers
from dream_keras.scoring.metrics import Floats, checked
from dream_keras.scoring.suite import Suite

SHARE = 0.2
"""Share of the pairs that each set calls unchanged. On the challenge's suite shares from .1 to .3
give the same ceiling to within its interval, see docs/suites.md."""
_MOST_BINS = 20
_PAIRS_OF_BIN = 25
"""Fewest neutral pairs in one of several bins: a variance of normal noise then has a standard error
of 28 %. Fewer bins would have less, but hide that noise depends on the level."""
_FEWEST = 20
"""Neutral pairs below which nothing is estimated."""


class Bin(NamedTuple):
    """Neutral pairs of one level.

    Attributes:
        low: The lowest level, in standard deviations from the mean over the part's rows.
        high: The highest level.
        pairs: Number of neutral pairs.
    """

    low: float
    high: float
    pairs: int


class LevelNoise:
    """The noise of one target by level.

    Attributes:
        target: Number of the target.
        bins: The bins, from low to high.
        bin_of_row: The bin of each row of the suite, shape (rows,).
        clusters: Number of clusters of neutral pairs: those that share a row, directly or by way
            of others, are one cluster and are drawn together in the bootstrap.
    """

    def __init__(self, suite: Suite, part: str, target: int, levels: Floats, share: float):
        """Choose the neutral pairs.

        Args:
            suite: The suite.
            part: Its part.
            target: Number of the target.
            levels: Sets of predictions in standard deviations, shape (sets, rows).
            share: Share of the pairs that each set calls unchanged.

        Raises:
            UserError: There are no pairs, or too few neutral ones.
        """
        self.target = target
        pairs = _neutral(suite, part, target, levels, share)
        level = levels.mean(axis=0)
        level_of_pair = level[pairs].mean(axis=1)
        count = int(np.clip(len(pairs) // _PAIRS_OF_BIN, 1, _MOST_BINS))
        chunks = np.array_split(np.sort(level_of_pair), count)
        edges = np.unique([chunk[0] for chunk in chunks])[1:]
        self.bin_of_row = np.searchsorted(edges, level, side="right")
        bin_of_pair = np.searchsorted(edges, level_of_pair, side="right")
        in_bin = [level_of_pair[bin_of_pair == number] for number in range(len(edges) + 1)]
        self.bins = [Bin(float(each.min()), float(each.max()), len(each)) for each in in_bin]
        first, second = suite.measured[pairs, target].T
        cluster = _clusters(pairs)
        self.clusters = int(cluster.max()) + 1
        # In each cluster and bin, the number of pairs and the sum of their variances.
        self._sums = np.zeros((2, self.clusters, len(self.bins)))
        np.add.at(self._sums[0], (cluster, bin_of_pair), 1)
        np.add.at(self._sums[1], (cluster, bin_of_pair), (first - second) ** 2 / 2)

    def variances(self, counts: Floats) -> Floats:
        """Return the variance of the noise of one row in each bin, shape (bins, width).

        Args:
            counts: How often each cluster was drawn, shape (clusters, width). A bin of which none
                was drawn has the variance of all.
        """
        n, total = self._sums.transpose(0, 2, 1) @ counts
        overall = np.broadcast_to(total.sum(axis=0) / n.sum(axis=0), n.shape)
        return np.divide(total, n, where=n > 0, out=overall.copy())


def check_pairs(suite: Suite, part: str) -> None:
    """Refuse a suite without the pairs that a noise ceiling is estimated from.

    Raises:
        UserError: A target that is scored has no pairs of rows in this part.
    """
    for target in _targets(suite):
        _pairs(suite, part, target)


def level_noises(
    suite: Suite, predictions: Sequence[npt.ArrayLike], part: str, share: float
) -> Iterator[LevelNoise]:
    """Yield the noise of each target that is scored.

    Args:
        suite: The suite.
        predictions: Sets of predictions, each as in ``dream_keras.scoring.metrics.score``.
        part: Part of the suite.
        share: Share of the pairs that each set calls unchanged.

    Raises:
        UserError: There is no set, one is constant or what ``score`` refuses, ``share`` is out of
            range, or a target has no pairs or too few neutral ones.
    """
    if not 0 < share <= 1:
        raise UserError(f"share={share}: a share above 0 and at most 1 is needed, such as 0.2.")
    if not predictions:
        raise UserError("no predictions to call pairs neutral with: at least one set is needed.")
    levels = np.stack([_standardised(suite, each, part) for each in predictions])
    for target in _targets(suite):
        yield LevelNoise(suite, part, target, levels[:, :, target], share)


def _standardised(suite: Suite, predictions: npt.ArrayLike, part: str) -> Floats:
    """Return predictions in standard deviations from their mean, shape (rows, targets)."""
    predicted = checked(suite, predictions, part)
    used = predicted[suite.rows(part)]
    if (used.min(axis=0) == used.max(axis=0)).any():
        raise UserError(
            "constant predictions call every pair unchanged: no noise ceiling can be estimated "
            "with them. Leave them out."
        )
    return (predicted - used.mean(axis=0)) / used.std(axis=0)


def _targets(suite: Suite) -> list[int]:
    return sorted({subset.target for subset in suite.subsets.values()})


def _pairs(suite: Suite, part: str, target: int) -> Integers:
    """Return all pairs of different rows whose difference is scored, each once, shape (n, 2)."""
    of_target = [
        subset.positions[part]
        for subset in suite.subsets.values()
        if subset.is_difference and subset.target == target
    ]
    pairs = np.unique(np.concatenate([np.zeros((0, 2), np.int64), *of_target]), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    if not len(pairs):
        raise UserError(
            f"the suite {suite.source} has no pairs of rows of {suite.targets[target]} in its "
            f"{part} part, and a noise ceiling is estimated from such pairs. Score it without one."
        )
    return pairs


def _neutral(suite: Suite, part: str, target: int, levels: Floats, share: float) -> Integers:
    """Return the pairs that all sets call unchanged, shape (n, 2)."""
    pairs = _pairs(suite, part, target)
    first, second = levels[:, pairs].transpose(2, 0, 1)
    change = np.abs(first - second)
    unchanged = change <= np.quantile(change, share, axis=1, keepdims=True)
    pairs = pairs[unchanged.all(axis=0)]
    if len(pairs) < _FEWEST:
        raise UserError(
            f"all sets of predictions call only {len(pairs)} pairs of {suite.targets[target]} in "
            f"the {part} part of {suite.source} unchanged, and a noise ceiling needs at least "
            f"{_FEWEST}. Give fewer sets, or a part with more pairs."
        )
    return pairs


def _clusters(pairs: Integers) -> Integers:
    """Number pairs, shape (n, 2), from 0: those connected by shared rows have one number."""
    rows, place = np.unique(pairs, return_inverse=True)
    first, second = place.reshape(pairs.shape).T
    graph = coo_array((np.ones(len(first)), (first, second)), (len(rows), len(rows)))
    return connected_components(graph, directed=False)[1][first]
