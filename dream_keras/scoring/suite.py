"""A scoring suite: sequences, their measured values, and weighted subsets of them.

``Suite`` is plain data; ``load_suite`` makes one from what a YAML file declares. A row's number,
counted from 0, is its "position" in every other file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError, unknown
from dream_keras.config.yaml_file import located
from dream_keras.data.duplicates import pair_strands
from dream_keras.hub.paths import local_copy
from dream_keras.scoring.formulas import OFFICIAL, Formulas
from dream_keras.scoring.membership import (
    Entry,
    list_members,
    matching_rows,
    public_members,
    split,
    to_positions,
    with_each_word,
)
from dream_keras.scoring.suite_yaml import (
    BUILT_IN,
    DEFAULT,
    Declaration,
    Members,
    read_declaration,
)
from dream_keras.scoring.table import Fits, Floats, Table, find_table, parse_table, read_table
from dream_keras.scoring.text_files import read_text
from dream_keras.simulate.truth import FOLDER as TRUTH
from dream_keras.simulate.truth import SIMULATED

Positions = npt.NDArray[np.int64]

PARTS = ("private", "public", "all")
"""Private: what decided the challenge; public: the leaderboard's rows; all: both."""
SUITE_FILE = "suite.yaml"
"""The declaration in a suite's folder, if it is none of the built-in suites."""


@dataclass(frozen=True, eq=False)
class Subset:
    """Rows, or pairs of rows, that are scored together.

    Attributes:
        weight: Weight in both scores.
        positions: For each part, the rows, shape (n,), or pairs of rows, shape (n, 2): (alt, ref),
            or both strands of one sequence.
        target: Number of the suite's target that is scored, from 0.
        mean_of_strands: Whether the mean of a pair is scored instead of alt minus ref; a row whose
            other strand is not there is paired with itself.
    """

    weight: float
    positions: Mapping[str, Positions]
    target: int = 0
    mean_of_strands: bool = False

    @property
    def is_pairs(self) -> bool:
        """Whether the members are pairs of rows."""
        return self.positions["all"].ndim == 2

    @property
    def is_difference(self) -> bool:
        """Whether differences between two rows are scored."""
        return self.is_pairs and not self.mean_of_strands

    def pick(self, values: Floats, part: str) -> Floats:
        """Take the subset's values, or alt minus ref, or the mean of both strands, shape (n,).

        Args:
            values: All rows' values: (rows, targets), of which its target is taken, or (rows,) of
                that target.
            part: The part of the suite.

        Examples:
            >>> pairs = Subset(1.0, {"all": np.array([[0, 1], [2, 1]])})
            >>> pairs.pick(np.array([3.0, 1.0, 0.5]), "all").tolist()
            [2.0, -0.5]
        """
        values = values[:, self.target] if values.ndim == 2 else values
        positions = self.positions[part]
        if not self.is_pairs:
            return values[positions]
        first, second = values[positions].T
        return (first + second) / 2 if self.mean_of_strands else first - second


@dataclass(frozen=True, eq=False)
class Suite:
    """A scoring suite.

    Attributes:
        source: Where it came from, for messages.
        sequences: The sequences, in order.
        measured: Their measured values, (rows, targets); NaN where one of several is missing.
        subsets: The subsets by name; all have the same parts, "all" among them.
        name: What it is called.
        targets: The names of the targets, in the order of ``measured``.
        reverse: Which sequences were measured in reverse orientation, shape (rows,); None when
            the suite does not say.
        formulas: How the two scores are made of the subsets' correlations.
    """

    source: str
    sequences: Sequence[str]
    measured: Floats
    subsets: Mapping[str, Subset]
    name: str = ""
    targets: tuple[str, ...] = ("expression",)
    reverse: npt.NDArray[np.bool_] | None = None
    formulas: Formulas = OFFICIAL

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that can be scored."""
        return tuple(next(iter(self.subsets.values())).positions)

    @property
    def default_part(self) -> str:
        """The part that is scored unless another is asked for: all where nothing is public."""
        return "private" if "private" in self.parts else "all"

    def choose_part(self, part: str | None) -> str:
        """Return the part asked for, or the default one for None, if it can be scored."""
        part = self.default_part if part is None else part
        self.check_part(part)
        return part

    def columns_of(self, tasks: Sequence[str]) -> list[int]:
        """Return for each target the number of the task that predicts it.

        Targets and tasks belong together by their names, or, where these differ, by their order.

        Args:
            tasks: Names of the tasks.

        Raises:
            UserError: If there are more targets than tasks, or fewer, and their names differ.
        """
        if set(self.targets) <= set(tasks):
            return [list(tasks).index(target) for target in self.targets]
        if len(self.targets) == len(tasks):
            return list(range(len(tasks)))
        raise UserError(
            f"the suite {self.source} has the targets {', '.join(self.targets)}, the run the "
            f"tasks {', '.join(tasks)}. Give a suite of targets that it predicts."
        )

    def shaped(self, predictions: npt.ArrayLike) -> Floats:
        """Return predictions as (rows, targets); of one target they may be (rows,).

        Raises:
            UserError: If they have another shape.
        """
        values = np.asarray(predictions, np.float64)
        shape = self.measured.shape
        if values.ndim == 1 and shape[1] == 1:
            values = values[:, None]
        if values.shape != shape:
            suffix = " and target" if shape[1] > 1 else ""
            raise UserError(
                f"predictions have shape {values.shape}; the suite {self.source} needs one value "
                f"for each row{suffix}: {shape}."
            )
        return values

    def rows(self, part: str) -> Positions:
        """Return the rows that some subset of this part needs, sorted, shape (n,)."""
        self.check_part(part)
        needed = [subset.positions[part].ravel() for subset in self.subsets.values()]
        return np.unique(np.concatenate(needed))

    def check_part(self, part: str) -> None:
        """Raise UserError unless this part can be scored."""
        if part not in PARTS:
            raise unknown("part", part, PARTS)
        if part not in self.parts:
            raise UserError(
                f"the suite {self.source} has no public lists, so its {part} part is not known. "
                'Score the part "all", or add the public lists.'
            )


def load_suite(path: str | Path) -> Suite:
    """Read a suite.

    Args:
        path: The folder of the data, with a ``suite.yaml`` or in the layout of a built-in suite;
            or the YAML file of a suite, beside its data; or a name of the catalogue.

    Raises:
        UserError: The declaration is wrong, or a file is missing, ambiguous, empty or malformed,
            names a row that does not exist, or belongs to another table.
    """
    declaration, folder = find_declaration(local_copy(path, "suite"))
    try:
        return _load(str(path), declaration, folder)
    except UserError as error:
        if not error.key:  # The mistake is in another file, which the message names.
            raise
        raise located(error, declaration.path, declaration.lines) from None


def find_declaration(path: Path) -> tuple[Declaration, Path]:
    """Find the declaration of a suite, and the folder of its data.

    Raises:
        UserError: There is nothing of that name, or its YAML file is wrong.
    """
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        return read_declaration(path), path.parent
    if not path.is_dir():
        problem = "is not a folder" if path.exists() else "does not exist"
        raise UserError(
            f"the suite {path} {problem}. Give the folder of its data, or its YAML file."
        )
    if (path / SUITE_FILE).exists():
        return read_declaration(path / SUITE_FILE), path
    for file in sorted(BUILT_IN.glob("*.yaml")):
        declaration = read_declaration(file)
        names = (name + end for name in declaration.table for end in ("", ".gz"))
        if any(_looks_right(path / name, declaration) for name in names):
            return declaration, path
    return read_declaration(DEFAULT), path


def _looks_right(path: Path, declaration: Declaration) -> bool:
    """Whether the first line of a file is one of the suite's table."""
    try:
        lines = read_text(path).splitlines()[:1]
        table = parse_table(path, lines[0], _fits(declaration))
        table = table.with_header() if declaration.has_header else table
        _check_columns(table, declaration)
        for column in declaration.targets.values():
            table.numbers(column)
    except UserError:
        return False
    return True


def _fits(declaration: Declaration) -> Fits:
    """Return whether cells are the first line of the suite's table."""
    columns = set(declaration.columns.values())
    if declaration.has_header:
        return lambda cells: columns <= set(cells)
    return lambda cells: len(cells) == _width(declaration)


def _width(declaration: Declaration) -> int:
    """Return how many columns a table without a header must have."""
    return 1 + max(column for column in declaration.columns.values() if isinstance(column, int))


def _check_columns(table: Table, declaration: Declaration) -> None:
    """Refuse columns that the table does not have, and rows of another width."""
    for key, column in declaration.columns.items():
        try:
            table.index(column)
        except UserError as error:
            error.key = key
            raise
    table.check_width(len(table.header) or _width(declaration))


def _load(source: str, declaration: Declaration, folder: Path) -> Suite:
    path = find_table(folder, declaration.table, lambda path: _looks_right(path, declaration))
    table = read_table(path, _fits(declaration), header=declaration.has_header)
    _check_columns(table, declaration)
    table = table.take(matching_rows(table, declaration.rows).tolist())
    sequences = table.sequences(declaration.sequence)
    columns = declaration.targets.values()
    several = len(columns) > 1
    measured = np.stack([table.numbers(column, several) for column in columns], axis=1)
    if declaration.id is not None:
        table.names(declaration.id)
    return Suite(
        source,
        sequences,
        measured,
        _subsets(declaration, folder, table, sequences, measured),
        f"{declaration.name}{SIMULATED if (folder / TRUTH).is_dir() else ''}",
        tuple(declaration.targets),
        _reverse(declaration, table),
        declaration.formulas,
    )


def _subsets(
    declaration: Declaration,
    folder: Path,
    table: Table,
    sequences: Sequence[str],
    measured: Floats,
) -> dict[str, Subset]:
    row_of = {str(row): row for row in range(len(measured))}
    subsets = with_each_word(declaration.subsets, table)
    entries = {}
    for name, members in subsets.items():
        try:
            entries[name] = list_members(folder, members, table, row_of)
        except UserError as error:
            if error.key:
                error.key = ("subsets", name, *error.key)
            raise
    public = public_members(folder, subsets, table.path, measured, row_of)
    return {
        name: _subset(subsets[name], parts, sequences, measured)
        for name, parts in split(entries, public).items()
    }


def _subset(
    members: Members,
    parts: Mapping[str, set[Entry]],
    sequences: Sequence[str],
    measured: Floats,
) -> Subset:
    """Make a subset of the members of each of its parts."""
    positions = {
        part: _measured_ones(to_positions(chosen, members.width), measured[:, members.target])
        for part, chosen in parts.items()
    }
    if members.mean_of_strands:
        positions = {
            part: rows[pair_strands([sequences[row].upper() for row in rows])]
            for part, rows in positions.items()
        }
    return Subset(members.weight, positions, members.target, members.mean_of_strands)


def _measured_ones(positions: Positions, measured: Floats) -> Positions:
    """Return the rows or pairs whose values, (rows,), were all measured."""
    known = np.isfinite(measured[positions])
    return positions[known if known.ndim == 1 else known.all(axis=1)]


def _reverse(declaration: Declaration, table: Table) -> npt.NDArray[np.bool_] | None:
    if declaration.reverse is None:
        return None
    column, mark = declaration.reverse
    return np.array([mark in text for text in table.texts(column)], bool)
