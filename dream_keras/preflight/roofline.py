"""The least time a step can take on a chip: that of its arithmetic or of its memory traffic."""

from dataclasses import dataclass

from dream_keras.preflight.chips import Chip


@dataclass(frozen=True)
class Roofline:
    """Operations and memory traffic of one step on one chip.

    Attributes:
        flops: Operations.
        moved: Bytes to and from the chip's main memory.
        chip: The chip.

    Examples:
        >>> from dream_keras.preflight.chips import CHIPS
        >>> step = Roofline(flops=421e9, moved=23e9, chip=CHIPS["v5e"])
        >>> step.bound, round(step.seconds, 4)
        ('memory', 0.0281)
    """

    flops: float
    moved: float
    chip: Chip

    @property
    def arithmetic_seconds(self) -> float:
        """Time of the arithmetic at the chip's peak."""
        return self.flops / self.chip.flops

    @property
    def memory_seconds(self) -> float:
        """Time of the memory traffic at the chip's full bandwidth."""
        return self.moved / self.chip.bandwidth

    @property
    def seconds(self) -> float:
        """The longer of the two: a step takes at least this, most take a few times as long."""
        return max(self.arithmetic_seconds, self.memory_seconds)

    @property
    def bound(self) -> str:
        """Which of the two is the limit."""
        return "arithmetic" if self.arithmetic_seconds >= self.memory_seconds else "memory"


def largest_batch(batch: int, fixed: float, proportional: float, limit: float, step: int) -> int:
    """Return the largest batch that fits, taking memory as linear in it.

    Args:
        batch: A batch whose memory is known.
        fixed: Bytes on a chip that do not depend on the batch: weights, optimiser, program.
        proportional: Bytes that do, at this batch.
        limit: Bytes that a chip has.
        step: What the batch must divide by.

    Returns:
        A multiple of ``step``; 0 if not even that many rows fit.

    Examples:
        >>> largest_batch(1024, fixed=2e9, proportional=4e9, limit=16e9, step=32)
        3584
    """
    if fixed >= limit:
        return 0
    return int(batch * (limit - fixed) / max(proportional, 1.0)) // step * step
