"""Sequences to predict: text, table columns and FASTA, read block by block."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.parse import Chunk
from dream_keras.data.processor import Lengths
from dream_keras.data.table import (
    Columns,
    open_text,
    parse_lines,
    read_chunks,
    skip_leading,
)

RECORDS = 50_000
"""FASTA records handled at a time."""


@dataclass
class Sequences:
    """Some sequences of a file.

    Attributes:
        names: What each is called in the output: its FASTA name, or the sequence itself.
        tokens: (rows, width).
        lengths: (rows,), in bp.
    """

    names: list[str]
    tokens: Tokens
    lengths: Lengths


def read_sequences(path: str | Path, column: str | None = None) -> Iterator[Sequences]:
    """Read sequences in order; ``-`` reads standard input.

    Args:
        path: FASTA (its first letter is ``>``); or text with a sequence in the first tab-separated
            column of each line; plain or gzipped.
        column: Header name of the sequences, for tables with a header.

    Raises:
        UserError: If the file cannot be read or a sequence is not one; the message names the line.
    """
    file = open_text(path)
    skipped = skip_leading(file, b"#;")
    if file.peek(1)[:1] == b">":  # type: ignore[attr-defined]
        yield from _read_fasta(path, file, skipped)
        return
    if not file.peek(1):  # type: ignore[attr-defined]
        raise UserError(f"{path}: no sequences in it")
    for chunk in read_chunks(path, Columns(column or 0, (), None), file, skipped):
        _refuse_bad(path, chunk)
        rows = zip(chunk.tokens, chunk.lengths, strict=True)
        names = [alphabet.decode(tokens[:length]) for tokens, length in rows]
        yield Sequences(names, chunk.tokens, chunk.lengths)


def _read_fasta(path: str | Path, file: IO[bytes], skipped: int) -> Iterator[Sequences]:
    records = _fasta_records(file, skipped)
    while block := list(islice(records, RECORDS)):
        names, lines, sequences = zip(*block, strict=True)
        chunk = parse_lines(b"\n".join(sequences) + b"\n")
        if chunk.bad:
            row = chunk.bad[0].line - 1
            raise UserError(f"{path}:{lines[row]}: record {names[row]!r}: {chunk.bad[0].detail}")
        yield Sequences(list(names), chunk.tokens, chunk.lengths)


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


def _refuse_bad(path: str | Path, chunk: Chunk) -> None:
    if chunk.bad:
        bad = chunk.bad[0]
        raise UserError(f"{path}:{bad.line}: {bad.detail}. Correct or remove the line.")
