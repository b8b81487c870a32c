"""Blocks of text into tokens and numbers, a whole block at a time, every bad row named."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Lengths

TAB, NEWLINE, RETURN, ZERO = 9, 10, 13, 0
MAX_SEQUENCE_LENGTH = 4_096
"""Longest sequence that is read, in bp; the longest models of the field take 2,114."""
LONGEST_NUMBER = 64
MISSING = (b"", b"na", b"nan", b"n/a", b"null")
"""What stands for a missing value in a table with several targets, in any case."""

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        line: Line in the file, counted from 1.
        reason: Short name of what is wrong: columns, empty, letter, number, length or short.
        detail: What is wrong, with the value.
        text: The row as it stands in the file.
    """

    line: int
    reason: str
    detail: str
    text: str


@dataclass
class Chunk:
    """Some rows of a table.

    Attributes:
        tokens: (rows, width); what stands behind a row's length is undefined.
        lengths: (rows,), in bp.
        values: (rows, targets), float64; NaN where one of several is missing.
        lines: (rows,), the line of each row, counted from 1.
        bad: Rows that were left out, in order.
    """

    tokens: Tokens
    lengths: Lengths
    values: npt.NDArray[np.float64]
    lines: Positions
    bad: list[BadRow] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """Positions of the columns, counted from 0, and how many there must be."""

    sequence: int
    targets: tuple[int, ...]
    expected: int | None


def parse_block(text: bytes, first_line: int, layout: Layout) -> Chunk:
    """Split whole lines into fields and check them."""
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    ends = ends - ((ends > starts) & (data[ends - 1] == RETURN))
    tabs = np.flatnonzero(data == TAB)
    first_tab = np.searchsorted(tabs, starts)
    tab_count = np.searchsorted(tabs, ends) - first_tab
    needed = max(layout.sequence, *layout.targets, 0)
    expected = layout.expected
    wrong = tab_count < needed if expected is None else tab_count != expected - 1
    blank = ends == starts
    wrong |= blank & (expected != 1)
    wanted = f"at least {needed + 1}" if expected is None else str(expected)
    reasons: dict[int, tuple[str, str]] = {}
    for row in np.flatnonzero(wrong).tolist():
        found = 0 if blank[row] else int(tab_count[row]) + 1
        if blank[row] and needed == 0 and expected is None:
            reasons[row] = ("empty", "the sequence is empty")
            continue
        reasons[row] = (
            "columns",
            f"expected {wanted} tab-separated columns, found {found}",
        )
    good = np.flatnonzero(~wrong)

    def field_of(column: int) -> tuple[Positions, Positions]:
        at = first_tab[good] + column
        begin = starts[good] if column == 0 else tabs[at - 1] + 1
        last = column == tab_count[good]
        end = np.where(last, ends[good], tabs[np.minimum(at, len(tabs) - 1)] if len(tabs) else 0)
        return begin, end

    begin, end = field_of(layout.sequence)
    for row in np.flatnonzero(end - begin > MAX_SEQUENCE_LENGTH).tolist():
        reasons[int(good[row])] = (
            "length",
            f"the sequence has {end[row] - begin[row]} letters; at most {MAX_SEQUENCE_LENGTH} "
            "are read",
        )
    letters, lengths = _gather(data, begin, np.minimum(end, begin + MAX_SEQUENCE_LENGTH))
    tokens = alphabet.TOKEN_OF_BYTE[letters]
    inside = np.arange(tokens.shape[1]) < lengths[:, None]
    strange = (tokens == alphabet.INVALID) & inside
    for row in np.flatnonzero(lengths == 0).tolist():
        reasons[int(good[row])] = ("empty", "the sequence is empty")
    for row in np.flatnonzero(strange.any(axis=1)).tolist():
        at = int(strange[row].argmax())
        letter = bytes(letters[row, at : at + 1]).decode("latin-1")
        reasons[int(good[row])] = (
            "letter",
            f"letter {letter!r} at position {at + 1} of the sequence is not A, C, G, T or N",
        )
    values = np.empty((len(good), len(layout.targets)))
    several = len(layout.targets) > 1
    for number, column in enumerate(layout.targets):
        begin, end = field_of(column)
        texts, widths = _gather(data, begin, np.minimum(end, begin + LONGEST_NUMBER))
        values[:, number] = np.where(end - begin > LONGEST_NUMBER, np.nan, _numbers(texts, widths))
        # Also refuses what is too large for the float32 that networks are trained in.
        unusable = ~(np.abs(values[:, number]) <= np.finfo(np.float32).max)
        if several:
            unusable &= ~_is_missing(texts, widths)
        for row in np.flatnonzero(unusable).tolist():
            given = bytes(texts[row, : widths[row]]).decode("utf-8", "replace")
            reasons.setdefault(int(good[row]), ("number", f"{given!r} is not a finite number"))
    if several:
        for row in np.flatnonzero(np.isnan(values).all(axis=1)).tolist():
            reasons.setdefault(int(good[row]), ("number", "all of its values are missing"))
    kept = np.array([row not in reasons for row in good.tolist()], bool) if reasons else slice(None)
    bad = []
    for number, (reason, detail) in sorted(reasons.items()):
        line = text[starts[number] : ends[number]].decode("utf-8", "replace")
        bad.append(BadRow(first_line + number, reason, detail, line))
    lines = good[kept] + first_line
    return Chunk(tokens[kept], lengths[kept].astype(np.int32), values[kept], lines, bad)


def _gather(data: Bytes, begin: Positions, end: Positions) -> tuple[Bytes, Positions]:
    """Copy fields of text into the rows of one array, (fields, longest); returns their lengths."""
    lengths = end - begin
    width = max(int(lengths.max(initial=0)), 1)
    padded = np.concatenate([data, np.zeros(width, np.uint8)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    return windows[begin], lengths


def _numbers(texts: Bytes, widths: Positions) -> npt.NDArray[np.float64]:
    """Read numbers; what is none becomes NaN."""
    texts = texts.copy()
    texts[np.arange(texts.shape[1]) >= widths[:, None]] = ZERO
    fields = np.ascontiguousarray(texts).view(f"S{texts.shape[1]}")[:, 0]
    try:
        return fields.astype(np.float64)
    except ValueError:
        return np.array([_number(text) for text in fields])


def _is_missing(texts: Bytes, widths: Positions) -> npt.NDArray[np.bool_]:
    """Return which fields stand for a value that was not measured, (fields,)."""
    fields = [bytes(text[:width]) for text, width in zip(texts, widths, strict=True)]
    return np.array([field.strip().lower() in MISSING for field in fields], bool)


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
