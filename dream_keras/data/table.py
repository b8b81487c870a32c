"""Tables of sequences and measured values: text files in, uint8 tokens and floats out.

The official format has two tab-separated columns without a header, sequence and expression; other
tables have a header and their columns are named. Plain or gzipped text, any case, Unix or Windows
line ends, with or without a UTF-8 byte-order mark. Whole blocks of text are handled at a time.
"""

import gzip
import inspect
import io
import logging
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from dream_keras.common.errors import UserError, short_list, unknown
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.parse import BadRow, Chunk, Layout, Positions, parse_block
from dream_keras.data.processor import Flags, Labels, Lengths, Processor

BLOCK = 8 << 20
"""Bytes of text handled at a time: enough to be fast, small beside the rows themselves."""
log = logging.getLogger(__name__)


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


def named_columns(sequence: str | None, targets: Sequence[str] | None) -> Columns:
    """Return the columns for header names, or the official format when none is given.

    Raises:
        UserError: If only one of them is given.
    """
    if sequence is None and not targets:
        return OFFICIAL
    if sequence is None or not targets:
        raise UserError(
            "a table with a header needs both --sequence-column and --target-column; "
            "a table without one needs neither"
        )
    return Columns(sequence, tuple(targets), None)


@dataclass(frozen=True)
class ReadSettings:
    """How a table is read for training.

    Attributes:
        columns: Where sequence and values stand.
        on_bad_row: ``"fail"`` stops at the first bad row, ``"skip"`` leaves bad rows out.
        long_rows: ``"fail"``, ``"drop"`` or ``"crop"`` sequences too long for the processor.
        max_rows: Stop after this many good rows.
        max_length: Longest sequence in bp, if that is less than what the processor takes.
    """

    columns: Columns = OFFICIAL
    on_bad_row: Literal["fail", "skip"] = "fail"
    long_rows: Literal["fail", "drop", "crop"] = "fail"
    max_rows: int | None = None
    max_length: int | None = None


@dataclass(frozen=True)
class Rows:
    """A table ready for training.

    Attributes:
        tokens: (rows, length), as the processor encodes them.
        labels: (rows, tasks); NaN where one is missing.
        flags: (rows,), as the processor defines them.
        skipped: Rows that were left out.
    """

    tokens: Tokens
    labels: Labels
    flags: Flags
    skipped: tuple[BadRow, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: Positions) -> "Rows":
        """Return some of the rows."""
        return Rows(self.tokens[rows], self.labels[rows], self.flags[rows])

    @classmethod
    def joined(cls, parts: "Sequence[Rows]") -> "Rows":
        """Return some rows one after the other."""
        return cls(
            np.concatenate([part.tokens for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.flags for part in parts]),
            tuple(row for part in parts for row in part.skipped),
        )


def read_chunks(
    path: str | Path,
    columns: Columns = OFFICIAL,
    file: IO[bytes] | None = None,
    skipped: int = 0,
) -> Iterator[Chunk]:
    """Read a table block by block; ``-`` reads standard input.

    Args:
        path: The file.
        columns: Where sequence and values stand.
        file: The file, when it is open already.
        skipped: Lines of it that have been read.

    Yields:
        Chunks with the good rows and a list of the bad ones; it is the caller's to refuse those.

    Raises:
        UserError: If the file is missing, empty, a folder, not text, or lacks a named column.
    """
    with file or open_text(path) as file:
        first_line = 1 + skipped + skip_leading(file)
        header = file.readline().rstrip(b"\r\n") if columns.named else None
        layout = _layout(path, columns, header)
        first_line += header is not None
        may_be_header = first_line if header is None and columns.targets else 0
        left = b""
        while True:
            block = file.read(BLOCK)
            text = left + block
            if not block and text.strip(b"\r\n"):
                text += b"\n"
            # Blank lines wait for what follows: at the end of the file they are no rows.
            solid = len(text[: text.rfind(b"\n") + 1].rstrip(b"\r\n"))
            end = text.index(b"\n", solid) + 1 if solid else 0
            left = text[end:]
            if end:
                if b"\0" in text[:end]:
                    raise UserError(f"{path}: not a text file (it holds zero bytes)")
                chunk = parse_block(text[:end], first_line, layout)
                if chunk.bad and chunk.bad[0].line == may_be_header:
                    _refuse_header(path, chunk.bad[0], layout)
                first_line += text.count(b"\n", 0, end)
                yield chunk
            if not block:
                return


def read_rows(
    path: str | Path,
    processor: Processor,
    settings: ReadSettings = ReadSettings(),  # frozen
    visit: Callable[[Tokens, Lengths], None] = lambda tokens, lengths: None,
) -> Iterator[Rows]:
    """Read a table and encode it for a processor, a piece at a time.

    Args:
        path: The file.
        processor: Says how long a sequence may be, and encodes it.
        settings: How.
        visit: Called with the rows that are kept, block by block, before they are encoded.

    Yields:
        Rows, none where a piece of the table has no good ones.

    Raises:
        UserError: For a bad row (file, line, value and remedy), for sequences that are too long
            (how many), or when no row is left.
    """
    reasons: Counter[str] = Counter()
    rows = too_long = longest_row = 0
    max_rows, long_rows = settings.max_rows, settings.long_rows
    takes = min(processor.max_length, settings.max_length or processor.max_length)
    for number, chunk in enumerate(read_chunks(path, settings.columns)):
        short = too_short(chunk, processor)
        chunk.bad = sorted([*chunk.bad, *short], key=lambda row: row.line)
        if chunk.bad and settings.on_bad_row == "fail":
            bad = chunk.bad[0]
            raise UserError(
                f"{path}:{bad.line}: {bad.detail}. Correct the row, or leave bad rows out "
                "with --on-bad-row skip."
            )
        reasons.update(row.reason for row in chunk.bad)
        long = chunk.lengths > takes
        too_long += int(long.sum())
        longest_row = max(longest_row, int(chunk.lengths.max(initial=0)))
        keep = ~long if long_rows == "drop" else np.ones(len(long), bool)
        keep &= ~np.isin(chunk.lines, [row.line for row in short])
        kept = np.flatnonzero(keep)[: None if max_rows is None else max_rows - rows]
        if number == 0:
            warn_of_missing_adapter(path, chunk.tokens, processor)
        visit(chunk.tokens[kept], chunk.lengths[kept])
        encoded = processor.encode(chunk.tokens[kept], chunk.lengths[kept])
        values = chunk.values[kept]
        flags = processor.row_flags(values)
        yield Rows(encoded, values.astype(np.float32), flags, tuple(chunk.bad))
        rows += len(encoded)
        if max_rows is not None and rows >= max_rows:
            break
    if too_long and long_rows == "fail":
        raise UserError(
            f"{path}: {too_long} sequences are longer than the {takes} bp that the "
            f"processor takes (the longest has {longest_row}). {_whole(processor, longest_row)}"
            "Leave them out with --set data.long_rows=drop, or shorten them with --set "
            "data.long_rows=crop."
        )
    if too_long:
        log.info("%s: %d sequences too long: %s", path, too_long, long_rows)
    if reasons:
        counts = ", ".join(f"{n} {why}" for why, n in reasons.items())
        log.warning("%s: left out %d bad rows (%s)", path, reasons.total(), counts)
    if not rows:
        raise UserError(f"{path}: no usable row is left of this table")


def _whole(processor: Processor, length: int) -> str:
    """Return how a processor takes sequences of some length whole, if an option says so."""
    option = processor.length_option
    if option not in inspect.signature(type(processor)).parameters:
        return ""
    return f"Take them whole with --set model.processor.{option}={length}. "


def _refuse_header(path: str | Path, row: BadRow, layout: Layout) -> None:
    """Refuse a table whose first line is bad because it names the columns.

    Raises:
        UserError: Says how the columns are named.
    """
    cells = row.text.split("\t")
    wanted = [cells[column] for column in layout.targets if column < len(cells)]
    if wanted and all(re.match("[A-Za-z_]", cell) for cell in wanted):
        raise UserError(
            f"{path}:{row.line}: this looks like a header ({short_list(cells)}). A table with a "
            "header needs --sequence-column and --target-column, or data.sequence_column and "
            "data.target_columns in its config."
        )


def load_rows(
    path: str | Path,
    processor: Processor,
    settings: ReadSettings = ReadSettings(),  # frozen
    visit: Callable[[Tokens, Lengths], None] = lambda tokens, lengths: None,
) -> Rows:
    """Read a table as ``read_rows`` does, with its arguments and errors, into memory."""
    return Rows.joined(list(read_rows(path, processor, settings, visit)))


def too_short(chunk: Chunk, processor: Processor) -> list[BadRow]:
    """List the rows that are too short for a processor."""
    shortest = processor.min_length
    return [
        BadRow(
            int(chunk.lines[row]),
            "short",
            f"the sequence has {chunk.lengths[row]} bp; the processor takes {shortest} or more, "
            "adapters included",
            alphabet.decode(chunk.tokens[row, : chunk.lengths[row]]),
        )
        for row in np.flatnonzero(chunk.lengths < shortest).tolist()
    ]


def tokenize(sequences: Sequence[str], max_length: int) -> tuple[Tokens, Lengths]:
    """Turn sequences into tokens, (rows, width), and their lengths in bp, (rows,).

    Raises:
        UserError: If one is empty, holds another letter or is longer than ``max_length``.
    """
    chunk = parse_lines(("\n".join(sequences) + "\n").encode("utf-8"))
    if chunk.bad:
        raise UserError(f"sequence {chunk.bad[0].line}: {chunk.bad[0].detail}")
    if (chunk.lengths > max_length).any():
        row = int(chunk.lengths.argmax())
        raise UserError(
            f"sequence {row + 1} has {chunk.lengths[row]} bp; the processor takes {max_length}"
        )
    return chunk.tokens, chunk.lengths


def parse_lines(text: bytes) -> Chunk:
    """Parse text that holds one sequence per line, as a table with no values."""
    return parse_block(text, 1, Layout(0, (), None))


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
            raw = Path(path).open("rb")  # noqa: SIM115  # the caller closes it
        except FileNotFoundError:
            raise UserError(f"no file {path}") from None
    file: Any = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
    if file.peek(2)[:2] == b"\x1f\x8b":
        file = io.BufferedReader(_CheckedGzip(file, str(path)))
    start = file.peek(3)[:3]
    if not start:
        raise UserError(f"{path} is empty")
    if start == b"\xef\xbb\xbf":
        file.read(3)
    begin = file.peek(1)
    if b"\r" in begin[:-1] and b"\n" not in begin:
        file = io.BufferedReader(_OldLineEnds(file))
    return file


def skip_leading(file: IO[bytes], comments: bytes = b"#") -> int:
    """Read past blank lines and comments at the beginning of a file; return how many.

    Args:
        file: A file from ``open_text``.
        comments: What a comment may begin with.
    """
    skipped = 0
    while (first := file.peek(1)[:1]) and first in b"\r\n" + comments:  # type: ignore[attr-defined]
        file.readline()
        skipped += 1
    return skipped


class _OldLineEnds(io.RawIOBase):
    """A file whose lines end with carriage returns alone, with line feeds instead."""

    def __init__(self, file: IO[bytes]):
        super().__init__()
        self.file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.file.read(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(data)] = data
        return len(data)


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


def _layout(path: str | Path, columns: Columns, header: bytes | None) -> Layout:
    """Turn the names among the columns into positions."""
    names = header.decode("utf-8", "replace").split("\t") if header is not None else []

    def position(column: str | int) -> int:
        if isinstance(column, int):
            return column
        if column not in names:
            raise unknown(f"column of {path}", column, names)
        if names.count(column) > 1:
            raise UserError(f'{path} has more than one column "{column}". Rename one.')
        return names.index(column)

    targets = tuple(position(target) for target in columns.targets)
    expected = len(names) if header is not None else columns.exactly
    return Layout(position(columns.sequence), targets, expected)


def warn_of_missing_adapter(path: str | Path, tokens: Tokens, processor: Processor) -> None:
    """Warn when most sequences do not start with the adapter that a processor cuts off."""
    adapter = processor.left_adapter
    starts = tokens[:, : len(adapter)]
    if starts.shape[1] < len(adapter) or np.mean((starts == adapter).all(axis=1)) < 0.5:
        log.warning(
            "%s: most sequences do not start with the left adapter %s, which the processor cuts "
            "off. Are these inserts without their adapters?",
            path,
            alphabet.decode(adapter),
        )
