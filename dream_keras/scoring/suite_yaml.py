"""Reading of a suite's YAML file; ``docs/suites.md`` explains every key.

Reading one looks at no other file: the tables it names are read by ``suite.load_suite``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dream_keras.common.errors import UserError, unknown, within
from dream_keras.config.settings import GameSettings, read_settings
from dream_keras.config.yaml_file import (
    Lines,
    Yaml,
    at,
    check_keys,
    located,
    name_of,
    read_yaml,
    text_at,
    texts_at,
)
from dream_keras.data.delimited import to_float
from dream_keras.scoring.formulas import ALLOWED, Formulas
from dream_keras.scoring.table import Column

Filter = Mapping[Column, tuple[str, ...]]
"""The words that each column may hold."""

BUILT_IN = Path(__file__).parent / "suites"
"""The built-in suites."""
DEFAULT = BUILT_IN / "dream.yaml"


@dataclass(frozen=True)
class Members:
    """The rows of a subset, and their weight.

    Attributes:
        weight: Weight in both scores.
        target: Number of the subset's target, from 0.
        files: Possible names of the file that lists the members; none when ``rows`` chooses them.
        columns: The file's column of positions, or its two columns of pairs.
        equal_pairs: Whether a row may be paired with itself.
        rows: The words that rows of the subset have in the suite's table.
        public: JSON file of the public members, if there is one.
        each: A column; the rows of each of its words are shown too, as a subset of weight 0.
        mean_of_strands: Whether the two rows of one sequence on both strands count as one, with
            the mean of their values.
    """

    weight: float
    target: int = 0
    files: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    equal_pairs: bool = False
    rows: Filter = field(default_factory=dict)
    public: str | None = None
    each: Column | None = None
    mean_of_strands: bool = False

    @property
    def width(self) -> int:
        """2 for pairs, 1 for single rows."""
        return max(len(self.columns), 1)


@dataclass(frozen=True)
class Declaration:
    """A suite's YAML file.

    Attributes:
        path: The file.
        lines: The line of each key in it.
        name: What the suite is called.
        table: Possible names of the table, in order of preference.
        sequence: Its column of sequences.
        targets: Its columns of measured values, by the name of the target.
        id: Its column of names, if there is one; no two rows may have the same.
        reverse: A column, and the text in it that marks rows in reverse orientation.
        rows: The words that rows must have to belong to the suite.
        formulas: How the two scores are made of the subsets' correlations.
        subsets: The subsets by name.
        game: What its targets are, as a predictor is asked for them.
    """

    path: Path
    lines: Lines
    name: str
    table: tuple[str, ...]
    sequence: Column
    targets: Mapping[str, Column]
    id: Column | None
    reverse: tuple[Column, str] | None
    rows: Filter
    formulas: Formulas
    subsets: Mapping[str, Members]
    game: GameSettings

    @property
    def has_header(self) -> bool:
        """Whether the table names its columns."""
        return isinstance(self.sequence, str)

    @property
    def columns(self) -> dict[tuple[str, ...], Column]:
        """Every column of the table that is named, by its key in the file."""
        found: dict[tuple[str, ...], Column] = {("columns", "sequence"): self.sequence}
        found |= {("columns", "targets", name): c for name, c in self.targets.items()}
        if self.id is not None:
            found["columns", "id"] = self.id
        if self.reverse is not None:
            found["reverse", "column"] = self.reverse[0]
        found |= {("rows", str(column)): column for column in self.rows}
        for name, members in self.subsets.items():
            found |= {("subsets", name, "rows", str(column)): column for column in members.rows}
            if members.each is not None:
                found["subsets", name, "each"] = members.each
        return found


def read_declaration(path: Path) -> Declaration:
    """Read a suite's YAML file.

    Raises:
        UserError: Something in it is unknown, missing or of the wrong kind; names file and line.
    """
    value, lines = read_yaml(path)
    try:
        return _declaration(path, lines, value)
    except UserError as error:
        raise located(error, path, lines) from None


def _declaration(path: Path, lines: Lines, value: Yaml) -> Declaration:
    check_keys(
        value,
        "a suite",
        required=("name", "table", "columns", "scores", "subsets"),
        optional=("reverse", "rows", "game"),
    )
    with within("game"):
        game = read_settings(GameSettings, value.get("game"), "game")
    sequence, targets, identity = _columns(value["columns"])
    declaration = Declaration(
        path,
        lines,
        name=text_at(value, "name"),
        table=texts_at(value, "table"),
        sequence=sequence,
        targets=targets,
        id=identity,
        reverse=_reverse(value),
        rows=_filter(value),
        formulas=_formulas(value["scores"]),
        subsets=_subsets(value["subsets"], list(targets)),
        game=game,
    )
    for key, column in declaration.columns.items():
        if isinstance(column, str) != declaration.has_header:
            raise at(
                key,
                f"column {column!r}, but the sequences stand in {sequence!r}. Columns are named "
                "all by the table's header, or all by numbers from 0 in a table without one.",
            )
    return declaration


def _columns(value: Yaml) -> tuple[Column, dict[str, Column], Column | None]:
    with within("columns"):
        check_keys(value, "columns", required=("sequence", "targets"), optional=("id",))
        with within("targets"):
            targets = value["targets"]
            if not isinstance(targets, Mapping) or not targets:
                raise UserError(
                    f"targets: expected a mapping of names to columns of measured values, such "
                    f"as {{expression: mean_value}}, not {targets!r}."
                )
            names = {name_of(name): _column(targets, name) for name in targets}
        identity = _column(value, "id") if "id" in value else None
        return _column(value, "sequence"), names, identity


def _reverse(value: Mapping[str, Yaml]) -> tuple[Column, str] | None:
    if "reverse" not in value:
        return None
    with within("reverse"):
        check_keys(value["reverse"], "reverse", required=("column", "contains"), optional=())
        return _column(value["reverse"], "column"), text_at(value["reverse"], "contains")


def _formulas(value: Yaml) -> Formulas:
    with within("scores"):
        check_keys(value, "scores", required=tuple(ALLOWED), optional=())
        for score, allowed in ALLOWED.items():
            if value[score] not in allowed:
                raise at((score,), str(unknown("formula", str(value[score]), allowed)))
        return Formulas(**value)


def _subsets(value: Yaml, targets: Sequence[str]) -> dict[str, Members]:
    with within("subsets"):
        if not isinstance(value, Mapping) or not value:
            raise UserError(f"subsets: expected a mapping of names to subsets, not {value!r}.")
        subsets = {}
        for name in value:
            with within(str(name)):
                subsets[name_of(name)] = _members(value[name], targets)
        if not sum(members.weight for members in subsets.values()):
            raise UserError("subsets: every weight is 0, so there is nothing to score.")
        without = [name for name, members in subsets.items() if members.public is None]
        if 0 < len(without) < len(subsets):
            raise at(
                (without[0],),
                f'subset "{without[0]}" has no public list, others have one. Give "public" to '
                "every subset or to none.",
            )
        return subsets


def _members(value: Yaml, targets: Sequence[str]) -> Members:
    """Read one subset: all rows, some by ``rows``, or those that a file lists."""
    check_keys(
        value,
        "a subset",
        required=("weight",),
        optional=(
            *("target", "rows", "each", "mean_of_strands"),
            *("file", "positions", "pairs", "equal_pairs", "public"),
        ),
    )
    chosen = {key for key in ("positions", "pairs") if key in value}
    if ("file" in value and len(chosen) != 1) or ("file" not in value and chosen):
        raise UserError(
            'a "file" of members goes with either "positions", its column of positions, or '
            '"pairs", its two columns of pairs.'
        )
    for key in ("rows", "each"):
        if "file" in value and key in value:
            raise UserError(f'give either "{key}" or a "file" of members, not both.')
    if "each" in value and "public" in value:
        raise UserError('"each" cannot be combined with a "public" list.')
    columns = texts_at(value, "positions") if "positions" in value else ()
    if len(columns) > 1:
        raise at(("positions",), f"positions: expected one column, not {value['positions']!r}.")
    if "pairs" in value:
        columns = texts_at(value, "pairs")
        if len(set(columns)) != 2:
            raise at(("pairs",), f"pairs: expected two columns, not {value['pairs']!r}.")
    return Members(
        _weight(value),
        _target(value, targets),
        texts_at(value, "file") if "file" in value else (),
        columns,
        _flag(value, "equal_pairs", possible="pairs" in value, rule="beside pairs"),
        _filter(value),
        text_at(value, "public") if "public" in value else None,
        _column(value, "each") if "each" in value else None,
        _flag(value, "mean_of_strands", possible="pairs" not in value, rule="without pairs"),
    )


def _weight(value: Mapping[str, Yaml]) -> float:
    given = value["weight"]
    # YAML reads 5e-1 as text.
    number = to_float(given) if isinstance(given, str) else given
    if isinstance(number, bool) or not isinstance(number, int | float):
        number = np.nan
    if not 0 <= number < np.inf:
        raise at(("weight",), f"weight: expected a number of at least 0, not {given!r}.")
    return float(number)


def _flag(value: Mapping[str, Yaml], key: str, *, possible: bool, rule: str) -> bool:
    given = value.get(key, False)
    if not isinstance(given, bool) or (given and not possible):
        raise at((key,), f"{key}: expected true or false, {rule}.")
    return given


def _target(value: Mapping[str, Yaml], targets: Sequence[str]) -> int:
    if "target" not in value:
        if len(targets) == 1:
            return 0
        raise UserError(f'a subset lacks the key "target". Allowed: {", ".join(targets)}.')
    if value["target"] not in targets:
        raise at(("target",), str(unknown("target", str(value["target"]), targets)))
    return targets.index(value["target"])


def _filter(value: Mapping[str, Yaml]) -> dict[Column, tuple[str, ...]]:
    """Read ``rows``: a word, a whole number or a list of these for each column."""
    if "rows" not in value:
        return {}
    with within("rows"):
        rows = value["rows"]
        if not isinstance(rows, Mapping) or not rows:
            raise UserError(
                f"rows: expected a mapping of columns to words, such as {{set: Test}}, not "
                f"{rows!r}."
            )
        result = {}
        for column in rows:
            words = rows[column] if isinstance(rows[column], list) else [rows[column]]
            if not words or not all(type(word) in (str, int) for word in words):
                raise at(
                    (str(column),),
                    f"{column}: expected a word, a whole number or a list of them, not "
                    f"{rows[column]!r}. Put anything else in quotes, as it stands in the table.",
                )
            result[_checked_column(str(column), column)] = tuple(str(word) for word in words)
        return result


def _column(value: Mapping[Yaml, Yaml], key: Yaml) -> Column:
    return _checked_column(str(key), value[key])


def _checked_column(key: str, column: Yaml) -> Column:
    if (type(column) is str and column) or (type(column) is int and column >= 0):
        return column
    raise at((key,), f"{key}: expected a column's name, or its number from 0, not {column!r}.")
