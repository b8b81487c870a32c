"""The TPU chips that can be rented, and slices of them. Imports no framework."""

import math
import re
from dataclasses import dataclass

from dream_keras.common.errors import UserError, unknown

GIB = 2**30


@dataclass(frozen=True)
class Chip:
    """One chip's public figures.

    Attributes:
        memory: High-bandwidth memory in bytes; the compiler keeps a little of it for itself.
        flops: Peak bfloat16 operations per second, in which TPUs multiply float32 as well unless
            they are told otherwise.
        bandwidth: Bytes per second between that memory and the chip.
        dimensions: Of the grid the chips stand in.
        example: A topology.
        page: Where the figures are from.
    """

    memory: int
    flops: float
    bandwidth: float
    dimensions: int
    example: str
    page: str


CHIPS = {
    "v4": Chip(32 * GIB, 275e12, 1200e9, 3, "v4:2x2x1", "https://cloud.google.com/tpu/docs/v4"),
    "v5e": Chip(16 * GIB, 197e12, 819e9, 2, "v5e:2x2", "https://cloud.google.com/tpu/docs/v5e"),
    "v5p": Chip(95 * GIB, 459e12, 2765e9, 3, "v5p:2x2x1", "https://cloud.google.com/tpu/docs/v5p"),
    "v6e": Chip(32 * GIB, 918e12, 1638e9, 2, "v6e:2x2", "https://cloud.google.com/tpu/docs/v6e"),
}
"""Peak compute, HBM capacity and bandwidth per chip, from the tables of Google's documentation
(the ``page`` of each, read in 2026). Their "GB" of capacity are taken as 2**30 bytes: the compiler
says of a v5e that 15.75 of them can be used."""


@dataclass(frozen=True)
class Topology:
    """A slice of a TPU.

    Attributes:
        kind: Which chip, a key of ``CHIPS``.
        shape: Chips along each side of the grid.
    """

    kind: str
    shape: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "Topology":
        """Read a topology such as ``v5e:2x2``.

        Raises:
            UserError: If it is none, or its chip is not known.

        Examples:
            >>> topology = Topology.parse("v5p:2x2x1")
            >>> topology.chips, str(topology)
            (4, 'v5p:2x2x1')
        """
        kind, colon, shape = text.partition(":")
        examples = ", ".join(chip.example for chip in CHIPS.values())
        if not colon or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,2}", shape):
            raise UserError(f"topology {text}: expected CHIP:GRID, for example {examples}")
        if kind not in CHIPS:
            raise unknown("TPU", kind, CHIPS)
        sides = tuple(map(int, shape.split("x")))
        if len(sides) != CHIPS[kind].dimensions:
            raise UserError(
                f"topology {text}: {kind} chips stand in {CHIPS[kind].dimensions} dimensions, for "
                f"example {CHIPS[kind].example}"
            )
        return cls(kind, sides)

    @property
    def chip(self) -> Chip:
        """The chip's figures."""
        return CHIPS[self.kind]

    @property
    def chips(self) -> int:
        """Chips in the slice."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        """Return the compiler's name of it."""
        return f"{self.kind}:{'x'.join(map(str, self.shape))}"
