"""Training regions in batches: seeded, infinite, and readable from any step."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dream_keras.data.region_rows import RegionRows, nonpeaks_in_epoch
from dream_keras.data.regions import RegionSettings
from dream_keras.data.stream import Batch, Stream, fingerprint


class Plan(NamedTuple):
    """One epoch, row by row in its order.

    Attributes:
        rows: Numbers of the rows, (epoch,).
        starts: Where in the row the window starts, (epoch,).
        strand: 1 where the window is turned to the other strand, (epoch,).
    """

    rows: npt.NDArray[np.int64]
    starts: npt.NDArray[np.uint16]
    strand: npt.NDArray[np.uint8]


@dataclass
class RegionStream(Stream):
    """A stream of regions in memory; the interface of ``TrainingStream``.

    A pass, drawn from (seed, pass), has all peaks, each at a window of its own within the jitter,
    and a share of regions without peaks, in the middle, drawn anew without replacement; exactly
    half of all (rounded down) are turned to the other strand. Source: ChromBPNet.

    Attributes:
        regions: How many regions without peaks there are in a pass.
    """

    rows: RegionRows
    regions: RegionSettings

    def __post_init__(self) -> None:
        is_peak = self.rows.regions.is_peak
        self._peaks, self._others = np.flatnonzero(is_peak), np.flatnonzero(~is_peak)
        self._drawn = nonpeaks_in_epoch(len(self._peaks), len(self._others), self.regions)
        self._plans: dict[int, Plan] = {}

    @property
    def fingerprint(self) -> str:
        """The number of rows and a checksum of their content."""
        return fingerprint(self.rows)

    @property
    def rows_per_pass(self) -> int:
        """Rows in one pass of all hosts."""
        return len(self._peaks) + self._drawn

    def batch(self, step: int) -> Batch:
        """Return this host's part of the batch of ``step``, counted from 0."""
        whole = self._cut(step, self.batch_size, self.rows_per_pass)
        first = self.settings.host * self.part_size
        return whole.take(slice(first, first + self.part_size))

    def plan(self, number: int) -> Plan:
        """Return the plan of a pass, counted from 0."""
        if number not in self._plans:
            self._plans = {number: self._draw(number)}
        return self._plans[number]

    def _part(self, number: int, start: int, stop: int) -> Batch:
        plan, rows = self.plan(number), self.rows
        part = slice(start, stop)
        picked = plan.rows[part]
        return Batch(
            rows.tokens[picked],
            plan.strand[part],
            plan.starts[part],
            rows.profiles[picked],
            rows.weights[picked],
        )

    def _draw(self, number: int) -> Plan:
        random = np.random.default_rng([self.settings.seed, number, 6])
        others = random.choice(self._others, self._drawn, replace=False)
        rows = np.concatenate([self._peaks, others]).astype(np.int64)
        jitter = self.rows.jitter
        starts = np.full(len(rows), jitter, np.uint16)
        starts[: len(self._peaks)] = random.integers(0, 2 * jitter, len(self._peaks), endpoint=True)
        strand = np.zeros(len(rows), np.uint8)
        strand[random.choice(len(rows), len(rows) // 2, replace=False)] = 1
        order = random.permutation(len(rows))
        return Plan(rows[order], starts[order], strand[order])
