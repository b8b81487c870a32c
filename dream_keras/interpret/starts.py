"""Sequences that designs start from, and which of their bases may change."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.interpret.random_inserts import random_inserts

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_LETTERS = np.frombuffer(b"ACGTN   ", np.uint8)


@dataclass(frozen=True)
class Starts:
    """Sequences to start from, one for each design.

    Attributes:
        names: Of the designs.
        tokens: (designs, width); ``alphabet.END`` behind the end of shorter ones.
        lengths: (designs,), in bp.
        construct: Where the constant ends of the assay's construct are, and what is behind the
            end, (designs, width).
        editable: Which bases may change, (designs, width).
    """

    names: tuple[str, ...]
    tokens: Tokens
    lengths: Integers
    construct: Mask
    editable: Mask

    @property
    def width(self) -> int:
        """Length of the longest."""
        return self.tokens.shape[1]

    def texts(self, tokens: Tokens, owner: Integers | None = None) -> list[str]:
        """Return sequences as text.

        Args:
            tokens: (rows, width).
            owner: Number of the design that each belongs to, (rows,); None is one for each.
        """
        lengths = self.lengths if owner is None else self.lengths[owner]
        text = _LETTERS[tokens].tobytes().decode()
        begins = range(0, len(text), self.width)
        return [text[at : at + n] for at, n in zip(begins, lengths.tolist(), strict=True)]


def make_starts(
    sequences: Mapping[str, str],
    designs: int | None = None,
    kept: tuple[int, int] = (0, 0),
    protect: str | None = None,
) -> Starts:
    """Return where designs start.

    Args:
        sequences: By name.
        designs: How many designs there are; the sequences are taken in turn. None makes one of
            each sequence.
        kept: bp at both ends that belong to the construct.
        protect: Stretches that must not change, ``"START-END,..."``, counted from 1.

    Raises:
        UserError: If a stretch lies outside a sequence, or nothing is left that may change.

    Examples:
        >>> make_starts({"one": "ACGTA"}, 2, (1, 0), "5").editable.astype(int).tolist()
        [[0, 1, 1, 1, 0], [0, 1, 1, 1, 0]]
    """
    names, texts = list(sequences), list(sequences.values())
    count = len(names) if designs is None else designs
    copies = -(-count // len(names))
    order = [number % len(names) for number in range(count)]
    if copies > 1:
        named = [f"{names[at]}_{number // len(names) + 1}" for number, at in enumerate(order)]
    else:
        named = [names[at] for at in order]
    spans = protected_spans(protect) if protect else []
    lengths = np.array([len(texts[at]) for at in order], np.int64)
    tokens = np.full((count, int(lengths.max())), alphabet.END, np.uint8)
    editable = np.zeros(tokens.shape, bool)
    construct = np.ones(tokens.shape, bool)
    for row, at in enumerate(order):
        length = len(texts[at])
        tokens[row, :length] = alphabet.encode(texts[at])
        construct[row, kept[0] : max(length - kept[1], 0)] = False
        editable[row] = ~construct[row]
        for first, last in spans:
            if last > length:
                raise UserError(
                    f"protect {first}-{last}: {names[at]} has {length} bp, counted from 1"
                )
            editable[row, first - 1 : last] = False
        if not editable[row].any():
            raise UserError(
                f"{names[at]}: no base may change: of {length} bp {kept[0]} and {kept[1]} at the "
                "ends belong to the construct, and the rest is protected"
            )
    return Starts(tuple(named), tokens, lengths, construct, editable)


def protected_spans(text: str) -> list[tuple[int, int]]:
    """Return first and last positions, counted from 1.

    Raises:
        UserError: If it holds something else.

    Examples:
        >>> protected_spans("1-20, 35")
        [(1, 20), (35, 35)]
    """
    spans = []
    for word in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last:
            raise UserError(
                f'protect "{text}": expected START-END, counted from 1 and separated by commas, '
                "such as 1-20,35-40"
            )
        spans.append((first, last))
    return spans


def random_starts(
    number: int,
    length: int,
    shares: Sequence[float],
    seed: int,
    ends: tuple[str, str] = ("", ""),
) -> dict[str, str]:
    """Draw sequences.

    Args:
        number: How many.
        length: bp that are drawn.
        shares: Of A, C, G and T.
        seed: Of the random numbers.
        ends: What is put around them.

    Examples:
        >>> random_starts(2, 8, (0.25, 0.25, 0.25, 0.25), seed=0, ends=("TT", ""))
        {'random1': 'TTGCAATTGG', 'random2': 'TTGTTATAGA'}
    """
    left, right = ends
    texts = alphabet.decode_rows(random_inserts(number, length, shares, seed))
    return {f"random{row}": left + text + right for row, text in enumerate(texts, 1)}
