"""The draws of a bootstrap, and what is computed in all of its resamples."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from dream_keras.common.progress import progress_bar
from dream_keras.scoring.correlator import WIDTH, Correlator, Counts, Integers
from dream_keras.scoring.metrics import Floats
from dream_keras.scoring.suite import Suite

_MAX_THREADS = 8
"""Each thread takes about 25 MB for 71,103 rows."""
_ONE = np.uint8(1)
_SPARE = 64
"""Random numbers asked for beyond the expected ones, in place of those that are refused."""


def design(suite: Suite, part: str) -> tuple[tuple[int, ...], dict[str, Integers]]:
    """Say what is drawn: the rows of the single subsets together, the pairs of each pair subset.

    Returns:
        The number of units of each draw, and the unit of each member of every subset, shapes (n,);
        units are numbered through all draws.
    """
    positions = {name: subset.positions[part] for name, subset in suite.subsets.items()}
    singles = [positions[name] for name, subset in suite.subsets.items() if not subset.is_pairs]
    rows = np.unique(np.concatenate(singles)) if singles else np.zeros(0, np.int64)
    sizes, units = [len(rows)], {}
    for name, subset in suite.subsets.items():
        if subset.is_pairs:
            units[name] = sum(sizes) + np.arange(len(positions[name]))
            sizes.append(len(positions[name]))
        else:
            units[name] = np.searchsorted(rows, positions[name])
    return tuple(sizes), units


class Draws(threading.local):
    """Draws resamples: ``size`` of ``size`` units with replacement.

    What is drawn depends on nothing but sizes, seed and number of the resample: not on what is
    scored, on how many resamples there are or in which order they are made. Leaderboards rely on
    it, since what they have stored is compared with what is scored later. Resample k is what
    ``default_rng((seed, k)).integers(size, size=size)`` gives for one size after the other in numpy
    2.4, without its promise that a later version may give something else: only the raw bits of
    PCG64 are fixed for good (NEP 19).

    Each thread has memory of its own, since to ask for it anew takes longer than the draws.
    """

    def __init__(self, sizes: tuple[int, ...]):
        """Ask for memory, once in each thread.

        Args:
            sizes: How many units there are in each draw.
        """
        self._sizes = sizes
        self._counts = np.zeros((sum(sizes) + 1, WIDTH), np.uint8)
        self._products = np.empty(max(sizes), np.uint64)
        self._lower = np.empty(max(sizes), np.uint32)

    def __call__(self, seed: int, start: int) -> Counts:
        """Return how often each unit is drawn in ``WIDTH`` resamples from number ``start`` on.

        Returns:
            Shape (sum of sizes + 1, WIDTH), the last row 0; the next call overwrites it.
        """
        self._counts[...] = 0
        for column in range(WIDTH):
            bits = _Bits(seed, start + column, sum(self._sizes))
            first = 0
            for size in self._sizes:
                self._draw(self._counts[first : first + size, column], bits)
                first += size
        return self._counts

    def _draw(self, counts: Counts, bits: "_Bits") -> None:
        """Draw as many as there are, after Lemire.

        Fast random integer generation in an interval, ACM Transactions on Modeling and Computer
        Simulation 29, 2019.
        """
        size = missing = len(counts)
        if size == 1:  # takes no bits
            counts += _ONE
            return
        while missing:
            products, lower = self._products[:missing], self._lower[:missing]
            # Before numpy 2 a small size would be taken for 32 bits.
            np.multiply(bits.take(missing), np.uint64(size), out=products, dtype=np.uint64)
            lower[...] = products  # modulo 2^32
            np.right_shift(products, np.uint64(32), out=products)
            drawn = products.view(np.int64)
            np.add.at(counts, drawn, _ONE)
            missing = 0
            if lower.min() < 2**32 % size:
                refused = drawn[lower < 2**32 % size]
                np.subtract.at(counts, refused, _ONE)
                missing = len(refused)


class _Bits:
    """The bits of one resample, 32 at a time."""

    def __init__(self, seed: int, resample: int, expected: int):
        self._generator = np.random.PCG64((seed, resample))
        self._bits = self._more(expected + _SPARE)
        self._taken = 0

    def take(self, count: int) -> npt.NDArray[np.uint32]:
        """Return the next ones, shape (count,)."""
        lacking = self._taken + count - len(self._bits)
        if lacking > 0:
            self._bits = np.concatenate([self._bits, self._more(lacking)])
        self._taken += count
        return self._bits[self._taken - count : self._taken]

    def _more(self, count: int) -> npt.NDArray[np.uint32]:
        words = self._generator.random_raw(-(-count // 2))
        return words.astype("<u8", copy=False).view("<u4")


def correlate_resamples(
    correlator: Correlator,
    sizes: tuple[int, ...],
    resamples: int,
    seed: int,
    progress: bool | None = None,
    threads: int | None = None,
    label: str = "resampling",
) -> dict[str, Floats]:
    """Compute both correlations of every subset in every resample.

    Args:
        correlator: The subsets.
        sizes: Number of units of each draw.
        resamples: Number of resamples.
        seed: Seed of the draws.
        progress: Whether to show progress, see ``progress_bar``.
        threads: Threads to use, None for one per processor; the results do not depend on it.
        label: What the progress is called.

    Returns:
        r and rho, shape (2, resamples), by subset; NaN where they are undefined.
    """
    shape = (2, len(correlator.names))
    found = each_resample(correlator, shape, sizes, resamples, seed, progress, threads, label)
    return dict(zip(correlator.names, found.swapaxes(0, 1), strict=True))


def each_resample(
    compute: Callable[[Counts], Floats],
    shape: tuple[int, ...],
    sizes: tuple[int, ...],
    resamples: int,
    seed: int,
    progress: bool | None = None,
    threads: int | None = None,
    label: str = "resampling",
) -> Floats:
    """Compute numbers in every resample, eight at a time in each thread.

    Args:
        compute: Turns how often each unit was drawn, shape (units + 1, WIDTH), the last row 0,
            into numbers, shape (*shape, WIDTH).
        shape: Shape of the numbers.
        sizes: Number of units of each draw.
        resamples: Number of resamples.
        seed: Seed of the draws.
        progress: Whether to show progress, see ``progress_bar``.
        threads: Threads to use, None for one per processor.
        label: What the progress is called.

    Returns:
        Shape (*shape, resamples).
    """
    # The last block is as wide as the others, since rounding may depend on the width.
    found = np.empty((*shape, -(-resamples // WIDTH) * WIDTH))
    draws = Draws(sizes)

    def work(start: int) -> int:
        found[..., start : start + WIDTH] = compute(draws(seed, start))
        return min(WIDTH, resamples - start)

    pool = ThreadPoolExecutor(threads or min(os.cpu_count() or 1, _MAX_THREADS))
    try:
        with progress_bar(progress, total=resamples, desc=label, unit=" resamples") as bar:
            for done in pool.map(work, range(0, resamples, WIDTH)):
                bar.update(done)
    finally:
        pool.shutdown(cancel_futures=True)
    return found[..., :resamples]
