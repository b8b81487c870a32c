"""Correlations of many bootstrap resamples at once, without building one of them.

A resample is a whole number for each unit: how often it was drawn. Pearson's r is then made of
weighted sums. Spearman's rho is Pearson's r of weighted mid-ranks: members are sorted once, and in
each resample the running sum of the weights over the sorted members says how many values lie below
each group of equal ones. Both are those of the resample written out with its repeated members.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from dream_keras.common.progress import hide_bar
from dream_keras.scoring.metrics import Floats, centred_unit, pearson, why_undefined
from dream_keras.scoring.suite import Suite

Integers = npt.NDArray[np.int64]

_BLOCK = 8
"""Resamples worked on together. The rounding of sums may depend on it, so it is the same for any
number of threads and of resamples; eight float64 fill a cache line."""
_MAX_THREADS = 8
"""Each thread takes about 40 MB for 71,103 rows."""
_CANCELLED = 1e-4
"""Where a variance is a smaller part than this of the mean square it is left over from, more than
four of its digits are lost, and r is computed from the written-out resample instead."""


@dataclass(frozen=True, eq=False)
class Members:
    """The members of one subset, as numbers of the units that are drawn.

    Attributes:
        draw: Number of the draw whose units they are.
        units: The unit of each member, shape (n,).
    """

    draw: int
    units: Integers


def design(suite: Suite, part: str) -> tuple[tuple[int, ...], dict[str, Members]]:
    """Say what is drawn: the rows of the single subsets together, the pairs of each pair subset.

    Returns:
        The number of units of each draw, and the members of each subset.
    """
    positions = {name: subset.positions[part] for name, subset in suite.subsets.items()}
    singles = [positions[name] for name, subset in suite.subsets.items() if not subset.is_pairs]
    rows = np.unique(np.concatenate(singles)) if singles else np.zeros(0, np.int64)
    sizes, members = [len(rows)], {}
    for name, subset in suite.subsets.items():
        if subset.is_pairs:
            members[name] = Members(len(sizes), np.arange(len(positions[name])))
            sizes.append(len(positions[name]))
        else:
            members[name] = Members(0, np.searchsorted(rows, positions[name]))
    return tuple(sizes), members


def draw_counts(sizes: tuple[int, ...], seed: int, resample: int) -> list[Integers]:
    """Draw one resample: from each ``size`` units as many with replacement.

    The draws depend on nothing but the arguments: not on what is scored, on how many resamples
    there are or in which order they are made.

    Returns:
        How often each unit was drawn, shape (size,), for each draw.
    """
    random = np.random.default_rng((seed, resample))
    return [
        np.bincount(random.integers(size, size=size), minlength=size)
        if size
        else np.zeros(0, np.int64)
        for size in sizes
    ]


class Correlator:
    """Both correlations of one subset in many resamples."""

    def __init__(self, predicted: Floats, measured: Floats, members: Members):
        """Sort the members.

        Args:
            predicted: Predicted values, shape (n,).
            measured: Measured values, shape (n,).
            members: The unit of each.
        """
        self._draw = members.draw
        self._is_undefined = bool(why_undefined(predicted, measured))
        if self._is_undefined:
            return
        order = np.argsort(predicted, kind="stable")
        self._predicted, self._measured = predicted[order], measured[order]
        self._units = members.units[order]
        by_measured = np.argsort(self._measured, kind="stable")
        self._units_by_measured = self._units[by_measured]
        self._ties = _ties(self._predicted)
        self._ties_measured = np.empty_like(self._ties)
        self._ties_measured[:, by_measured] = _ties(self._measured[by_measured])
        x, y = centred_unit(self._predicted), centred_unit(self._measured)
        self._terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])

    def __call__(self, counts: list[Floats]) -> tuple[Floats, Floats]:
        """Return r and rho, shapes (resamples,); NaN where they are undefined.

        Args:
            counts: How often each unit was drawn, shape (size, resamples), for each draw.
        """
        drawn = counts[self._draw]
        if self._is_undefined:
            r, rho = np.full((2, drawn.shape[1]), np.nan)
            return r, rho
        weights = np.take(drawn, self._units, axis=0)
        ranks = _centred_ranks(weights, self._ties)
        measured_ranks = _centred_ranks(
            np.take(drawn, self._units_by_measured, axis=0), self._ties_measured
        )
        rho = _spearman(weights, ranks, measured_ranks)
        return self._pearson(weights, np.isfinite(rho)), rho

    def _pearson(self, weights: Floats, defined: npt.NDArray[np.bool_]) -> Floats:
        # Not a matrix product: BLAS may add up in another order with other threads.
        n, x, y, xx, yy, xy = np.einsum("tn,nr->tr", self._terms, weights)
        spread_x, spread_y = n * xx - x * x, n * yy - y * y
        exact = (spread_x > _CANCELLED * n * xx) & (spread_y > _CANCELLED * n * yy)
        r = np.full(len(n), np.nan)
        norms = np.sqrt(np.abs(spread_x)) * np.sqrt(np.abs(spread_y))
        np.divide(n * xy - x * y, norms, out=r, where=exact)
        for resample in np.flatnonzero(defined & ~exact):
            times = weights[:, resample].astype(np.int64)
            r[resample] = pearson(
                np.repeat(self._predicted, times), np.repeat(self._measured, times)
            )
        r[~defined] = np.nan
        return np.clip(r, -1.0, 1.0)


def _spearman(weights: Floats, ranks: Floats, measured_ranks: Floats) -> Floats:
    """Weighted correlation of centred ranks, shapes (n, resamples)."""
    spread_measured = np.einsum("nr,nr->r", weights * measured_ranks, measured_ranks)
    weights = weights * ranks
    spread = np.einsum("nr,nr->r", weights, ranks)
    products = np.einsum("nr,nr->r", weights, measured_ranks)
    with np.errstate(invalid="ignore"):
        # All ranks of a constant resample are exactly 0, and 0 / 0 is NaN.
        return np.clip(products / np.sqrt(spread * spread_measured), -1.0, 1.0)


def _ties(values: Floats) -> Integers:
    """Return where each sorted value's group of equal values begins and ends, shape (2, n)."""
    begins = np.append(True, values[1:] != values[:-1])
    group = np.cumsum(begins)
    edges = np.append(np.flatnonzero(begins), len(values))
    return np.stack([edges[group - 1], edges[group]])


def _centred_ranks(weights: Floats, ties: Integers) -> Floats:
    """Return twice the mid-rank of each member less twice the mean, shape (n, resamples).

    With C the running number of drawn values up to and with a group of equal ones, twice its
    mid-rank is C of the group before + C + 1; over all W drawn values the mean of this is W + 1.

    Args:
        weights: How often each value was drawn, in the order of the values, shape (m, resamples).
        ties: Where the group of each member begins and ends in that order, shape (2, n).
    """
    running = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=running[1:])
    begins, ends = ties
    ranks = np.take(running, begins, axis=0)
    ranks += np.take(running, ends, axis=0)
    ranks -= running[-1]
    return ranks


def correlate_resamples(
    correlators: Mapping[str, Correlator],
    sizes: tuple[int, ...],
    resamples: int,
    seed: int,
    progress: bool | None = None,
    threads: int | None = None,
) -> dict[str, Floats]:
    """Compute both correlations of every subset in every resample.

    Args:
        correlators: The subsets by name.
        sizes: Number of units of each draw.
        resamples: Number of resamples.
        seed: Seed of the draws.
        progress: Whether to show a progress bar; None shows one on a terminal.
        threads: Threads to use, None for one per processor; the results do not depend on it.

    Returns:
        r and rho, shape (2, resamples), by subset; NaN where they are undefined.
    """
    found = {name: np.empty((2, resamples)) for name in correlators}

    def work(start: int) -> int:
        # The last block is as wide as the others, see _BLOCK; what is too much is dropped.
        counts = [np.empty((size, _BLOCK)) for size in sizes]
        for column in range(_BLOCK):
            for matrix, drawn in zip(counts, draw_counts(sizes, seed, start + column), strict=True):
                matrix[:, column] = drawn
        wanted = min(_BLOCK, resamples - start)
        for name, correlator in correlators.items():
            found[name][:, start : start + wanted] = np.stack(correlator(counts))[:, :wanted]
        return wanted

    pool = ThreadPoolExecutor(threads or min(os.cpu_count() or 1, _MAX_THREADS))
    try:
        with tqdm(total=resamples, unit=" resamples", disable=hide_bar(progress)) as bar:
            for done in pool.map(work, range(0, resamples, _BLOCK)):
                bar.update(done)
    finally:
        pool.shutdown(cancel_futures=True)
    return found
