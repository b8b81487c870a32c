"""Findings of the compiler on a training step, and what follows from them."""

import dataclasses
from dataclasses import dataclass

from dream_keras.preflight.chips import Topology
from dream_keras.preflight.roofline import Roofline, largest_batch

USABLE = 15.75 / 16
"""Share of a chip's memory that the compiler gives to programs; its own figure for v5e."""


@dataclass(frozen=True)
class Findings:
    """Findings of the compiler on one training step.

    Attributes:
        backend: Whose step: ``"jax"``, of all chips; or ``"tensorflow"``, of one replica with its
            part of the rows, without what replicas exchange.
        topology: The TPU.
        batch: Rows in a step, over all chips.
        weights: Trainable weights of the network.
        state_bytes: On each chip: weights, optimiser and rows.
        temporary_bytes: On each chip: what is needed while a step is computed.
        program_bytes: On each chip: the program itself.
        flops: Operations of one chip in a step, loops counted in full.
        moved_bytes: Bytes to and from one chip's memory in a step, loops counted in full.
        loops: Trip count of each loop; None where it is not known.
        lower_bound: Whether flops and bytes leave out trips of a loop.
        compile_seconds: Time the compiler took here.
    """

    backend: str
    topology: Topology
    batch: int
    weights: int
    state_bytes: int
    temporary_bytes: int
    program_bytes: int
    flops: float
    moved_bytes: float
    loops: tuple[int | None, ...]
    lower_bound: bool
    compile_seconds: float

    @property
    def memory_bytes(self) -> int:
        """Memory that a step takes on each chip."""
        return self.state_bytes + self.temporary_bytes + self.program_bytes

    @property
    def usable_bytes(self) -> float:
        """Memory that a chip has for it."""
        return USABLE * self.topology.chip.memory

    @property
    def largest_batch(self) -> int:
        """The largest batch that fits, if temporaries are proportional to it; an estimate."""
        fixed = self.state_bytes + self.program_bytes
        step = 8 * self.topology.chips
        return largest_batch(self.batch, fixed, self.temporary_bytes, self.usable_bytes, step)

    @property
    def roofline(self) -> Roofline:
        """The least time that a step can take."""
        return Roofline(self.flops, self.moved_bytes, self.topology.chip)

    @property
    def rows_per_second(self) -> float:
        """Rows per second, of all chips together, at that time."""
        return self.batch / self.roofline.seconds

    def hours(self, steps: int) -> float:
        """Hours of that many steps, at that time."""
        return steps * self.roofline.seconds / 3600

    def plain(self) -> dict[str, object]:
        """Return everything for JSON."""
        figures = dataclasses.asdict(self)
        roofline = self.roofline
        return {
            **figures,
            "topology": str(self.topology),
            "chips": self.topology.chips,
            "memory_bytes": self.memory_bytes,
            "usable_bytes": int(self.usable_bytes),
            "largest_batch_estimate": self.largest_batch,
            "arithmetic_seconds": roofline.arithmetic_seconds,
            "memory_seconds": roofline.memory_seconds,
            "seconds": roofline.seconds,
            "bound": roofline.bound,
            "rows_per_second": self.rows_per_second,
        }
