"""Tables of text cells: the rows of a suite, and the lists of its subsets' members."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.data.columns import is_missing
from dream_keras.data.delimited import (
    DELIMITERS,
    TAB,
    Cells,
    find_column,
    find_delimiter,
    records,
    to_float,
)
from dream_keras.scoring.text_files import read_text, refuse, short

Floats = npt.NDArray[np.float64]
Column = str | int
"""A column's name, or its number from 0 in a table without a header."""
Fits = Callable[[Cells], bool]

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
        delimiter: What separates the columns.
    """

    path: Path
    header: Sequence[str]
    lines: Sequence[int]
    rows: Sequence[Sequence[str]]
    delimiter: str = TAB

    def index(self, column: Column) -> int:
        """Return a column's number, from 0.

        Raises:
            UserError: There is no such column, or there are two of that name.
        """
        if isinstance(column, int):
            return column
        return find_column(self.path, column, self.header)

    def texts(self, column: Column) -> list[str]:
        """Return one column's cells; a row that ends before it has an empty one.

        Raises:
            UserError: What ``index`` raises.
        """
        index = self.index(column)
        return [row[index].strip() if index < len(row) else "" for row in self.rows]

    def numbers(self, column: Column, may_be_missing: bool = False) -> Floats:
        """Return one column's numbers, shape (rows,).

        Args:
            column: The column.
            may_be_missing: Whether an empty cell, ``NA`` and the like are NaN.

        Raises:
            UserError: What ``index`` raises, or a cell is no finite number.
        """
        texts = self.texts(column)
        values = np.array([to_float(text) for text in texts], np.float64)
        bad = ~np.isfinite(values)
        if may_be_missing:
            bad &= ~np.array([is_missing(text) for text in texts], bool)
        self._refuse("values that are not finite numbers", column, bad)
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
        separator = f"a {DELIMITERS[self.delimiter]}"
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
            self.delimiter,
        )

    def with_header(self) -> "Table":
        """Return the table whose first row names the columns."""
        names = [name.strip() for name in self.rows[0]]
        return Table(self.path, names, self.lines[1:], self.rows[1:], self.delimiter)

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


def read_table(path: Path, fits: Fits, *, header: bool) -> Table:
    """Read a table with any delimiter, plain or gzipped.

    Args:
        path: The file.
        fits: Whether the cells of a first line are the table's; decides if the line holds several
            delimiters.
        header: Whether the first line names the columns.

    Raises:
        UserError: The file is unusable, malformed, or has no rows.
    """
    table = parse_table(path, read_text(path), fits)
    table = table.with_header() if header else table
    if not table.rows:
        raise UserError(f"{path} has a header but no rows.")
    return table


def parse_table(path: Path, text: str, fits: Fits) -> Table:
    """Parse the text of a table, its header among the rows; otherwise see ``read_table``.

    Blank lines and comments above it are passed over; between rows, blank lines are nothing where
    commas or semicolons separate the columns, and rows of one empty cell where tabs do.
    """
    lines = [f"{line}\n" for line in text.rstrip(" \r\n").split("\n")]
    above = next((n for n, line in enumerate(lines) if line.strip() and line[0] != "#"), len(lines))
    if above == len(lines):
        raise UserError(f"{path} has no rows.")
    delimiter = find_delimiter(path, above + 1, lines[above].rstrip("\r\n"), fits)
    numbered = [
        (line, cells or [""])
        for line, cells in records(path, lines[above:], delimiter, above + 1)
        if cells or delimiter == TAB
    ]
    lines_of, rows = zip(*numbered, strict=True)
    return Table(path, (), lines_of, rows, delimiter)


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
