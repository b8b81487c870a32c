"""Both correlations of every subset in eight bootstrap resamples, without building one of them.

A resample is a whole number for each unit: how often it was drawn. Pearson's r is then made of
weighted sums. Spearman's rho is Pearson's r of weighted mid-ranks: members are sorted once, and in
each resample the running sum of the weights over the sorted members gives the ranks. Both are those
of the resample written out with its repeated members.

Ranks. With C the running number of drawn values up to and with a group of equal ones, t the number
of drawn values in the group and W the number of all, twice a mid-rank less 1 is R = C of the group
before + C. Over the drawn values its mean is W, and the sum of its squared deviations is
(W^3 - sum of t^3) / 3. All sums for Spearman's rho are whole numbers, which float64 holds exactly
for up to 100,000 members: the order of summation does not matter.

Layout. The sorted members of all subsets stand in one table of ``_STEPS`` rows, column by column;
each subset begins a new column. The running sums are made row by row, for all columns at once and
in 16 bits; what was drawn before each column is added afterwards. The weights of a unit in the
eight resamples are eight bytes, which are fetched as one number.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from dream_keras.scoring.metrics import Floats, centred_unit, pearson, why_undefined

Integers = npt.NDArray[np.int64]
Counts = npt.NDArray[np.uint8]
Packed = npt.NDArray[np.uint64]
T = TypeVar("T", bound=np.generic)

WIDTH = 8
"""Resamples worked on together: their weights, a byte each, are fetched as one 64-bit number."""
_STEPS = 64
"""Rows of the table. Twice the sum of a column, at most 2 * 64 * 255, fits into 16 bits."""
_CHUNK = 4096
"""Members in one matrix product: they stay in the processor's cache, and the product is too small
for BLAS to divide among threads, which would make its rounding depend on their number."""
_CANCELLED = 1e-4
"""Where a variance is a smaller part than this of the mean square it is left over from, more than
four of its digits are lost, and r is computed from the written-out resample instead."""


class Paired(NamedTuple):
    """What is correlated in one subset.

    Attributes:
        predicted: Predicted values, shape (n,).
        measured: Measured values, shape (n,).
        units: The number of the unit that each belongs to, shape (n,).
    """

    predicted: Floats
    measured: Floats
    units: Integers


class Correlator:
    """Both correlations of several subsets in many resamples.

    Args:
        subsets: The subsets by name.
        units: How many units there are.
    """

    def __init__(self, subsets: Mapping[str, Paired], units: int):
        """Sort the members."""
        self.names = tuple(subsets)
        self._defined = [
            number
            for number, (predicted, measured, _) in enumerate(subsets.values())
            if not why_undefined(predicted, measured)
        ]
        if not self._defined:
            return
        self._subsets = [list(subsets.values())[number] for number in self._defined]
        self._chunks = [_chunks(subset) for subset in self._subsets]
        table = _Table([len(subset.units) for subset in self._subsets], units)
        members = [subset.units for subset in self._subsets]
        self._table = table
        self._predicted = _Order(table, [subset.predicted for subset in self._subsets], members)
        self._measured = _Order(table, [subset.measured for subset in self._subsets], members)
        # Where the member of each cell in the order of the predictions stands in the other order.
        self._to_measured = np.zeros(table.cells, np.int64)
        self._to_measured[self._predicted.cell_of] = self._measured.cell_of
        self._scratch = _Scratch(table.columns, max(table.sizes))

    def __call__(self, counts: Counts) -> Floats:
        """Return r and rho, shape (2, subsets, WIDTH); NaN where they are undefined.

        Args:
            counts: How often each unit was drawn, shape (units + 1, WIDTH); the last row is 0.
        """
        found = np.full((2, len(self.names), WIDTH), np.nan)
        if self._defined:
            packed = counts.view(np.uint64)[:, 0]
            drawn, rho = self._spearman(packed)
            found[:, self._defined] = self._pearson(packed, drawn, np.isfinite(rho)), rho
        return found

    def _spearman(self, packed: Packed) -> tuple[Floats, Floats]:
        """Return the number of drawn members and rho, shapes (subsets, WIDTH)."""
        table, scratch = self._table, self._scratch
        weights, ranks = scratch.weights, scratch.ranks
        _, measured_ties = self._measured.rank(packed, scratch)
        measured_ranks = scratch.measured_ranks
        rows = measured_ranks.reshape(-1, WIDTH)
        np.take(ranks.reshape(-1, WIDTH), self._to_measured, axis=0, out=rows, mode="clip")
        drawn, ties = self._predicted.rank(packed, scratch)
        ranks *= weights
        products = np.einsum("sc,sc->c", ranks, measured_ranks, dtype=np.float64)
        squares = np.multiply(weights, weights, out=scratch.running[1:])
        fits = _STEPS * int(weights.max()) ** 3 < 2**16
        whole = np.uint16 if fits else np.uint32
        cubes = table.sum(np.einsum("sc,sc->c", squares, weights, dtype=whole))
        everything = drawn**3
        spread, measured_spread = (everything - cubes - more for more in (ties, measured_ties))
        with np.errstate(invalid="ignore"):
            # The spreads of a constant resample are exactly 0, and 0 / 0 is NaN.
            rho = 3 * (table.sum(products) - everything) / np.sqrt(spread * measured_spread)
        return drawn, np.clip(rho, -1.0, 1.0)

    def _pearson(self, packed: Packed, n: Floats, defined: npt.NDArray[np.bool_]) -> Floats:
        sums = [_weighted_sums(chunks, packed) for chunks in self._chunks]
        x, y, xx, yy, xy = np.stack(sums, axis=1)
        spread_x, spread_y = n * xx - x * x, n * yy - y * y
        exact = (spread_x > _CANCELLED * n * xx) & (spread_y > _CANCELLED * n * yy)
        r = np.full(n.shape, np.nan)
        norms = np.sqrt(np.abs(spread_x)) * np.sqrt(np.abs(spread_y))
        np.divide(n * xy - x * y, norms, out=r, where=exact)
        for number, resample in zip(*np.nonzero(defined & ~exact), strict=True):
            predicted, measured, units = self._subsets[number]
            times = packed[units].view(np.uint8).reshape(-1, WIDTH)[:, resample]
            r[number, resample] = pearson(np.repeat(predicted, times), np.repeat(measured, times))
        r[~defined] = np.nan
        return np.clip(r, -1.0, 1.0)


class _Scratch(threading.local):
    """The buffers of one thread: allocating them in each call would take most of the time."""

    def __init__(self, columns: int, longest: int):
        """Ask for memory, once in each thread.

        Args:
            columns: Columns of the table of members.
            longest: Members of the largest subset.
        """
        shape = (_STEPS, columns * WIDTH)
        self.packed = np.empty(_STEPS * columns, np.uint64)
        self.weights = np.empty(shape, np.uint16)
        self.running = np.zeros((_STEPS + 1, columns * WIDTH), np.uint16)
        # A weight times R is at most 255 * 2 * longest.
        whole = np.int32 if 255 * 2 * longest < 2**31 else np.int64
        self.ranks = np.empty(shape, whole)
        self.measured_ranks = np.empty(shape, whole)


class _Table:
    """The table that holds the sorted members of all subsets, see the top of this file."""

    def __init__(self, sizes: Sequence[int], units: int):
        """Lay it out.

        Args:
            sizes: Members of each subset.
            units: How many units there are; cells without a member have the unit after the last.
        """
        widths = [-(-size // _STEPS) for size in sizes]
        self.sizes = sizes
        self.units = units
        self.columns = sum(widths)
        self.cells = _STEPS * self.columns
        self.first = np.cumsum([0, *widths[:-1]])
        self.subset = np.repeat(np.arange(len(widths)), widths)

    def cells_of(self, number: int) -> Integers:
        """Return the cells of a subset, in the order of its sorted members."""
        position = np.arange(self.sizes[number])
        return position % _STEPS * self.columns + self.first[number] + position // _STEPS

    def sum(self, columns: npt.NDArray[np.generic]) -> Floats:
        """Add up the sums of columns, shape (columns * WIDTH,), to (subsets, WIDTH)."""
        return np.add.reduceat(columns.reshape(-1, WIDTH), self.first, axis=0, dtype=np.float64)


class _Order:
    """The members of all subsets in the order of their predicted or of their measured values."""

    def __init__(self, table: _Table, values: Sequence[Floats], units: Sequence[Integers]):
        """Sort them.

        Args:
            table: Where they stand.
            values: Of each subset, shape (n,).
            units: The unit of each, shape (n,).
        """
        self._table = table
        self._units = np.full(table.cells, table.units)
        cell_of, tied, below, upto = [], [], [], []
        for number, (value, unit) in enumerate(zip(values, units, strict=True)):
            order = np.argsort(value, kind="stable")
            cells = table.cells_of(number)
            self._units[cells] = unit[order]
            cell_of.append(cells[np.argsort(order)])
            begin, end = _groups(value[order])
            in_group = end - begin > 1
            in_group[0] = True  # no subset without any; alone in its group it changes nothing
            tied.append(cells[in_group])
            below.append(cells[begin[in_group]])
            upto.append(cells[end[in_group] - 1])
        self.cell_of = np.concatenate(cell_of)
        """The cell of each member, subset after subset, shape (sum of n,)."""
        self._tied, self._below, self._upto = map(np.concatenate, (tied, below, upto))
        self._first_tied = np.cumsum([0, *map(len, tied[:-1])])

    def rank(self, packed: Packed, scratch: _Scratch) -> tuple[Floats, Floats]:
        """Write the weights into ``scratch.weights`` and R into ``scratch.ranks``.

        Args:
            packed: The eight weights of each unit, shape (units + 1,).
            scratch: Memory.

        Returns:
            The number of drawn members, and how much more the sum of t^3 is than that of the
            cubed weights; shapes (subsets, WIDTH).
        """
        columns, weights, running = self._table.columns, scratch.weights, scratch.running
        np.take(packed, self._units, out=scratch.packed, mode="clip")
        weights[...] = scratch.packed.view(np.uint8).reshape(weights.shape)
        running[0] = 0
        for step in range(_STEPS):
            np.add(running[step], weights[step], out=running[step + 1])
        totals = running[-1].reshape(columns, WIDTH).astype(scratch.ranks.dtype)
        before = np.cumsum(totals, axis=0, dtype=totals.dtype) - totals
        before -= before[self._table.first][self._table.subset]
        np.add(running[1:], running[:-1], out=scratch.ranks)
        scratch.ranks.reshape(_STEPS, columns, WIDTH)[...] += 2 * before
        below = _rows(running, self._below) + _rows(before, self._below % columns)
        upto = _rows(running, self._upto + columns) + _rows(before, self._upto % columns)
        scratch.ranks.reshape(-1, WIDTH)[self._tied] = below + upto
        weight = _rows(weights, self._tied).astype(np.float64)
        more = weight * (np.square(upto - below, dtype=np.float64) - weight * weight)
        ties = np.add.reduceat(more, self._first_tied, axis=0)
        return self._table.sum(totals), ties


def _rows(table: npt.NDArray[T], rows: Integers) -> npt.NDArray[T]:
    """Return rows of ``WIDTH`` numbers each."""
    return np.take(table.reshape(-1, WIDTH), rows, axis=0)


def _groups(values: Floats) -> Integers:
    """Return where each sorted value's group of equal values begins and ends, shape (2, n)."""
    begins = np.append(True, values[1:] != values[:-1])
    group = np.cumsum(begins)
    edges = np.append(np.flatnonzero(begins), len(values))
    return np.stack([edges[group - 1], edges[group]])


def _chunks(subset: Paired) -> list[tuple[Integers | slice, Floats]]:
    """Divide the members into chunks: the units of each, and what is summed for Pearson's r.

    Returns:
        Shapes (members,) and (5, members) for each chunk.
    """
    x, y = centred_unit(subset.predicted), centred_unit(subset.measured)
    terms = np.stack([x, y, x * x, y * y, x * y])
    starts = range(0, len(x), _CHUNK)
    parts = [slice(start, start + _CHUNK) for start in starts]
    return [(_index(subset.units[part]), np.ascontiguousarray(terms[:, part])) for part in parts]


def _index(units: Integers) -> Integers | slice:
    """Return a slice, which copies nothing, where the units follow one another."""
    if np.array_equal(units, np.arange(units[0], units[0] + len(units))):
        return slice(int(units[0]), int(units[0]) + len(units))
    return units


def _weighted_sums(chunks: list[tuple[Integers | slice, Floats]], packed: Packed) -> Floats:
    """Sum up the terms of all members times their weights, shape (5, WIDTH)."""
    total = np.zeros((5, WIDTH))
    for units, terms in chunks:
        weights = packed[units].view(np.uint8).reshape(-1, WIDTH)
        total += terms @ weights.astype(np.float64)
    return total
