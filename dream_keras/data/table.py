"""Tables of sequences and measured values: text files in, uint8 tokens and floats out.

The official format has two tab-separated columns without a header, sequence and expression; other
tables have a header and their columns are named. Plain or gzipped text, any case, Unix or Windows
line ends, with or without a UTF-8 byte-order mark. Whole blocks of text are handled at a time.
"""

import gzip
import io
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Lengths, Processor
from dream_keras.errors import UserError, unknown

BLOCK = 8 << 20
"""Bytes of text handled at a time: enough to be fast, small beside the rows themselves."""
TAB, NEWLINE, RETURN, ZERO = 9, 10, 13, 0
LONGEST_NUMBER = 64

log = logging.getLogger(__name__)

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """Which columns hold what: header names, or positions in a table without a header.

    Attributes:
        sequence: Name, or position counted from 0.
        targets: Names or positions of the measured values; none when only sequences are read.
        exactly: How many columns a row must have; None takes any number that reaches far enough.
    """

    sequence: str | int = 0
    targets: tuple[str | int, ...] = (1,)
    exactly: int | None = 2

    @property
    def named(self) -> bool:
        """Whether the table has a header."""
        return any(isinstance(column, str) for column in (self.sequence, *self.targets))


OFFICIAL = Columns()


def named_columns(sequence: str | None, *targets: str | None) -> Columns:
    """Return the columns for header names, or the official format when none is given.

    Raises:
        UserError: If only some of the names are given.
    """
    given = [target for target in targets if target is not None]
    if sequence is None and not given:
        return OFFICIAL
    if sequence is None or len(given) != len(targets):
        raise UserError(
            "a table with a header needs both --sequence-column and --target-column; "
            "a table without one needs neither"
        )
    return Columns(sequence, tuple(given), None)


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        line: Line in the file, counted from 1.
        reason: Short name of what is wrong: columns, empty, letter, number or length.
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
        values: (rows, targets), float64.
        lines: (rows,), the line of each row, counted from 1.
        bad: Rows that were left out, in order.
    """

    tokens: Tokens
    lengths: Lengths
    values: npt.NDArray[np.float64]
    lines: Positions
    bad: list[BadRow] = field(default_factory=list)


@dataclass(frozen=True)
class Rows:
    """A table ready for training.

    Attributes:
        tokens: (rows, length), as the processor encodes them.
        values: (rows,) float32, or (rows, targets).
        skipped: Rows that were left out.
    """

    tokens: Tokens
    values: npt.NDArray[np.float32]
    skipped: tuple[BadRow, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: Positions) -> "Rows":
        """Return some of the rows."""
        return Rows(self.tokens[rows], self.values[rows])


def read_chunks(path: str | Path, columns: Columns = OFFICIAL) -> Iterator[Chunk]:
    """Read a table block by block; ``-`` reads standard input.

    Yields:
        Chunks with the good rows and a list of the bad ones; it is the caller's to refuse those.

    Raises:
        UserError: If the file is missing, empty, a folder, not text, or lacks a named column.
    """
    with open_text(path) as file:
        first_line, positions, expected = 1, columns, columns.exactly
        if columns.named:
            header = file.readline().rstrip(b"\r\n")
            positions, expected = _find_columns(path, header, columns)
            first_line = 2
        left = b""
        while True:
            block = file.read(BLOCK)
            text = left + block
            if not block:
                text = text.rstrip(b"\r\n") + b"\n" if text.strip(b"\r\n") else b""
            end = text.rfind(b"\n") + 1
            left = text[end:]
            if end:
                if b"\0" in text[:end]:
                    raise UserError(f"{path}: not a text file (it holds zero bytes)")
                chunk = _parse(text[:end], first_line, positions, expected)
                first_line += text.count(b"\n", 0, end)
                yield chunk
            if not block:
                return


def load_rows(
    path: str | Path,
    processor: Processor,
    columns: Columns = OFFICIAL,
    on_bad_row: str = "fail",
    long_rows: str = "fail",
    max_rows: int | None = None,
) -> Rows:
    """Read a table and encode it for a processor.

    Args:
        path: The file.
        processor: Says how long a sequence may be, and encodes it.
        columns: Where sequence and values stand.
        on_bad_row: ``"fail"`` stops at the first bad row, ``"skip"`` leaves bad rows out.
        long_rows: ``"fail"``, ``"drop"`` or ``"crop"`` sequences too long for the processor.
        max_rows: Stop after this many good rows.

    Raises:
        UserError: For a bad row (file, line, value and remedy), for sequences that are too long
            (how many), or when no row is left.
    """
    tokens: list[Tokens] = []
    values: list[npt.NDArray[np.float32]] = []
    skipped: list[BadRow] = []
    rows = too_long = longest = 0
    for chunk in read_chunks(path, columns):
        if chunk.bad and on_bad_row == "fail":
            bad = chunk.bad[0]
            raise UserError(
                f"{path}:{bad.line}: {bad.detail}. Correct the row, or leave bad rows out "
                "with --on-bad-row skip."
            )
        skipped += chunk.bad
        long = chunk.lengths > processor.longest
        too_long += int(long.sum())
        longest = max(longest, int(chunk.lengths.max(initial=0)))
        keep = ~long if long_rows == "drop" else np.ones(len(long), bool)
        if not tokens:
            _warn_of_missing_adapter(path, chunk, processor)
        encoded = processor.encode(chunk.tokens[keep], chunk.lengths[keep])
        tokens.append(encoded)
        values.append(chunk.values[keep].astype(np.float32))
        rows += len(encoded)
        if max_rows is not None and rows >= max_rows:
            break
    if too_long and long_rows == "fail":
        raise UserError(
            f"{path}: {too_long} sequences are longer than the {processor.longest} bp that the "
            f"processor takes (the longest has {longest}). Leave them out with --set "
            "data.long_rows=drop, or shorten them with --set data.long_rows=crop."
        )
    if too_long:
        log.info("%s: %d sequences too long: %s", path, too_long, long_rows)
    if skipped:
        counts = ", ".join(f"{n} {why}" for why, n in Counter(b.reason for b in skipped).items())
        log.warning("%s: left out %d bad rows (%s)", path, len(skipped), counts)
    if not rows:
        raise UserError(f"{path}: no usable row is left of this table")
    all_values = np.concatenate(values)[:max_rows]
    if all_values.shape[1] == 1:
        all_values = all_values[:, 0]
    return Rows(np.concatenate(tokens)[:max_rows], all_values, tuple(skipped))


def tokenize(sequences: Sequence[str], longest: int) -> tuple[Tokens, Lengths]:
    """Turn sequences into tokens, (rows, width), and their lengths in bp, (rows,).

    Raises:
        UserError: If one is empty, holds another letter or is longer than ``longest``.
    """
    text = ("\n".join(sequences) + "\n").encode("utf-8")
    chunk = _parse(text, 1, Columns(0, (), None), None)
    if chunk.bad:
        raise UserError(f"sequence {chunk.bad[0].line}: {chunk.bad[0].detail}")
    if (chunk.lengths > longest).any():
        row = int(chunk.lengths.argmax())
        raise UserError(
            f"sequence {row + 1} has {chunk.lengths[row]} bp; the processor takes {longest}"
        )
    return chunk.tokens, chunk.lengths


def open_text(path: str | Path) -> IO[bytes]:
    """Open a plain or gzipped text file, or standard input, past any byte-order mark.

    Raises:
        UserError: If it is missing, a folder or empty.
    """
    if str(path) == "-":
        raw: Any = sys.stdin.buffer
    elif Path(path).is_dir():
        raise UserError(f"{path} is a folder; give a file")
    else:
        try:
            raw = Path(path).open("rb")
        except FileNotFoundError:
            raise UserError(f"no file {path}") from None
    file: Any = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
    if file.peek(2)[:2] == b"\x1f\x8b":
        file = io.BufferedReader(_CheckedGzip(file, str(path)))  # type: ignore[arg-type]
    start = file.peek(3)[:3]
    if not start:
        raise UserError(f"{path} is empty")
    if start == b"\xef\xbb\xbf":
        file.read(3)
    return file


class _CheckedGzip(gzip.GzipFile):
    """A gzip stream that says which file is damaged."""

    def __init__(self, file: Any, path: str):
        super().__init__(fileobj=file)
        self.path = path

    def readinto(self, buffer: Any) -> int:
        try:
            return super().readinto(buffer)
        except (EOFError, gzip.BadGzipFile, OSError, ValueError) as error:
            raise UserError(f"{self.path}: damaged gzip file ({error})") from None


def _find_columns(path: str | Path, header: bytes, columns: Columns) -> tuple[Columns, int]:
    """Turn header names into positions."""
    names = header.decode("utf-8", "replace").split("\t")

    def position(column: str | int) -> int:
        if isinstance(column, int):
            return column
        if column not in names:
            raise unknown(f"column of {path}", column, names)
        return names.index(column)

    found = Columns(position(columns.sequence), tuple(map(position, columns.targets)), len(names))
    return found, len(names)


def _parse(text: bytes, first_line: int, columns: Columns, expected: int | None) -> Chunk:
    """Split whole lines into fields and check them."""
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    ends = ends - ((ends > starts) & (data[ends - 1] == RETURN))
    tabs = np.flatnonzero(data == TAB)
    first_tab = np.searchsorted(tabs, starts)
    tab_count = np.searchsorted(tabs, ends) - first_tab
    needed = max((columns.sequence, *columns.targets), default=0)  # type: ignore[type-var]
    wrong = tab_count < needed if expected is None else tab_count != expected - 1  # type: ignore[operator]
    blank = ends == starts
    wrong |= blank & (expected != 1)
    reasons: dict[int, tuple[str, str]] = {}
    for row in np.flatnonzero(wrong):
        reasons[int(row)] = (
            "columns",
            f"expected {expected or f'at least {needed + 1}'} tab-separated columns, "  # type: ignore[operator]
            f"found {0 if blank[row] else tab_count[row] + 1}",
        )
    good = np.flatnonzero(~wrong)

    def field_of(column: Any) -> tuple[Positions, Positions]:
        at = first_tab[good] + column
        begin = starts[good] if column == 0 else tabs[at - 1] + 1
        last = column == tab_count[good]
        end = np.where(last, ends[good], tabs[np.minimum(at, len(tabs) - 1)] if len(tabs) else 0)
        return begin, end

    begin, end = field_of(columns.sequence)
    letters, lengths = _gather(data, begin, end)
    tokens = alphabet.TOKEN_OF_BYTE[letters]
    inside = np.arange(tokens.shape[1]) < lengths[:, None]
    strange = (tokens == alphabet.INVALID) & inside
    for row in np.flatnonzero(lengths == 0):
        reasons[int(good[row])] = ("empty", "the sequence is empty")
    for row in np.flatnonzero(strange.any(axis=1)):
        at = int(strange[row].argmax())
        letter = bytes(letters[row, at : at + 1]).decode("latin-1")
        reasons[int(good[row])] = (
            "letter",
            f"letter {letter!r} at position {at + 1} of the sequence is not A, C, G, T or N",
        )
    values = np.empty((len(good), len(columns.targets)))
    for number, column in enumerate(columns.targets):
        texts, widths = _gather(data, *field_of(column))
        values[:, number] = _numbers(texts, widths)
        for row in np.flatnonzero(~np.isfinite(values[:, number])):
            given = bytes(texts[row, : widths[row]]).decode("utf-8", "replace")
            hint = _header_hint(given, first_line + int(good[row]))
            reasons.setdefault(
                int(good[row]), ("number", f"{given!r} is not a finite number{hint}")
            )
    kept = np.array([row not in reasons for row in good.tolist()], bool) if reasons else slice(None)
    bad = []
    for row, (reason, detail) in sorted(reasons.items()):
        line = text[starts[row] : ends[row]].decode("utf-8", "replace")
        bad.append(BadRow(first_line + row, reason, detail, line))
    lines = good[kept] + first_line
    return Chunk(tokens[kept], lengths[kept].astype(np.int32), values[kept], lines, bad)


def _header_hint(given: str, line: int) -> str:
    if line != 1 or not any(letter.isalpha() for letter in given):
        return ""
    return (
        " (a table with a header needs --sequence-column and --target-column, or "
        "data.sequence_column and data.target_column in its config)"
    )


def _gather(data: Bytes, begin: Positions, end: Positions) -> tuple[Bytes, Positions]:
    """Copy fields of text into the rows of one array, (fields, longest); returns their lengths."""
    lengths = end - begin
    width = max(int(lengths.max(initial=0)), 1)
    padded = np.concatenate([data, np.zeros(width, np.uint8)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    return windows[begin], lengths


def _numbers(texts: Bytes, widths: Positions) -> npt.NDArray[np.float64]:
    """Read numbers; what is none becomes NaN. Modifies ``texts``."""
    texts = texts[:, :LONGEST_NUMBER].copy()
    texts[np.arange(texts.shape[1]) >= widths[:, None]] = ZERO
    fields = np.ascontiguousarray(texts).view(f"S{texts.shape[1]}")[:, 0]
    try:
        return fields.astype(np.float64)
    except ValueError:
        return np.array([_number(text) for text in fields])


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _warn_of_missing_adapter(path: str | Path, chunk: Chunk, processor: Processor) -> None:
    """Warn when most sequences do not start with the adapter that a processor cuts off."""
    adapter = processor.left_adapter
    starts = chunk.tokens[:, : len(adapter)]
    if starts.shape[1] < len(adapter) or np.mean((starts == adapter).all(axis=1)) < 0.5:
        log.warning(
            "%s: most sequences do not start with the left adapter %s, which the processor cuts "
            "off. Are these inserts without their adapters?",
            path,
            alphabet.decode(adapter),
        )
