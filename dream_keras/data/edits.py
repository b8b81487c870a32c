"""Deletions, insertions, inversions, rotations and mutations of encoded rows, many at a time."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens

DRAWN = alphabet.MASK
"""Token of a base that is yet to be drawn."""
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """The positions of each row that may change.

    Attributes:
        start: (rows,), the first of them.
        stop: (rows,), behind the last of them.
    """

    start: Ints
    stop: Ints

    @property
    def length(self) -> Ints:
        """Their number, (rows,)."""
        return self.stop - self.start

    def take(self, rows: Ints) -> "Part":
        """Return the part of some rows."""
        return Part(self.start[rows], self.stop[rows])


class Piece(NamedTuple):
    """A stretch of each row.

    Attributes:
        length: (rows,), in bp.
        start: (rows,), the first position; None for bases that are to be drawn.
        turned: Whether its reverse complement is meant.
    """

    length: Ints
    start: Ints | None = None
    turned: bool = False


def assembled(tokens: Tokens, part: Part, *pieces: Piece) -> Tokens:
    """Return rows whose part is put together from pieces, which are as long as the part.

    Args:
        tokens: (rows, length).
        part: What changes.
        pieces: From left to right.
    """
    rows, width = tokens.shape
    bases = tokens.ravel()
    any_turned = any(piece.turned for piece in pieces)
    other = alphabet.reverse_complement(bases) if any_turned else bases[:0]
    both = np.concatenate([bases, other, np.full(width, DRAWN, np.uint8)])
    whole = np.arange(rows) * width
    starts, lengths = [], []
    for length, start, turned in (
        Piece(part.start, np.zeros_like(part.start)),
        *pieces,
        Piece(width - part.stop, part.stop),
    ):
        if start is None:
            start = np.full(rows, both.size - width)
        elif turned:
            start = 2 * bases.size - (whole + start + length)
        else:
            start = whole + start
        starts.append(start)
        lengths.append(length)
    steps = np.stack(lengths, axis=1).ravel()
    offsets = np.stack(starts, axis=1).ravel() - (np.cumsum(steps) - steps)
    at = np.repeat(offsets, steps)
    at += np.arange(bases.size)
    return both.take(at).reshape(rows, width)


def deleted(tokens: Tokens, part: Part, place: Ints, size: Ints) -> Tokens:
    """Delete ``size`` bases from ``place`` on; half as many, to be drawn, are put on either end.

    Of an odd number the larger half is on the right.

    Args:
        tokens: (rows, length).
        part: What may change.
        place: (rows,), counted from the start of the part.
        size: (rows,), in bp.

    Examples:
        >>> part = Part(np.array([1]), np.array([9]))
        >>> tokens = alphabet.encode("GAACCTTAAG")[None]
        >>> deleted(tokens, part, np.array([2]), np.array([3])).tolist()
        [[2, 5, 0, 0, 3, 0, 0, 5, 5, 2]]
    """
    left, cut = size // 2, part.start + place
    kept = Piece(place, part.start), Piece(part.stop - cut - size, cut + size)
    return assembled(tokens, part, Piece(left), *kept, Piece(size - left))


def inserted(tokens: Tokens, part: Part, place: Ints, size: Ints) -> Tokens:
    """Insert ``size`` bases, to be drawn, in front of ``place``; either end loses half as many.

    Arguments as for ``deleted``.
    """
    left, length = size // 2, part.length
    # Edges of the three pieces, as counted from the first base that stays.
    edges = [np.zeros_like(left), place - left, place + size - left, length]
    first, middle, last = np.diff(np.clip(edges, 0, length), axis=0)
    behind = part.stop - (size - left) - last
    kept = Piece(first, part.start + left), Piece(last, behind)
    return assembled(tokens, part, kept[0], Piece(middle), kept[1])


def inverted(tokens: Tokens, part: Part, place: Ints, size: Ints) -> Tokens:
    """Replace ``size`` bases from ``place`` on by their reverse complement.

    Arguments as for ``deleted``.
    """
    first = part.start + place
    last = first + size
    kept = Piece(place, part.start), Piece(part.stop - last, last)
    return assembled(tokens, part, kept[0], Piece(size, first, turned=True), kept[1])


def rotated(tokens: Tokens, part: Part, distance: Ints) -> Tokens:
    """Move the bases to the right by ``distance`` bp; what leaves on one side enters on the other.

    Args:
        tokens: (rows, length).
        part: What may change.
        distance: (rows,), in bp; negative to the left.
    """
    right = distance % np.maximum(part.length, 1)
    halves = Piece(right, part.stop - right), Piece(part.length - right, part.start)
    return assembled(tokens, part, *halves)


def mutated(tokens: Tokens, part: Part, share: float, random: np.random.Generator) -> Tokens:
    """Replace a share of the bases, at random positions, by one of the three others.

    Of ``n`` positions the number is ``share * n``, rounded up or down at random so that this is its
    mean. N stays.

    Args:
        tokens: (rows, length).
        part: What may change.
        share: Share of the positions.
        random: Draws the positions and the bases.
    """
    rows, width = tokens.shape
    number = (share * part.length + random.random(rows)).astype(np.int64)[:, None]
    # Floyd's algorithm: a position that is drawn again is replaced by the highest so far.
    steps = np.arange(number.max(initial=0))
    highest = part.length[:, None] - number + steps
    chosen = (random.random(highest.shape) * (highest + 1)).astype(np.int64)
    for step in steps[1:]:
        again = (chosen[:, :step] == chosen[:, step, None]).any(axis=1)
        chosen[again, step] = highest[again, step]
    at = (chosen + (part.start + np.arange(rows) * width)[:, None])[steps < number]
    changed = tokens.flatten()
    at = at[changed[at] < alphabet.N]
    changed[at] = (changed[at] + random.integers(1, 4, len(at), np.uint8)) % 4
    return changed.reshape(rows, width)
