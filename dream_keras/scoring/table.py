"""Tables of text cells: the rows of a suite, and the lists of its subsets' members."""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError, unknown
from dream_keras.scoring.text_files import read_text, refuse, short, to_float

Floats = npt.NDArray[np.float64]
Column = str | int
"""A column's name, or its number from 0 in a table without a header."""

_DNA = re.compile("[ACGTN]+", re.IGNORECASE)
_COUNTS = {2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True)
class Table:
    """The cells of a text file.

    Attributes:
        path: The file.
        header: The names of the columns; empty for a table without a header.
        lines: The line in the file that each row stands on, from 1.
        rows: The cells of each row.
        comma: Whether commas separate the columns, or tabs.
    """

    path: Path
    header: Sequence[str]
    lines: Sequence[int]
    rows: Sequence[Sequence[str]]
    comma: bool = False

    def index(self, column: Column) -> int:
        """Return a column's number, from 0.

        Raises:
            UserError: There is no such column, or there are two of that name.
        """
        if isinstance(column, int):
            return column
        if column not in self.header:
            raise unknown(f"column of {self.path}", column, self.header)
        if self.header.count(column) > 1:
            raise UserError(f'{self.path} has more than one column "{column}". Rename one.')
        return self.header.index(column)

    def texts(self, column: Column) -> list[str]:
        """Return one column's cells; a row that ends before it has an empty one.

        Raises:
            UserError: What ``index`` raises.
        """
        index = self.index(column)
        return [row[index].strip() if index < len(row) else "" for row in self.rows]

    def numbers(self, column: Column) -> Floats:
        """Return one column's numbers, shape (rows,).

        Raises:
            UserError: What ``index`` raises, or a cell is no finite number.
        """
        texts = self.texts(column)
        values = np.array([to_float(text) for text in texts], np.float64)
        self._refuse("values that are not finite numbers", column, ~np.isfinite(values))
        return values

    def sequences(self, column: Column) -> tuple[str, ...]:
        """Return one column's DNA sequences.

        Raises:
            UserError: What ``index`` raises, or a cell has other letters than A, C, G, T and N.
        """
        texts = self.texts(column)
        bad = np.array([not _DNA.fullmatch(text) for text in texts], bool)
        self._refuse("cells that are not DNA (letters A, C, G, T, N)", column, bad)
        return tuple(texts)

    def names(self, column: Column) -> list[str]:
        """Return one column of names, none of which may stand there twice.

        Raises:
            UserError: What ``index`` raises, or two rows have the same name.
        """
        texts = self.texts(column)
        times = Counter(texts)
        repeated = np.array([times[text] > 1 for text in texts], bool)
        self._refuse("names that more than one row has", column, repeated)
        return texts

    def check_width(self, width: int) -> None:
        """Refuse rows that do not have ``width`` columns."""
        separator = "a comma" if self.comma else "a tab"
        refuse(
            f"{self.path}: lines that are not {_COUNTS.get(width, width)} columns with "
            f"{separator} between them",
            [
                f'line {line} ("{short(row[0])}")'
                for line, row in zip(self.lines, self.rows, strict=True)
                if len(row) != width
            ],
        )

    def take(self, rows: Collection[int]) -> "Table":
        """Return the table of some of the rows."""
        return Table(
            self.path,
            self.header,
            [self.lines[row] for row in rows],
            [self.rows[row] for row in rows],
            self.comma,
        )

    def _refuse(self, problem: str, column: Column, bad: npt.NDArray[np.bool_]) -> None:
        where = f"{self.path}, column {column}" if isinstance(column, str) else f"{self.path}"
        offenders = np.flatnonzero(bad).tolist()
        texts = self.take(offenders).texts(column) if offenders else []
        refuse(
            f"{where}: {problem}",
            [
                f'line {self.lines[row]} ("{short(text)}")'
                for row, text in zip(offenders, texts, strict=True)
            ],
        )


def read_table(path: Path, *, header: bool) -> Table:
    """Read a table: comma-separated if its name says ``.csv``, tab-separated otherwise.

    Args:
        path: The file, plain or gzipped.
        header: Whether its first line names the columns.

    Raises:
        UserError: The file is unusable, malformed, or has no rows.
    """
    table = parse_table(path, read_text(path), header=header, comma=is_csv(path))
    if not table.rows:
        raise UserError(f"{path} has a header but no rows.")
    return table


def parse_table(path: Path, text: str, *, header: bool, comma: bool = False) -> Table:
    """Parse the text of a table, which may have no rows; otherwise see ``read_table``."""
    lines, rows = _split_commas(path, text) if comma else _split_tabs(text)
    if not header:
        return Table(path, (), lines, rows, comma)
    return Table(path, [name.strip() for name in rows[0]], lines[1:], rows[1:], comma)


def is_csv(path: Path) -> bool:
    """Whether a file's name says that commas separate its columns."""
    return path.name.removesuffix(".gz").endswith(".csv")


def find_table(folder: Path, names: Sequence[str], fits: Callable[[Path], bool]) -> Path:
    """Find a suite's table in its folder.

    Args:
        folder: Where to look.
        names: File names in order of preference; one with a ``*`` stands for the only file of
            that pattern that fits. Each may be gzipped and end in ``.gz`` too.
        fits: Whether a file looks like the table.

    Raises:
        UserError: There is none, or more than one.
    """
    found: list[Path] = []
    for name in names:
        both = (name, f"{name}.gz")
        if "*" in name:
            found = [path for each in both for path in sorted(folder.glob(each)) if fits(path)]
        else:
            found = [folder / each for each in both if (folder / each).exists()]
        if found:
            break
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(path.name for path in sorted(found))
        raise UserError(f"{folder}: which is the test table: {listed}? Keep one of them there.")
    raise UserError(f"{folder} has no test table. Expected {names[0]} or {names[0]}.gz in it.")


def _split_tabs(text: str) -> tuple[Sequence[int], list[list[str]]]:
    rows = [line.split("\t") for line in text.rstrip(" \r\n").splitlines()]
    return range(1, len(rows) + 1), rows


def _split_commas(path: Path, text: str) -> tuple[Sequence[int], list[list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        numbered = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: malformed CSV: {error}.") from error
    return [line for line, _ in numbered], [row for _, row in numbered]
