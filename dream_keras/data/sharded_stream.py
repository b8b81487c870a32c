"""Training rows streamed from a prepared folder: shuffled within bounded memory."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from dream_keras.data.shards import Blocks, ShardedRows
from dream_keras.data.stream import Batch, Stream

WINDOW_BLOCKS = 512
"""Blocks whose rows are shuffled together: 524,288 rows, 81 MB at 150 bp."""


@dataclass
class ShardedStream(Stream):
    """All passes over the rows of a prepared folder; the interface of ``TrainingStream``.

    Each pass draws a new permutation of all blocks (of each block twice where both strands are
    trained on, every row having one strand in the one and the other in the other). Windows of
    ``WINDOW_BLOCKS`` blocks are then shuffled row by row. Two windows are in memory: the one in
    use and the next, which a thread reads ahead.

    What holds: every row (and strand) comes once per pass; hosts share no row; a batch depends on
    nothing but (seed, step, host, hosts), so any step can be started from. Up to one window, a
    pass is a uniform permutation, as in ``TrainingStream``. Above that it is not quite: rows that
    were in one block, 1,024 neighbours in the table, come within one window's length of each
    other. In a table sorted by label, the mean label of a window deviates from the table's by
    1/sqrt(512), 4 % of the labels' deviation; of a table in random order nothing can be noticed.

    With several hosts each has passes of its own, over the shards ``host``, ``host + hosts``, ...;
    these differ in length by a block per shard at most and by what is held out, so hosts may be
    in different passes at one step.

    """

    rows: ShardedRows

    def __post_init__(self) -> None:
        self._mine = self.rows.of_host(self.settings.host, self.settings.hosts)
        self._windows: dict[tuple[int, int], Future[Batch]] = {}
        self._reader = ThreadPoolExecutor(1, "shards")
        self._plan = lru_cache(maxsize=2)(self._draw)

    @property
    def fingerprint(self) -> str:
        """Checksum of all that the order of the rows depends on, besides the seed."""
        hosts = f"-{self.settings.hosts}-hosts" if self.settings.hosts > 1 else ""
        return f"{self.rows.fingerprint}-blocks{hosts}"

    @cached_property
    def own_rows_per_pass(self) -> int:
        """This host's rows in one of its passes, each strand counted."""
        return len(self._mine) * self.settings.strands

    def batch(self, step: int) -> Batch:
        """Return this host's part of the batch of ``step``, counted from 0."""
        return self._cut(step, self.part_size, self.own_rows_per_pass, self.settings.host)

    def _part(self, number: int, start: int, stop: int) -> Batch:
        ends = self._plan(number)[1]
        parts = []
        while start < stop:
            window = int(np.searchsorted(ends, start, side="right"))
            first = int(ends[window - 1]) if window else 0
            last = min(stop, int(ends[window]))
            rows = self._window(number, window)
            parts.append(rows.take(slice(start - first, last - first)))
            start = last
        return Batch.joined(parts)

    def _draw(self, number: int) -> tuple[Blocks, Blocks]:
        """Return a pass's units in their order, and the offsets at which its windows end.

        A unit is twice a block's number, plus 1 where the block comes for the second time.
        """
        random = np.random.default_rng([self.settings.seed, number, 2, self.settings.host])
        units = (self._mine.blocks[:, None] * 2 + np.arange(self.settings.strands)).ravel()
        units = random.permutation(units)
        manifest = self.rows.manifest
        last = manifest.blocks - 1
        sizes = np.where(units // 2 == last, manifest.rows_in(last), manifest.block_rows)
        starts = np.arange(0, len(units), WINDOW_BLOCKS)
        return units, np.cumsum(np.add.reduceat(sizes, starts))

    def _window(self, number: int, window: int) -> Batch:
        """Return a window's rows in their order; the next window is read in the background."""
        last = window + 1 == len(self._plan(number)[1])
        keys = (number, window), (number + 1, 0) if last else (number, window + 1)
        for key in keys:
            if key not in self._windows:
                self._windows[key] = self._reader.submit(self._read, *key)
        self._windows = {key: self._windows[key] for key in keys}
        return self._windows[keys[0]].result()

    def _read(self, number: int, window: int) -> Batch:
        units = self._plan(number)[0][window * WINDOW_BLOCKS : (window + 1) * WINDOW_BLOCKS]
        parts = []
        for block, second in (divmod(unit, 2) for unit in units.tolist()):
            rows = self.rows.read(block)
            strand = np.zeros(len(rows), np.uint8)
            if self.settings.both_strands:
                random = np.random.default_rng([self.settings.seed, number, 3, block])
                strand = random.integers(0, 2, len(rows), np.uint8) ^ np.uint8(second)
            parts.append(Batch(rows.tokens, strand, rows.flags, rows.labels, rows.weights))
        joined = Batch.joined(parts)
        random = np.random.default_rng([self.settings.seed, number, 4, self.settings.host, window])
        return joined.take(random.permutation(len(joined.labels)))
