"""Tables of sequences and measured values: text files in, uint8 tokens and floats out.

Columns are separated by tabs, commas or semicolons; a header names them, or there are exactly two,
sequence and value, as in the official format. Whole blocks of text are handled at a time; from the
first quoted field on, rows are split one by one.
"""

import dataclasses
import inspect
import io
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Literal, Self

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.adapters import ProcessorAdapters
from dream_keras.data.alphabet import Tokens
from dream_keras.data.columns import OFFICIAL, Columns, Form, recognise, why_all_bad
from dream_keras.data.delimited import records
from dream_keras.data.parse import (
    BadRow,
    Chunk,
    Layout,
    Positions,
    parse_block,
    parse_records,
)
from dream_keras.data.processor import Flags, Labels, Lengths, Processor
from dream_keras.data.split import Part, Split
from dream_keras.data.text import open_text, skip_leading

BLOCK = 8 << 20
"""Bytes of text handled at a time: enough to be fast, small beside the rows themselves."""
HEAD = 64 << 10
"""Bytes from which a table's columns are recognised."""
RECORDS = 50_000
"""Rows with quoted fields handled at a time."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadSettings:
    """How a table is read for training or prediction.

    Attributes:
        columns: Where sequence and values stand.
        on_bad_row: ``"fail"`` stops at the first bad row, ``"skip"`` leaves bad rows out;
            ``"nan"``, in prediction only, gives them NaN.
        long_rows: ``"fail"``, ``"drop"`` or ``"crop"`` sequences too long for the processor.
        max_rows: Stop after this many good rows.
        max_length: Longest sequence in bp, if that is less than what the processor takes.
        adapters: As ``ProcessorAdapters.setting``.
        split: Which rows belong to which part of the table; None reads all.
        part: The part that is read.
        max_error: Leave out rows with a larger standard error.
    """

    columns: Columns = OFFICIAL
    on_bad_row: Literal["fail", "skip", "nan"] = "fail"
    long_rows: Literal["fail", "drop", "crop"] = "fail"
    max_rows: int | None = None
    max_length: int | None = None
    adapters: str | None = None
    split: Split | None = None
    part: Part = "train"
    max_error: float | None = None


DEFAULTS = ReadSettings()
Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Rows:
    """A table ready for training.

    Attributes:
        tokens: (rows, length), as the processor encodes them.
        labels: (rows, tasks); NaN where one is missing.
        flags: (rows,), as the processor defines them.
        weights: (rows,), of the rows in the loss.
        skipped: Rows that were left out.
        errors: (rows,), standard errors of the labels, if the table has some.
    """

    tokens: Tokens
    labels: Labels
    flags: Flags
    weights: Weights
    skipped: tuple[BadRow, ...] = ()
    errors: Weights | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def contents(self) -> list[npt.NDArray]:
        """What a checksum of the rows is computed on."""
        # Weights that are all 1 add nothing: tables without any keep their checksum.
        weights = [self.weights] if (self.weights != 1).any() else []
        return [self.tokens, self.labels, *weights]

    @property
    def statistics_labels(self) -> Labels:
        """Labels that statistics are taken from, (rows, tasks)."""
        return self.labels

    def take(self, rows: Positions) -> "Rows":
        """Return some of the rows."""
        return Rows(self.tokens[rows], self.labels[rows], self.flags[rows], self.weights[rows])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return some rows one after the other."""
        return cls(
            np.concatenate([part.tokens for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.flags for part in parts]),
            np.concatenate([part.weights for part in parts]),
            tuple(row for part in parts for row in part.skipped),
            None
            if any(part.errors is None for part in parts)
            else np.concatenate([part.errors for part in parts if part.errors is not None]),
        )

    def weighted_by_errors(self, floor: float | None) -> "Rows":
        """Return the rows with weights * 1 / (error^2 + floor^2), scaled to a mean of 1.

        Args:
            floor: What the errors do not say of the values' spread, in their units; None takes
                the median error.
        """
        weights = self.weights.astype(np.float64)
        if self.errors is not None:
            errors = self.errors.astype(np.float64)
            least = np.median(errors) if floor is None else floor
            weights = weights / np.maximum(errors**2 + least**2, np.finfo(np.float32).tiny)
        if (weights == weights[0]).all():
            weights = np.ones_like(weights)
        weights = (weights / weights.mean()).astype(np.float32)
        return dataclasses.replace(self, weights=weights, errors=None)


def open_table(
    path: str | Path,
    columns: Columns = OFFICIAL,
    file: IO[bytes] | None = None,
    skipped: int = 0,
) -> tuple[Form, Iterator[Chunk]]:
    """Open a table and recognise its columns; ``-`` reads standard input.

    Args:
        path: The file.
        columns: What is known of its columns.
        file: The file, when it is open already.
        skipped: Lines of it that have been read.

    Returns:
        Its form, and its rows as ``read_chunks`` yields them.

    Raises:
        UserError: If the file is missing, empty, a folder or not text, or its columns are not
            found.
    """
    file = file or open_text(path)
    try:
        first_line = 1 + skipped + skip_leading(file)
        head = file.read(HEAD) + file.readline()
        form = recognise(path, first_line, head, columns)
    except BaseException:
        file.close()
        raise
    if form.has_header:
        head = head.partition(b"\n")[2]
        first_line += 1
    return form, _chunks(path, file, head, first_line, form.layout)


def read_chunks(path: str | Path, columns: Columns = OFFICIAL) -> Iterator[Chunk]:
    """Read a table block by block.

    Yields:
        Chunks with the good rows and a list of the bad ones; it is the caller's to refuse those.

    Raises:
        UserError: What ``open_table`` raises, or quotes are malformed.
    """
    yield from open_table(path, columns)[1]


def _chunks(
    path: str | Path, file: IO[bytes], left: bytes, line: int, layout: Layout
) -> Iterator[Chunk]:
    """Yield the rows of a table; ``left`` is what has been read, ``line`` its number."""
    with file:
        while True:
            block = file.read(BLOCK)
            text = left + block
            if b"\0" in text:
                raise UserError(f"{path}: not a text file (it holds zero bytes)")
            if b'"' in text:
                yield from _quoted_chunks(path, file, text + file.readline(), line, layout)
                return
            if not block and text.strip(b"\r\n"):
                text += b"\n"
            # Blank lines wait for what follows: at the end of the file they are no rows.
            solid = len(text[: text.rfind(b"\n") + 1].rstrip(b"\r\n"))
            end = text.index(b"\n", solid) + 1 if solid else 0
            left = text[end:]
            if end:
                yield parse_block(text[:end], line, layout)
                line += text.count(b"\n", 0, end)
            if not block:
                return


def _quoted_chunks(
    path: str | Path, file: IO[bytes], text: bytes, line: int, layout: Layout
) -> Iterator[Chunk]:
    """Yield the rows of what is left of a table, which has quoted fields."""
    lines = (each.decode("latin-1") for each in chain(io.BytesIO(text), file))
    rows = records(path, lines, layout.delimiter, line)
    blank: list[tuple[int, list[str]]] = []
    while block := [*blank, *islice(rows, RECORDS)]:
        solid = next((n for n in range(len(block), 0, -1) if block[n - 1][1]), 0)
        if len(block) == len(blank):  # the end of the file
            return
        block, blank = block[:solid], block[solid:]
        if block:
            yield parse_records(block, layout)


@dataclass(frozen=True)
class AdaptedChunk:
    """Some rows of a table as a processor gets them, before they are encoded.

    Attributes:
        chunk: The rows of the part that is read, as they stand in the table.
        tokens: (rows, width), with the adapters that are put on.
        lengths: (rows,), in bp, likewise.
        short: Rows that are too short for the processor.
        bad: These and the chunk's bad rows, in order.
    """

    chunk: Chunk
    tokens: Tokens
    lengths: Lengths
    short: list[BadRow]
    bad: list[BadRow]

    @property
    def none_usable(self) -> bool:
        """Whether there are bad rows and no others."""
        return bool(self.bad) and len(self.short) == len(self.lengths)


def adapted_chunks(
    path: str | Path,
    chunks: Iterable[Chunk],
    adapters: ProcessorAdapters,
    settings: ReadSettings,
    seen: set[str],
) -> Iterator[AdaptedChunk]:
    """Choose a part of a table, put adapters on, and find the rows that are too short.

    Args:
        path: The table, for messages.
        chunks: Its rows.
        adapters: What is done about the sequences' ends.
        settings: The part that is read.
        seen: What the split column holds is added to it.

    Raises:
        UserError: If a row belongs to no part, or most sequences lack their adapters.
    """
    for chunk in chunks:
        if settings.split is not None:
            chunk = rows_of_part(path, chunk, settings.split, settings.part, seen)
        adapters.check(path, chunk.tokens)
        tokens, lengths = adapters.put_on(chunk.tokens, chunk.lengths)
        short = too_short(chunk, lengths, adapters.processor)
        bad = sorted([*chunk.bad, *short], key=lambda row: row.line)
        yield AdaptedChunk(chunk, tokens, lengths, short, bad)


def read_rows(
    path: str | Path,
    processor: Processor,
    settings: ReadSettings = DEFAULTS,
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
            (how many) or lack their adapters, or when no row is left.
    """
    reasons: Counter[str] = Counter()
    rows = too_long = longest_row = 0
    max_rows, long_rows = settings.max_rows, settings.long_rows
    takes = min(processor.max_length, settings.max_length or processor.max_length)
    adapters = ProcessorAdapters(processor, settings.adapters)
    form, chunks = open_table(path, settings.columns)
    if processor.reverse_mark and form.layout.id is None:
        raise UserError(
            f"{path}: the processor reads the strand of a row off its name. Name the column of the "
            "rows' names with --id-column, or set model.processor.reverse to rows or none."
        )
    unusable: UserError | None = None
    seen: set[str] = set()
    for part in adapted_chunks(path, chunks, adapters, settings, seen):
        chunk, tokens, lengths, bad = part.chunk, part.tokens, part.lengths, part.bad
        if not rows and part.none_usable:
            unusable = unusable or why_all_bad(path, form, bad)
        if bad and settings.on_bad_row == "fail":
            raise unusable or UserError(
                f"{path}:{bad[0].line}: {bad[0].detail}. Correct the row, or leave bad rows out "
                "with --on-bad-row skip."
            )
        reasons.update(row.reason for row in bad)
        long = lengths > takes
        too_long += int(long.sum())
        longest_row = max(longest_row, int(lengths.max(initial=0)))
        keep = ~long if long_rows == "drop" else np.ones(len(long), bool)
        keep &= ~np.isin(chunk.lines, [row.line for row in part.short])
        if settings.max_error is not None and chunk.errors is not None:
            keep &= chunk.errors <= settings.max_error
        kept = np.flatnonzero(keep)[: None if max_rows is None else max_rows - rows]
        visit(tokens[kept], lengths[kept])
        encoded = processor.encode(tokens[kept], lengths[kept])
        values = chunk.values[kept]
        flags = processor.row_flags(values)
        if chunk.names is not None:
            flags = flags | processor.name_flags([chunk.names[row] for row in kept])
        weights = np.ones(len(kept)) if chunk.weights is None else chunk.weights[kept]
        errors = None if chunk.errors is None else chunk.errors[kept].astype(np.float32)
        labels = values.astype(np.float32)
        yield Rows(encoded, labels, flags, weights.astype(np.float32), tuple(bad), errors)
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
    if not rows:
        if settings.split is not None:
            raise settings.split.no_rows(path, settings.part, seen)
        raise unusable or UserError(f"{path}: no usable row is left of this table")
    if reasons:
        counts = ", ".join(f"{n} {why}" for why, n in reasons.items())
        log.warning("%s: left out %d bad rows (%s)", path, reasons.total(), counts)


def rows_of_part(path: str | Path, chunk: Chunk, split: Split, part: Part, seen: set[str]) -> Chunk:
    """Return the rows of one part of a table; bad rows are reported with those to train on.

    Args:
        path: The table, for messages.
        chunk: Rows of all parts.
        split: The parts.
        part: The part that is wanted.
        seen: What the column holds is added to it.

    Raises:
        UserError: If a row belongs to no part.
    """
    texts = chunk.parts or []
    seen.update(texts)
    parts = [split.part_of(text) for text in texts]
    if None in parts:
        row = parts.index(None)
        raise split.unknown(path, int(chunk.lines[row]), texts[row])
    kept = np.array([each == part for each in parts], bool)
    names = chunk.names and [name for name, keep in zip(chunk.names, kept, strict=True) if keep]
    return Chunk(
        chunk.tokens[kept],
        chunk.lengths[kept],
        chunk.values[kept],
        chunk.lines[kept],
        chunk.bad if part == "train" else [],
        names,
        weights=None if chunk.weights is None else chunk.weights[kept],
        errors=None if chunk.errors is None else chunk.errors[kept],
    )


def _whole(processor: Processor, length: int) -> str:
    """Return how a processor takes sequences of some length whole, if an option says so."""
    option = processor.length_option
    if option not in inspect.signature(type(processor)).parameters:
        return ""
    return f"Take them whole with --set model.processor.{option}={length}. "


def load_rows(
    path: str | Path,
    processor: Processor,
    settings: ReadSettings = DEFAULTS,
    visit: Callable[[Tokens, Lengths], None] = lambda tokens, lengths: None,
) -> Rows:
    """Read a table as ``read_rows`` does, with its arguments and errors, into memory."""
    return Rows.joined(list(read_rows(path, processor, settings, visit)))


def too_short(chunk: Chunk, lengths: Lengths, processor: Processor) -> list[BadRow]:
    """List the rows of a chunk that are too short for a processor.

    Args:
        chunk: The rows.
        lengths: Their lengths with the adapters that were put on, (rows,), in bp.
        processor: The processor.
    """
    shortest = processor.min_length
    found = []
    for row in np.flatnonzero(lengths < shortest).tolist():
        text = alphabet.decode(chunk.tokens[row, : chunk.lengths[row]])
        detail = (
            f"the sequence has {lengths[row]} bp; the processor takes {shortest} or more, "
            "adapters included"
        )
        name = text if chunk.names is None else chunk.names[row]
        found.append(BadRow(int(chunk.lines[row]), "short", detail, text, name))
    return found


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
