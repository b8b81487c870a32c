"""What a training table says before it is encoded: its longest sequence and shared ends."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Lengths
from dream_keras.data.table import OFFICIAL, Columns, read_chunks

LEAST_ENDS = 6
"""bp that all sequences must have in common at an end to be called an adapter."""
LEAST_ROWS = 20
"""Rows without which shared ends may be chance."""

log = logging.getLogger(__name__)


@dataclass
class Survey:
    """The sequences of a table, counted.

    Attributes:
        rows: Good rows.
        longest: Longest sequence in bp.
        left: Bases with which all sequences begin.
        right: Bases with which all sequences end.

    Examples:
        >>> found = Survey()
        >>> tokens = np.stack([alphabet.encode("ACGT"), alphabet.encode("ACTT")])
        >>> found.add(tokens, np.array([4, 4]))
        >>> found.longest, alphabet.decode(found.left), alphabet.decode(found.right)
        (4, 'AC', 'T')
    """

    rows: int = 0
    longest: int = 0
    left: Tokens | None = None
    right: Tokens | None = None

    def add(self, tokens: Tokens, lengths: Lengths) -> None:
        """Count some sequences: tokens, (rows, width), and lengths in bp, (rows,)."""
        if not len(lengths):
            return
        self.rows += len(lengths)
        self.longest = max(self.longest, int(lengths.max()))
        shortest = int(lengths.min())
        at = lengths[:, None] - 1 - np.arange(shortest)
        # The right ends are compared from the last base on.
        self.left = _shared(self.left, tokens[:, :shortest])
        self.right = _shared(
            None if self.right is None else self.right[::-1],
            np.take_along_axis(tokens, at.astype(np.int64), axis=1),
        )[::-1]

    @property
    def has_adapters(self) -> bool:
        """Whether the shared ends are long enough to be adapters, and rows enough to tell."""
        ends = [len(end) for end in (self.left, self.right) if end is not None]
        return self.rows >= LEAST_ROWS and max(ends) >= LEAST_ENDS


def _shared(known: Tokens | None, rows: Tokens) -> Tokens:
    """Return how all of some rows, (rows, width), and what is known already begin alike."""
    known = rows[0] if known is None else known[: rows.shape[1]]
    alike = (rows[:, : len(known)] == known).all(axis=0)
    return known[: len(known) if alike.all() else int(alike.argmin())]


def survey(path: str | Path, columns: Columns = OFFICIAL) -> Survey:
    """Read a table's sequences once through; bad rows are left to the reader proper.

    Raises:
        UserError: If the table cannot be read, is standard input, or has no good row.
    """
    if str(path) == "-":
        raise UserError(
            "standard input cannot be read twice, first for its longest sequence: set "
            "model.processor.length"
        )
    log.info("%s: looking for its longest sequence", path)
    found = Survey()
    for chunk in read_chunks(path, columns):
        found.add(chunk.tokens, chunk.lengths)
    if found.left is None or found.right is None:
        raise UserError(f"{path}: no usable row in this table")
    if found.has_adapters:
        log.info(
            '%s: all %s sequences begin with "%s" and end with "%s"; these ends are part of '
            "the input",
            path,
            f"{found.rows:,}",
            alphabet.decode(found.left),
            alphabet.decode(found.right),
        )
    return found
