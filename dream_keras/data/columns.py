"""Which columns of a table hold sequences, values and names: as given, or recognised."""

import contextlib
import dataclasses
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dream_keras.common.errors import UserError, short_list
from dream_keras.data.delimited import (
    Cells,
    describe_columns,
    find_column,
    find_delimiter,
    records,
    to_float,
)
from dream_keras.data.parse import DECIMAL_COMMA, MISSING, BadRow, Layout

SEQUENCE_NAMES = ("seq", "sequence")
"""Usual names of the column of sequences, in lower case."""
SAMPLE = 100
"""Rows from which columns of numbers are told."""
SHORTEST = 18
"""Letters of the shortest sequence that a challenge processor takes: names are shorter."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Columns:
    """Which columns hold what, by their names in the header.

    Attributes:
        sequence: None takes the column called seq or sequence, or the first one of a table without
            a header.
        targets: None takes the only other column of numbers, or the second one of a table without
            a header, which then has exactly two; none when only sequences are read.
        id: The rows' names; None if they have none.
        split: Which part of the table a row belongs to.
        weight: The rows' weights in the loss.
        error: The standard errors of their values.
        usual_sequence: Taken for the sequences, where none are named, if the header has it.
        usual_id: Taken for the names likewise.
    """

    sequence: str | None = None
    targets: tuple[str, ...] | None = None
    id: str | None = None
    split: str | None = None
    weight: str | None = None
    error: str | None = None
    usual_sequence: str | None = None
    usual_id: str | None = None

    def found_in(self, header: Sequence[str]) -> "Columns":
        """Return them with the usual names that a header has."""
        sequence = self.sequence or (self.usual_sequence if self.usual_sequence in header else None)
        identity = self.id or (self.usual_id if self.usual_id in header else None)
        return dataclasses.replace(self, sequence=sequence, id=identity)

    @property
    def named(self) -> tuple[str, ...]:
        """The names that are given; a table has a header if there are any."""
        return tuple(name for name in (self.sequence, *(self.targets or ()), *self.others) if name)

    @property
    def others(self) -> tuple[str | None, ...]:
        """The columns of names, parts, weights and errors, as in ``Layout``."""
        return self.id, self.split, self.weight, self.error

    @property
    def flags(self) -> str:
        """The options that name columns."""
        return "--sequence-column" + ("" if self.targets == () else " and --target-columns")


OFFICIAL = Columns()
"""Nothing is named: the official format, or a header whose columns are recognised."""
SEQUENCES = Columns(targets=())
"""Nothing is named, and only sequences are read."""


@dataclass(frozen=True)
class Form:
    """How a table is laid out.

    Attributes:
        layout: Where its columns stand.
        first: The cells of its first line.
        has_header: Whether these name the columns.
        columns: What was known of them.
    """

    layout: Layout
    first: Cells
    has_header: bool
    columns: Columns


def recognise(path: object, line: int, text: bytes, columns: Columns) -> Form:
    """Tell delimiter, header and columns of a table.

    Args:
        path: The file, for messages.
        line: Number of the first line.
        text: The table's beginning, whole lines.
        columns: What is known.

    Raises:
        UserError: If the delimiter is ambiguous, a column is missing, or the table has a header
            whose columns have to be named; says how.
    """
    if text.startswith(b">"):
        raise UserError(
            f"{path} is a FASTA file, which holds no measured values. Give a table of sequences "
            "and values; predict reads FASTA."
        )
    lines = [one.decode("utf-8", "replace") + "\n" for one in text.split(b"\n", SAMPLE)[:SAMPLE]]
    delimiter = find_delimiter(path, line, lines[0].rstrip("\r\n"), lambda c: _fits(c, columns))
    rows: list[Cells] = []
    with contextlib.suppress(UserError):  # of later rows, which are named when these are read
        for _, cells in records(path, lines, delimiter, line):
            rows += [cells] if cells else []
    if not rows:
        next(records(path, lines, delimiter, line), None)
        return Form(Layout(0, (), None), [""], False, columns)
    first = [cell.strip() for cell in rows[0]]
    columns = columns.found_in(first)
    usual = [name for name in first if name.lower() in SEQUENCE_NAMES]
    if not columns.named and not usual:
        if _is_header(first, columns):
            raise UserError(
                f"{path}:{line}: this looks like a header ({short_list(first)}). Name its columns "
                f"with {columns.flags}."
            )
        layout = Layout(0, (1,), 2, delimiter=delimiter)
        if columns.targets == ():
            layout = Layout(0, (), None, delimiter=delimiter)
        return Form(layout, first, False, columns)
    if lines[0].count('"') % 2:
        raise UserError(f"{path}:{line}: a name in the header holds a line break. Take it out.")
    sequence = columns.sequence or _usual_sequence(path, first, usual)
    layout = _named_layout(path, columns, sequence, rows)
    return Form(dataclasses.replace(layout, delimiter=delimiter), first, True, columns)


def _named_layout(path: object, columns: Columns, sequence: str, rows: Sequence[Cells]) -> Layout:
    """Find the columns by their names in the first of some rows; log what was not given."""
    first = [cell.strip() for cell in rows[0]]
    at = find_column(path, sequence, first)
    identity, split, weight, error = (
        find_column(path, name, first) if name else None for name in columns.others
    )
    targets = columns.targets
    if targets is None:
        known = [place for place in (at, identity, split, weight, error) if place is not None]
        targets = (_only_numbers(path, first, rows[1:], known),)
    if columns.sequence is None or columns.targets is None:
        values = f", values from column {', '.join(targets)}" if targets else ""
        log.info("%s: sequences from column %s%s", path, sequence, values)
    positions = tuple(find_column(path, name, first) for name in targets)
    return Layout(at, positions, len(first), identity, split, weight, error)


def why_all_bad(
    path: object, form: Form, bad: Sequence[BadRow], adapters: str = "--set data.adapters="
) -> UserError:
    """Build the error for a table whose first rows are all bad: what it is, and the likely cause.

    Args:
        path: The file.
        form: Its form, as it was recognised.
        bad: Its first rows.
        adapters: How adapters are asked for.
    """
    row, layout = bad[0], form.layout
    causes = {
        "letter": "Is this the column of the sequences? --sequence-column names another one.",
        "number": "Is this the column of the values? --target-columns names others.",
        "short": (
            "If these are sequences without the adapters that the processor expects, "
            f"{adapters}add puts them on."
        ),
    }
    cause = causes.get(row.reason, "")
    if row.reason == "columns" and not form.has_header:
        cause = (
            "A table without a header has a sequence and a value in each row. Put a line with the "
            f"columns' names above others, and name those to read with {form.columns.flags}."
        )
    if "decimal comma" in row.detail:
        cause = "Write the table with decimal points."
    what = describe_columns(form.first, layout.delimiter)
    return UserError(
        f"{path}:{row.line}: {row.detail}. No row among the first {len(bad):,} can be used. The "
        f"file looks like a table of {what}, {'with' if form.has_header else 'without'} a header. "
        f"{cause}".rstrip()
    )


def is_dna(text: str) -> bool:
    """Whether a cell holds letters of a sequence and nothing else."""
    return re.fullmatch("[ACGTNacgtn]+", text) is not None


def _is_value(text: str) -> bool:
    """Whether a cell holds a number, if perhaps with a decimal comma."""
    return bool(DECIMAL_COMMA.fullmatch(text.strip())) or not math.isnan(to_float(text))


def is_missing(text: str) -> bool:
    """Whether a cell stands for a value that was not measured."""
    return text.strip().lower().encode() in MISSING


def _fits(cells: Cells, columns: Columns) -> bool:
    """Whether the cells of a first line, split by some delimiter, may be those of the table."""
    columns = columns.found_in(cells)
    if columns.named:
        return set(columns.named) <= set(cells)
    if any(name.lower() in SEQUENCE_NAMES for name in cells):
        return True
    return is_dna(cells[0]) and (columns.targets == () or (len(cells) == 2 and _is_value(cells[1])))


def _is_header(first: Cells, columns: Columns) -> bool:
    """Whether a first line without any usual name names columns."""
    named = re.compile(r"[A-Za-z_]")
    if columns.targets == ():
        return not is_dna(first[0]) and len(first[0]) < SHORTEST and bool(named.match(first[0]))
    if len(first) < 2 or any(_is_value(cell) for cell in first):
        return False
    return bool(named.match(first[1])) and not is_missing(first[1])


def _usual_sequence(path: object, first: Cells, usual: Sequence[str]) -> str:
    """Return the name of the column of sequences.

    Raises:
        UserError: If none has a usual name, or several have.
    """
    if len(set(usual)) == 1:
        return usual[0]
    problem = "several columns may hold the sequences" if usual else "no column is called sequence"
    raise UserError(
        f"{path}: {problem}; its columns: {short_list(first)}. Name it with --sequence-column."
    )


def _only_numbers(path: object, first: Cells, rows: Sequence[Cells], known: Sequence[int]) -> str:
    """Return the name of the only other column that holds numbers; those without a name never do.

    Raises:
        UserError: If there is none, or more than one.
    """

    def has_numbers(column: int) -> bool:
        cells = [row[column] for row in rows if column < len(row)]
        cells = [cell for cell in cells if not is_missing(cell)]
        return sum(map(_is_value, cells)) * 2 > len(cells) or not rows

    found = [
        name
        for column, name in enumerate(first)
        if name and column not in known and has_numbers(column)
    ]
    if len(found) == 1:
        return found[0]
    problem = f"{len(found)} columns hold numbers" if found else "no other column holds numbers"
    raise UserError(
        f"{path}: which column holds the measured values? {problem}; its columns: "
        f"{short_list(first)}. Name one or several with --target-columns."
    )
