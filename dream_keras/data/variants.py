"""Variants to score: VCF files, tables of positions, edits of given sequences, pairs of sequences.

Positions are counted from 1, as in VCF. A reader yields what stands in the file; whether alleles
and positions make sense is decided where windows are made (``dream_keras.interpret.windows``).
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from dream_keras.common.errors import UserError, short_list
from dream_keras.data import alphabet
from dream_keras.data.columns import Columns
from dream_keras.data.delimited import find_delimiter, records
from dream_keras.data.sequences import read_sequences
from dream_keras.data.text import open_text, skip_leading

POSITIONS: Mapping[str, tuple[str, ...]] = {
    "chrom": ("chrom", "#chrom", "chr", "chromosome"),
    "pos": ("pos", "position"),
    "ref": ("ref", "reference"),
    "alt": ("alt", "alternative", "alternate"),
}
"""Columns of a table of positions and their usual names, in lower case."""
EDITS: Mapping[str, tuple[str, ...]] = {
    "chrom": ("id", "name", "seq_id", "sequence_id", *POSITIONS["chrom"]),
    **{name: POSITIONS[name] for name in ("pos", "ref", "alt")},
}
"""The same for edits of given sequences, whose names take the chromosome's place."""
PAIRS: Mapping[str, tuple[str, ...]] = {
    "ref": ("ref", "reference", "ref_sequence", "reference_sequence"),
    "alt": ("alt", "alternative", "alternate", "alt_sequence", "alternative_sequence"),
}
"""The same for pairs of whole sequences."""
NAMES = ("id", "variant_id", "variant", "rsid", "name")
"""Usual names of the column of names, which may be missing."""


@dataclass(frozen=True)
class Variant:
    """A difference between two sequences.

    Attributes:
        where: File and line, or record, for messages.
        id: Its name; may be empty.
        chrom: The chromosome, or the name of the sequence that is edited; empty for a pair.
        pos: Position of the first reference base, from 1; 0 for a pair.
        ref: Reference allele; of a pair the whole reference sequence.
        alt: Alternative allele, or the whole alternative sequence.
    """

    where: str
    id: str
    chrom: str
    pos: int
    ref: str
    alt: str


def read_positions(path: str | Path, zero_based: bool = False) -> Iterator[Variant]:
    """Read a VCF file, or another table with the columns of ``POSITIONS``.

    Args:
        path: The file; plain, gzip or bgzip. A variant is yielded for each alternative allele.
        zero_based: Whether the positions of a table are counted from 0; VCF's are not.

    Raises:
        UserError: If it cannot be read.
    """
    vcf = is_vcf(path)
    for variant in _read_variants(path, POSITIONS, zero_based and not vcf, lowest=0 if vcf else 1):
        several = variant.alt.split(",")
        for alt in several:
            yield replace(variant, alt=alt.strip() or ("." if len(several) > 1 else ""))


def is_vcf(path: str | Path) -> bool:
    """Return whether a file is a VCF file, by its first line."""
    with open_text(path) as file:
        return file.readline().startswith(b"##fileformat=VCF")


def read_edits(path: str | Path, zero_based: bool = False) -> Iterator[Variant]:
    """Read a table of edits of named sequences; columns as ``EDITS``.

    Raises:
        UserError: If it cannot be read.
    """
    return _read_variants(path, EDITS, zero_based)


def read_pairs(path: str | Path) -> Iterator[Variant]:
    """Read a table of reference and alternative sequences; columns as ``PAIRS``.

    Raises:
        UserError: If it cannot be read.
    """
    for line, cells in read_rows(path, PAIRS, {"id": NAMES}):
        yield Variant(
            f"{path}:{line}", cells["id"], "", 0, cells["ref"].upper(), cells["alt"].upper()
        )


def read_named_sequences(path: str | Path) -> dict[str, str]:
    """Read sequences with names, from FASTA or a table with a column id or name.

    Raises:
        UserError: If the file cannot be read, or two sequences have the same name.
    """
    columns = Columns(None, ())
    found: dict[str, str] = {}
    with open_text(path) as file:
        skip_leading(file)
        header = file.readline().decode("utf-8", "replace")
    if not header.startswith(">"):
        cells = [cell.strip() for cell in re.split("[\t,;]", header.strip())]
        names = {*NAMES, *EDITS["chrom"]}
        named = [cell.strip('"') for cell in cells if cell.strip('"').lower() in names]
        columns = Columns(None, (), named[0] if named else None)
    _, chunks = read_sequences(path, columns)
    for chunk in chunks:
        if chunk.bad:
            raise UserError(f"{path}:{chunk.bad[0].line}: {chunk.bad[0].detail}")
        rows = zip(chunk.names or [], chunk.tokens, chunk.lengths, chunk.lines, strict=True)
        for name, tokens, length, line in rows:
            if name in found:
                raise UserError(f'{path}:{line}: a second sequence is called "{name}"')
            found[name] = alphabet.decode(tokens[:length])
    return found


def read_rows(
    path: str | Path,
    columns: Mapping[str, Sequence[str]],
    optional: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line and cells of each row of a table, whose columns are known by their usual names.

    Args:
        path: Tab, comma or semicolon separated, plain or gzipped, with a header.
        columns: For each column its usual names, in lower case; the first that is there counts.
        optional: The same for columns that may be missing; their cells are empty then.

    Raises:
        UserError: If a column is missing, or a row has another number of cells.
    """
    wanted = {**columns, **(optional or {})}
    rows = _records(path)
    line, header = next(rows)
    names = [cell.lower() for cell in header]
    place = {}
    for column, usual in wanted.items():
        found = [name for name in usual if name in names]
        if not found and column in columns:
            raise UserError(
                f"{path}:{line}: no column {' or '.join(usual)}; the header has "
                f"{short_list([cell[:40] for cell in header])}"
            )
        place[column] = names.index(found[0]) if found else None
    for line, cells in rows:
        if not any(cells):
            continue
        if len(cells) != len(names):
            raise UserError(f"{path}:{line}: {len(cells)} columns; the header has {len(names)}")
        yield line, {column: "" if at is None else cells[at] for column, at in place.items()}


def read_header(path: str | Path) -> list[str]:
    """Return the names of a table's columns."""
    return next(_records(path))[1]


def _records(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line and cells of each record, the header first; comments above it are left out."""
    with open_text(path) as file:
        skipped = skip_leading(file, b"")
        text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
        first = text.readline()
        while first.startswith(("##", "# ")):  # a single # may begin the header, as in VCF
            first, skipped = text.readline(), skipped + 1
        if first.startswith("#CHROM\t"):  # VCF knows no quotes
            for line, content in enumerate(chain([first], text), skipped + 1):
                yield line, [cell.strip() for cell in content.split("\t")]
            return
        delimiter = find_delimiter(path, skipped + 1, first.rstrip("\r\n"))
        for line, cells in records(path, chain([first], text), delimiter, skipped + 1):
            yield line, [cell.strip() for cell in cells]


def _read_variants(
    path: str | Path, columns: Mapping[str, Sequence[str]], zero_based: bool, lowest: int = 1
) -> Iterator[Variant]:
    names = [name for name in NAMES if name not in columns["chrom"]]
    for line, cells in read_rows(path, columns, {"id": names}):
        where = f"{path}:{line}"
        if not re.fullmatch("[0-9]{1,12}", cells["pos"]):
            raise UserError(f'{where}: position "{cells["pos"][:40]}" is no whole number')
        pos = int(cells["pos"]) + zero_based
        if pos < lowest:
            raise UserError(
                f"{where}: position 0: positions are counted from 1 (from 0 with --zero-based)"
            )
        alleles = (cells[key].upper().replace("-", "") for key in ("ref", "alt"))
        name = "" if cells["id"] == "." else cells["id"]
        yield Variant(where, name, cells["chrom"], pos, *alleles)
