"""Blocks of text into tokens and numbers, a whole block at a time, every bad row named."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.delimited import DELIMITERS, TAB, to_float
from dream_keras.data.processor import Lengths

NEWLINE, RETURN, ZERO, UNDERSCORE = 10, 13, 0, ord("_")
MAX_SEQUENCE_LENGTH = 4_096
"""Longest sequence that is read, in bp; the longest models of the field take 2,114."""
LONGEST_NUMBER = 64
MISSING = (b"", b"na", b"nan", b"n/a", b"null")
"""What stands for a missing value in a table with several targets, in any case."""
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
SEPARATOR = "\x1f"
"""Stands between the cells of rows whose quotes have been taken off: no cell holds it."""
_TOKENS = alphabet.TOKEN_OF_BYTE.tobytes()

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        line: Line in the file, counted from 1.
        reason: Short name of what is wrong: columns, empty, letter, number, length or short.
        detail: What is wrong, with the value.
        text: The row as it stands in the file, quotes taken off.
        name: What it is called: its id if there is one, else its sequence.
    """

    line: int
    reason: str
    detail: str
    text: str
    name: str = ""


@dataclass
class Chunk:
    """Some rows of a table.

    Attributes:
        tokens: (rows, width); what stands behind a row's length is undefined.
        lengths: (rows,), in bp.
        values: (rows, targets), float64; NaN where one of several is missing.
        lines: (rows,), the line of each row, counted from 1.
        bad: Rows that were left out, in order.
        names: The rows' ids, if the table has some.
        parts: Which part of the table each row belongs to, if a column says so.
        weights: (rows,), if the table has some.
        errors: (rows,), standard errors of the values, if the table has some.
    """

    tokens: Tokens
    lengths: Lengths
    values: npt.NDArray[np.float64]
    lines: Positions
    bad: list[BadRow] = field(default_factory=list)
    names: list[str] | None = None
    parts: list[str] | None = None
    weights: npt.NDArray[np.float64] | None = None
    errors: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Layout:
    """Positions of the columns, counted from 0, how many there must be, and what separates them."""

    sequence: int
    targets: tuple[int, ...]
    expected: int | None
    id: int | None = None
    split: int | None = None
    weight: int | None = None
    error: int | None = None
    delimiter: str = TAB

    @property
    def columns(self) -> tuple[int | None, ...]:
        """All positions."""
        return self.sequence, *self.targets, self.id, self.split, self.weight, self.error

    @property
    def skips_blank_lines(self) -> bool:
        """Whether blank lines are nothing, as usual in CSV, or rows without a sequence."""
        return self.delimiter != TAB


def parse_records(rows: Iterable[tuple[int, list[str]]], layout: Layout) -> Chunk:
    """Check rows that have been split into cells already, as ``parse_block`` does.

    Args:
        rows: Line and cells of each; letters are bytes (Latin-1).
        layout: The columns.
    """
    lines, texts = [], []
    for line, cells in rows:
        lines.append(line)
        texts.append(SEPARATOR.join(cells).replace("\n", " "))
    text = "\n".join([*texts, ""]).encode("latin-1")
    return parse_block(text, np.array(lines, np.int64), layout, SEPARATOR)


def parse_block(
    text: bytes, lines: int | Positions, layout: Layout, separator: str | None = None
) -> Chunk:
    """Split whole lines into fields and check them.

    Args:
        text: The lines.
        lines: Number of the first one, or of each.
        layout: The columns.
        separator: What stands between them, if not the table's delimiter.
    """
    separator = separator or layout.delimiter
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if isinstance(lines, int):
        lines = np.arange(lines, lines + len(ends))
    ends = ends - ((ends > starts) & (data[ends - 1] == RETURN))
    marks = np.flatnonzero(data == ord(separator))
    first_mark = np.searchsorted(marks, starts)
    mark_count = np.searchsorted(marks, ends) - first_mark
    needed = max(column for column in layout.columns if column is not None)
    expected = layout.expected
    wrong = mark_count < needed if expected is None else mark_count != expected - 1
    blank = ends == starts
    wrong |= blank & (expected != 1)
    reasons: dict[int, tuple[str, str]] = {}
    for row in np.flatnonzero(wrong & ~(blank & layout.skips_blank_lines)).tolist():
        reasons[row] = _wrong_columns(layout, needed, 0 if blank[row] else mark_count[row] + 1)
    good = np.flatnonzero(~wrong)

    def field_of(column: int) -> tuple[Positions, Positions]:
        at = first_mark[good] + column
        begin = starts[good] if column == 0 else marks[at - 1] + 1
        last = column == mark_count[good]
        end = np.where(last, ends[good], marks[np.minimum(at, len(marks) - 1)] if len(marks) else 0)
        return begin, end

    begin, end = field_of(layout.sequence)
    for row in np.flatnonzero(end - begin > MAX_SEQUENCE_LENGTH).tolist():
        reasons[int(good[row])] = (
            "length",
            f"the sequence has {end[row] - begin[row]} letters; at most {MAX_SEQUENCE_LENGTH} "
            "are read",
        )
    known = np.frombuffer(text.translate(_TOKENS), np.uint8)
    tokens, lengths = _gather(known, begin, np.minimum(end, begin + MAX_SEQUENCE_LENGTH))
    for row in np.flatnonzero(lengths == 0).tolist():
        reasons[int(good[row])] = ("empty", "the sequence is empty")
    for row, at in _strange(tokens, lengths):
        letter = bytes(data[begin[row] + at : begin[row] + at + 1]).decode("latin-1")
        reasons[int(good[row])] = (
            "letter",
            f"letter {letter!r} at position {at + 1} of the sequence is not A, C, G, T or N",
        )
    values = np.empty((len(good), len(layout.targets)))
    for number, column in enumerate(layout.targets):
        values[:, number], problems = _values(data, *field_of(column), len(layout.targets) > 1)
        for row, problem in problems:
            reasons.setdefault(int(good[row]), ("number", problem))
    if len(layout.targets) > 1:
        for row in np.flatnonzero(np.isnan(values).all(axis=1)).tolist():
            reasons.setdefault(int(good[row]), ("number", "all of its values are missing"))
    numbers = {}
    for name, place in (("weight", layout.weight), ("error", layout.error)):
        if place is not None:
            numbers[name], problems = _values(data, *field_of(place), False)
            problems += [
                (row, f"the {name} {numbers[name][row]:g} is negative")
                for row in np.flatnonzero(numbers[name] < 0).tolist()
            ]
            for row, problem in problems:
                reasons.setdefault(int(good[row]), ("number", problem))
    kept = np.array([row not in reasons for row in good.tolist()], bool) if reasons else slice(None)
    bad = []
    for number, (reason, detail) in sorted(reasons.items()):
        cells = text[starts[number] : ends[number]].decode("utf-8", "replace").split(separator)
        column = layout.sequence if layout.id is None else layout.id
        name = cells[column].strip() if column < len(cells) else ""
        line = layout.delimiter.join(cells)
        bad.append(BadRow(int(lines[number]), reason, detail, line, name))

    def texts_of(column: int | None) -> list[str] | None:
        if column is None:
            return None
        spans = (span[kept].tolist() for span in field_of(column))
        return [text[i:j].decode("utf-8", "replace").strip() for i, j in zip(*spans, strict=True)]

    return Chunk(
        tokens[kept],
        lengths[kept].astype(np.int32),
        values[kept],
        lines[good[kept]],
        bad,
        texts_of(layout.id),
        texts_of(layout.split),
        *(numbers[name][kept] if name in numbers else None for name in ("weight", "error")),
    )


def _wrong_columns(layout: Layout, needed: int, found: int) -> tuple[str, str]:
    """Return why a row with another number of columns is bad."""
    if not found and needed == 0 and layout.expected in (None, 1):
        return "empty", "the sequence is empty"
    wanted = f"at least {needed + 1}" if layout.expected is None else str(layout.expected)
    kind = DELIMITERS[layout.delimiter]
    return "columns", f"expected {wanted} {kind}-separated columns, found {found}"


def _strange(tokens: Tokens, lengths: Positions) -> list[tuple[int, int]]:
    """List the rows with a letter that is none, and its place in the sequence, from 0."""
    strange = tokens == alphabet.INVALID
    if lengths.min(initial=tokens.shape[1]) < tokens.shape[1]:
        strange &= np.arange(tokens.shape[1]) < lengths[:, None]
    if not strange.any():
        return []
    rows = np.flatnonzero(strange.any(axis=1))
    return list(zip(rows.tolist(), strange[rows].argmax(axis=1).tolist(), strict=True))


def _values(
    data: Bytes, begin: Positions, end: Positions, may_be_missing: bool
) -> tuple[npt.NDArray[np.float64], list[tuple[int, str]]]:
    """Read one column of values, (rows,); also what is wrong with which rows."""
    texts, widths = _gather(data, begin, np.minimum(end, begin + LONGEST_NUMBER))
    values = np.where(end - begin > LONGEST_NUMBER, np.nan, _numbers(texts, widths))
    # Also refuses what is too large for the float32 that networks are trained in.
    unusable = ~(np.abs(values) <= np.finfo(np.float32).max)
    if may_be_missing and unusable.any():
        unusable &= ~_is_missing(texts, widths)
    problems = []
    for row in np.flatnonzero(unusable).tolist():
        given = bytes(texts[row, : widths[row]]).decode("utf-8", "replace")
        decimal = DECIMAL_COMMA.fullmatch(given.strip())
        why = "has a decimal comma; numbers have a point" if decimal else "is not a finite number"
        problems.append((row, f"{given!r} {why}"))
    return values, problems


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
        values = fields.astype(np.float64)
    except ValueError:
        return np.array([to_float(text.decode("latin-1")) for text in fields])
    values[(texts == UNDERSCORE).any(axis=1)] = np.nan  # numpy reads 1_5 as 15
    return values


def _is_missing(texts: Bytes, widths: Positions) -> npt.NDArray[np.bool_]:
    """Return which fields stand for a value that was not measured, (fields,)."""
    fields = [bytes(text[:width]) for text, width in zip(texts, widths, strict=True)]
    return np.array([field.strip().lower() in MISSING for field in fields], bool)
