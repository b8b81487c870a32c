"""Training rows in batches: seeded, without end, and readable from any step on."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dream_keras.data.alphabet import Tokens
from dream_keras.data.table import Rows


class Batch(NamedTuple):
    """Rows as they leave the host: bytes, not floats.

    Attributes:
        tokens: (batch, length), uint8.
        reverse: (batch,), uint8: 1 where the reverse complement is to be trained on.
        values: (batch,) float32, or (batch, targets).
    """

    tokens: Tokens
    reverse: npt.NDArray[np.uint8]
    values: npt.NDArray[np.float32]


@dataclass
class TrainingStream:
    """All passes over the training rows, one after the other, cut into batches.

    Each pass is a permutation drawn from (seed, pass). A batch depends on nothing but (seed,
    step), so it is the same after a resume and for any number of replicas. A batch may hold the
    end of one pass and the start of the next; no row is lost between them.

    Attributes:
        rows: The training rows.
        batch_size: Rows in a batch.
        seed: Of the order.
        both_strands: Whether a pass holds each row twice, as itself and as its reverse complement.
        view: What is done to a batch's tokens with random numbers of its own (hidden bases,
            padding); see ``Processor.training_view``.
    """

    rows: Rows
    batch_size: int
    seed: int
    both_strands: bool
    view: Callable[[Tokens, np.random.Generator], Tokens] = lambda tokens, random: tokens

    def __post_init__(self) -> None:
        self._order: dict[int, npt.NDArray[np.uint32]] = {}

    @property
    def rows_per_pass(self) -> int:
        """Rows in one pass, each strand counted."""
        return len(self.rows) * (2 if self.both_strands else 1)

    def batch(self, step: int) -> Batch:
        """Return the batch of ``step``, counted from 0."""
        at = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        passes, offsets = np.divmod(at, self.rows_per_pass)
        picked = np.empty(self.batch_size, np.int64)
        for number in np.unique(passes):
            here = passes == number
            picked[here] = self._permutation(int(number))[offsets[here]]
        for number in [old for old in self._order if old < passes[0]]:
            del self._order[number]
        strand = np.zeros(self.batch_size, np.uint8)
        if self.both_strands:
            picked, odd = np.divmod(picked, 2)
            strand = odd.astype(np.uint8)
        random = np.random.default_rng([self.seed, step, 1])
        tokens = self.view(self.rows.tokens[picked], random)
        return Batch(tokens, strand, self.rows.values[picked])

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

    def _permutation(self, number: int) -> npt.NDArray[np.uint32]:
        if number not in self._order:
            random = np.random.default_rng([self.seed, number])
            self._order[number] = random.permutation(np.arange(self.rows_per_pass, dtype=np.uint32))
        return self._order[number]


def hold_out(rows: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Split rows at random into those to train on and those to validate on, order kept.

    Args:
        rows: All rows; both parts get at least one.
        share: Share to validate on.
        seed: Of the draw.
    """
    random = np.random.default_rng([seed, 0x5EED])
    chosen = np.zeros(len(rows), bool)
    count = min(max(round(share * len(rows)), 1), len(rows) - 1)
    chosen[random.choice(len(rows), count, replace=False)] = True
    return rows.take(np.flatnonzero(~chosen)), rows.take(np.flatnonzero(chosen))
