"""Sequences to predict: text, table columns and FASTA, read block by block."""

import dataclasses
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.adapters import ProcessorAdapters
from dream_keras.data.columns import SEQUENCES, Columns, Form, why_all_bad
from dream_keras.data.parse import BadRow, Chunk
from dream_keras.data.processor import Lengths, Processor
from dream_keras.data.table import (
    ReadSettings,
    adapted_chunks,
    open_table,
    parse_lines,
)
from dream_keras.data.text import open_text, skip_leading

RECORDS = 50_000
"""FASTA records handled at a time."""
ADAPTERS_FLAG = "--adapters "


def read_sequences(
    path: str | Path, columns: Columns = SEQUENCES
) -> tuple[Form | None, Iterator[Chunk]]:
    """Read sequences in order; ``-`` reads standard input.

    Args:
        path: FASTA (its first letter is ``>``); or a table, or text with a sequence in the first
            column of each line; plain or gzipped.
        columns: Where they stand in a table.

    Returns:
        The form of the table, or None for FASTA; and the sequences, named by their ids, their FASTA
        names or themselves, with what is no sequence among the bad rows.

    Raises:
        UserError: If the file cannot be read.
    """
    file = open_text(path)
    skipped = skip_leading(file)
    begin = file.peek(1)  # type: ignore[attr-defined]
    # A line that begins with a semicolon is a comment, or the header of a table without a name
    # for its first column, which has more of them.
    is_comment = re.search(rb"^>", begin, re.MULTILINE) or not re.match(rb";[^\n]*;", begin)
    if begin.startswith(b";") and is_comment:
        skipped += skip_leading(file, b"#;")
    if file.peek(1)[:1] == b">":  # type: ignore[attr-defined]
        return None, _read_fasta(file, skipped)
    if not file.peek(1):  # type: ignore[attr-defined]
        raise UserError(f"{path}: no sequences in it")
    form, chunks = open_table(path, columns, file, skipped)
    return form, map(_named, chunks)


def read_fitting(path: str | Path, processor: Processor, settings: ReadSettings) -> Iterator[Chunk]:
    """Read the sequences of a file that a processor can encode.

    Args:
        path: As for ``read_sequences``.
        processor: The processor.
        settings: What is done about bad rows, long rows and adapters.

    Yields:
        Named sequences, with adapters if these are put on; among the bad rows whatever is left
        out, long rows too.

    Raises:
        UserError: For the first sequence that is bad or too long, unless it is to be left out; if
            all are left out, or most lack their adapters.
    """
    adapters = ProcessorAdapters(processor, settings.adapters, ADAPTERS_FLAG)
    form, chunks = read_sequences(path, settings.columns)
    unusable: UserError | None = None
    usable = False
    seen: set[str] = set()
    for part in adapted_chunks(path, chunks, adapters, settings, seen):
        chunk, tokens, lengths, bad = part.chunk, part.tokens, part.lengths, part.bad
        if form is None:
            bad = [
                dataclasses.replace(row, detail=f"record {row.name!r}: {row.detail}") for row in bad
            ]
        if not usable and part.none_usable:
            unusable = unusable or _none_usable(path, form, bad)
        if bad and settings.on_bad_row == "fail":
            raise unusable or UserError(
                f"{path}:{bad[0].line}: {bad[0].detail}. Correct it, leave such rows out with "
                "--on-bad-row skip, or have nan written for them with --on-bad-row nan."
            )
        if settings.long_rows != "crop":
            long = _too_long(chunk, lengths, processor)
            if long and settings.long_rows == "fail":
                raise UserError(
                    f"{path}:{long[0].line}: {long[0].detail}. Crop such sequences as in training "
                    "with --long-rows crop, or leave them out with --long-rows drop."
                )
            bad = sorted([*bad, *long], key=lambda row: row.line)
        kept = ~np.isin(chunk.lines, [row.line for row in bad])
        usable |= bool(kept.any())
        names = [name for name, keep in zip(chunk.names or [], kept, strict=True) if keep]
        yield Chunk(tokens[kept], lengths[kept], chunk.values[kept], chunk.lines[kept], bad, names)
    if not usable and settings.split is not None:
        raise settings.split.no_rows(path, settings.part, seen)
    if not usable and settings.on_bad_row != "nan":
        raise unusable or UserError(f"{path}: all of its sequences are left out")


def _none_usable(path: str | Path, form: Form | None, bad: list[BadRow]) -> UserError:
    if form is not None:
        return why_all_bad(path, form, bad, ADAPTERS_FLAG)
    return UserError(
        f"{path}:{bad[0].line}: {bad[0].detail}. No record among the first {len(bad):,} can be "
        "used."
    )


def _named(chunk: Chunk) -> Chunk:
    """Name the sequences of a table without names by themselves."""
    if chunk.names is None:
        rows = zip(chunk.tokens, chunk.lengths, strict=True)
        chunk.names = [alphabet.decode(tokens[:length]) for tokens, length in rows]
    return chunk


def _too_long(chunk: Chunk, lengths: Lengths, processor: Processor) -> list[BadRow]:
    """List the sequences that are too long for a processor, by their lengths with adapters."""
    found = []
    for row in np.flatnonzero(lengths > processor.max_length).tolist():
        name = (chunk.names or [])[row]
        detail = (
            f"sequence {_short(name)} has {lengths[row]} bp; the processor takes at most "
            f"{processor.max_length}, adapters included"
        )
        found.append(BadRow(int(chunk.lines[row]), "long", detail, "", name))
    return found


def _short(name: str) -> str:
    return repr(name if len(name) <= 40 else f"{name[:37]}...")


def _read_fasta(file: IO[bytes], skipped: int) -> Iterator[Chunk]:
    with file:
        records = _fasta_records(file, skipped)
        while block := list(islice(records, RECORDS)):
            names, lines, sequences = zip(*block, strict=True)
            chunk = parse_lines(b"\n".join(sequences) + b"\n")
            rows = chunk.lines - 1
            chunk.bad = [
                dataclasses.replace(row, line=lines[row.line - 1], name=names[row.line - 1])
                for row in chunk.bad
            ]
            chunk.names = [names[row] for row in rows]
            chunk.lines = np.array(lines, np.int64)[rows]
            yield chunk


def _fasta_records(file: IO[bytes], skipped: int) -> Iterator[tuple[str, int, bytes]]:
    """Yield name, line of the name, and sequence of each record."""
    name, at, parts = "", 0, list[bytes]()
    for number, line in enumerate(file, 1 + skipped):
        line = line.strip()
        if line.startswith(b">"):
            if at:
                yield name, at, b"".join(parts)
            words = line[1:].decode("utf-8", "replace").split()
            name, at, parts = (words[0] if words else ""), number, []
        else:
            parts.append(line)
    yield name, at, b"".join(parts)
