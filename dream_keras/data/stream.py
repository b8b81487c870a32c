"""Training rows in batches: seeded, infinite, and readable from any step."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Flags, Labels
from dream_keras.data.table import Rows, Weights


class Batch(NamedTuple):
    """Rows as they leave the host: bytes, not floats.

    Attributes:
        tokens: (batch, length), uint8.
        strand: (batch,), uint8: 1 where the reverse complement is to be trained on.
        flags: (batch,), uint8, as the processor defines them; uint16 of regions, where in the row
            the window starts.
        labels: (batch, tasks), float32; NaN where one is missing. Of regions counts, uint16,
            (batch, tasks, positions).
        weights: (batch,), float32, of the rows in the loss.
    """

    tokens: Tokens
    strand: npt.NDArray[np.uint8]
    flags: Flags | npt.NDArray[np.uint16]
    labels: Labels | npt.NDArray[np.uint16]
    weights: Weights

    @classmethod
    def joined(cls, parts: "Sequence[Batch]") -> "Batch":
        """Return a copy of some batches one after the other."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def take(self, rows: slice | npt.NDArray[np.int64]) -> "Batch":
        """Return some of the rows."""
        return Batch(
            self.tokens[rows],
            self.strand[rows],
            self.flags[rows],
            self.labels[rows],
            self.weights[rows],
        )


@dataclass(frozen=True)
class StreamSettings:
    """How rows are cut into batches.

    Attributes:
        batch_size: Rows in a batch, of all hosts.
        seed: Of the order.
        both_strands: Whether a pass holds each row twice, as itself and as its reverse complement.
        random_strand: Whether the strand of each row is drawn in each step.
        augment: What is done to a batch's tokens before that, in the first steps of a run; see
            ``Augmentation``.
        augmented_steps: The number of these steps.
        view: What is done to a batch's tokens with random numbers of its own (masked bases,
            padding); see ``Processor.training_view``.
        host: Number of this host.
        hosts: Their number; the batch must divide by it.
    """

    batch_size: int
    seed: int = 0
    both_strands: bool = False
    view: Callable[[Tokens, np.random.Generator], Tokens] = lambda tokens, random: tokens
    host: int = 0
    hosts: int = 1
    random_strand: bool = False
    augment: Callable[[Tokens, np.random.Generator], Tokens] = lambda tokens, random: tokens
    augmented_steps: int = 0

    @property
    def strands(self) -> int:
        """How often a pass holds each row."""
        return 2 if self.both_strands else 1


@dataclass
class Stream(ABC):
    """All passes over the training rows, one after the other, cut into batches.

    A batch depends on nothing but (seed, step), so it is the same after a resume and for any
    number of replicas. A batch may hold the end of one pass and the start of the next; no row is
    lost between them. Several hosts have an equal part of each batch.

    Attributes:
        rows: The training rows, of all hosts.
        settings: How they are cut.
    """

    rows: Sized
    settings: StreamSettings

    @property
    def batch_size(self) -> int:
        """Rows in a batch, of all hosts."""
        return self.settings.batch_size

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A checksum of the rows: with another one a run cannot be resumed."""

    @property
    def rows_per_pass(self) -> int:
        """Rows in one pass of all hosts, each strand counted."""
        return len(self.rows) * self.settings.strands

    @property
    def part_size(self) -> int:
        """Rows in one host's part of a batch."""
        return self.batch_size // self.settings.hosts

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """Return this host's part of the batch of ``step``, counted from 0."""

    @abstractmethod
    def _part(self, number: int, start: int, stop: int) -> Batch:
        """Return the rows from ``start`` to before ``stop`` of one pass."""

    def _cut(self, step: int, size: int, per_pass: int, *own: int) -> Batch:
        """Return the rows of ``step`` where passes of ``per_pass`` rows are cut every ``size``.

        The random numbers of augmentation and view depend on what else is given, as well.
        """
        at, end = step * size, (step + 1) * size
        parts = []
        while at < end:
            number, start = divmod(at, per_pass)
            stop = min(start + end - at, per_pass)
            parts.append(self._part(number, start, stop))
            at += stop - start
        batch = Batch.joined(parts)
        if step < self.settings.augmented_steps:
            random = np.random.default_rng([self.settings.seed, step, 5, *own])
            batch = batch._replace(tokens=self.settings.augment(batch.tokens, random))
        random = np.random.default_rng([self.settings.seed, step, 1, *own])
        batch = batch._replace(tokens=self.settings.view(batch.tokens, random))
        if not self.settings.random_strand:
            return batch
        drawn = random.integers(0, 2, len(batch.strand), np.uint8)
        return batch._replace(strand=drawn)

    def batches(self, first_step: int, steps: int, ahead: int = 4) -> Iterator[Batch]:
        """Yield the batches of ``steps`` steps from ``first_step`` on.

        A thread prepares up to ``ahead`` of them while the caller computes.
        """
        last = first_step + steps
        with ThreadPoolExecutor(1, "training-stream") as thread:
            waiting = [
                thread.submit(self.batch, s)
                for s in range(first_step, min(first_step + ahead, last))
            ]
            for step in range(first_step, last):
                batch = waiting.pop(0).result()
                if step + ahead < last:
                    waiting.append(thread.submit(self.batch, step + ahead))
                yield batch


@dataclass
class TrainingStream(Stream):
    """A stream of rows in memory: each pass is a permutation drawn from (seed, pass).

    Every host has all rows, so the parts of all hosts together are what one host alone gets.

    Examples:
        >>> tokens, labels = np.zeros((10, 4), np.uint8), np.zeros((10, 1), np.float32)
        >>> rows = Rows(tokens, labels, np.zeros(10, np.uint8), np.ones(10, np.float32))
        >>> stream = TrainingStream(rows, StreamSettings(batch_size=8, both_strands=True))
        >>> stream.rows_per_pass, stream.batch(0).tokens.shape
        (20, (8, 4))
    """

    rows: Rows

    def __post_init__(self) -> None:
        self._order: dict[int, npt.NDArray[np.uint32]] = {}

    @property
    def fingerprint(self) -> str:
        """The number of rows and a checksum of their content."""
        return fingerprint(self.rows)

    def batch(self, step: int) -> Batch:
        """Return this host's part of the batch of ``step``, counted from 0."""
        whole = self._cut(step, self.batch_size, self.rows_per_pass)
        first = self.settings.host * self.part_size
        return whole.take(slice(first, first + self.part_size))

    def _part(self, number: int, start: int, stop: int) -> Batch:
        picked = self._permutation(number)[start:stop].astype(np.int64)
        strand = np.zeros(len(picked), np.uint8)
        if self.settings.both_strands:
            picked, odd = np.divmod(picked, 2)
            strand = odd.astype(np.uint8)
        rows = self.rows.take(picked)
        return Batch(rows.tokens, strand, rows.flags, rows.labels, rows.weights)

    def _permutation(self, number: int) -> npt.NDArray[np.uint32]:
        if number not in self._order:
            random = np.random.default_rng([self.settings.seed, number])
            numbers = np.arange(self.rows_per_pass, dtype=np.uint32)
            self._order = {number: random.permutation(numbers)}
        return self._order[number]


def fingerprint(rows: Rows) -> str:
    """Return the number of rows and a checksum of their content.

    Examples:
        >>> tokens, labels = np.zeros((2, 4), np.uint8), np.ones((2, 1), np.float32)
        >>> rows = Rows(tokens, labels, np.zeros(2, np.uint8), np.ones(2, np.float32))
        >>> fingerprint(rows)
        '2-5c9fc5ac'
    """
    checksum = 0
    for content in rows.contents:
        checksum = zlib.crc32(np.ascontiguousarray(content).data, checksum)
    return f"{len(rows)}-{checksum:08x}"


def hold_out(rows: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Split rows at random into those to train on and those to validate on, order kept.

    Args:
        rows: All rows; both parts get at least one.
        share: Share to validate on.
        seed: Of the draw.

    Examples:
        >>> tokens, labels = np.zeros((10, 4), np.uint8), np.zeros((10, 1), np.float32)
        >>> rows = Rows(tokens, labels, np.zeros(10, np.uint8), np.ones(10, np.float32))
        >>> [len(part) for part in hold_out(rows, share=0.2, seed=0)]
        [8, 2]
    """
    random = np.random.default_rng([seed, 0x5EED])
    chosen = np.zeros(len(rows), bool)
    count = min(max(round(share * len(rows)), 1), len(rows) - 1)
    chosen[random.choice(len(rows), count, replace=False)] = True
    return rows.take(np.flatnonzero(~chosen)), rows.take(np.flatnonzero(chosen))
