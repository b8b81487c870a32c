"""A VCF file with the predicted effects of its variants in the column INFO."""

import csv
import importlib.util
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from dream_keras.common.errors import UserError
from dream_keras.common.files import replacing
from dream_keras.data.text import open_text

SUFFIXES = (".vcf", ".vcf.gz")
PREFIX = "DK_"
"""Begins the names of the fields that are added."""
INFO, ALT = 7, 4
"""Columns of a VCF file, from 0."""


def table_of(out: Path) -> Path:
    """Return where the table of an annotated VCF file is written: beside it.

    Examples:
        >>> table_of(Path("effects.vcf.gz")).name
        'effects.tsv'
    """
    return out.with_name(out.name.removesuffix(".gz").removesuffix(".vcf") + ".tsv")


def annotate(vcf: str | Path, table: Path, out: Path) -> None:
    """Write a VCF file with the numbers of a table of its variants.

    Args:
        vcf: The file that was scored.
        table: The table, with a row for each alternative allele, in order.
        out: The file to write; bgzipped if its name ends in ``.gz``.

    Raises:
        UserError: If the first file is no VCF file.
    """
    with table.open(encoding="utf-8", newline="") as file:
        said = next(file).removeprefix("# ").strip().replace('"', "'")
        rows = csv.reader(file, delimiter="\t")
        header = next(rows)
        places = {
            f"{PREFIX}{_id(name)}": header.index(name)
            for name in header[header.index("element") + 1 : header.index("status")]
        }
        with open_text(vcf) as source, replacing(out) as temporary:
            lines = io.TextIOWrapper(source, encoding="utf-8", errors="replace", newline="\n")
            with _opened(temporary) as target:
                for line in _annotated(vcf, lines, rows, places, said):
                    target.write(line.encode())


def check_writable(out: Path) -> None:
    """Refuse an output that cannot be compressed.

    Raises:
        UserError: If bgzip is missing.
    """
    if out.suffix == ".gz" and importlib.util.find_spec("pysam") is None:
        raise UserError(f'{out} needs pysam: pip install "dream-keras[genome]"')


def _opened(path: Path) -> IO[bytes]:
    """Open a file to write; one whose name ends in .gz is bgzipped, as tabix needs it."""
    if path.suffix != ".gz":
        return path.open("wb")
    import pysam

    return pysam.BGZFile(str(path), "wb")


def _annotated(
    vcf: str | Path,
    lines: Iterator[str] | io.TextIOWrapper,
    rows: Iterator[Sequence[str]],
    places: dict[str, int],
    said: str,
) -> Iterator[str]:
    begun = False
    for number, line in enumerate(lines, 1):
        cells = line.rstrip("\r\n").split("\t")
        if line.startswith(f"##INFO=<ID={PREFIX}"):
            continue  # of an earlier annotation
        if line.startswith("##"):
            yield line.rstrip("\r\n") + "\n"
        elif line.startswith("#"):
            begun = True
            for name in places:
                yield (
                    f'##INFO=<ID={name},Number=A,Type=Float,Description="'
                    f'{name.removeprefix(PREFIX)} of {said}">\n'
                )
            yield line.rstrip("\r\n") + "\n"
        elif line.strip():
            if not begun or len(cells) <= INFO:
                raise UserError(f"{vcf}:{number}: no line of a VCF file, which has 8 columns")
            alleles = list(islice(rows, len(cells[ALT].split(","))))
            numbers = (
                f"{name}={','.join(row[place] or '.' for row in alleles)}"
                for name, place in places.items()
            )
            own = [
                field
                for field in cells[INFO].split(";")
                if field not in (".", "") and not field.startswith(PREFIX)
            ]
            cells[INFO] = ";".join([*own, *numbers])
            yield "\t".join(cells) + "\n"


def _id(name: str) -> str:
    """Return a column's name in the letters that a field's name may have.

    Examples:
        >>> _id("liver (log2).delta")
        'liver__log2__delta'
    """
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name)
