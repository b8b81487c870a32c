"""A scoring suite: sequences, their measured expression, and weighted subsets of them.

``Suite`` is plain data; ``load_suite`` makes one from a folder in the challenge's layout::

    FOLDER/filtered_test_data_with_MAUDE_expression.txt[.gz]   sequence<TAB>expression
    FOLDER/test_subset_ids/high_exp_seqs.csv ...               which rows belong to which subset
    FOLDER/public_leaderboard_ids/ground.json ...              which of them were public (optional)

A row's number, counted from 0, is its "position" in every other file.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dream_keras.errors import UserError, unknown
from dream_keras.scoring.submission import (
    is_finite_number,
    looks_like_table,
    parse_json,
    read_table,
    read_text,
    refuse,
)

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
Entry = tuple[int, ...]
"""One member of a subset: (position,) or (alt position, ref position)."""

PARTS = ("private", "public", "all")
"""Private: what decided the challenge; public: the leaderboard's rows; all: both."""

_TABLE = "filtered_test_data_with_MAUDE_expression.txt"
_SUBSET_FOLDER, _PUBLIC_FOLDER = "test_subset_ids", "public_leaderboard_ids"
_SINGLE, _PAIR = ("pos",), ("alt_pos", "ref_pos")


class _Official(NamedTuple):
    """Weight of a subset (the challenge's scoring rule) and its files.

    Without a csv file the subset is every row of the table.
    """

    weight: float
    csv_stem: str | None
    public_list: str
    columns: tuple[str, ...]


_SUBSETS = {
    "all": _Official(1.0, None, "ground.json", _SINGLE),
    "high": _Official(0.3, "high_exp", "high_exp_indices.json", _SINGLE),
    "low": _Official(0.3, "low_exp", "low_exp_indices.json", _SINGLE),
    "yeast": _Official(0.3, "yeast", "yeast_exp_indices.json", _SINGLE),
    "random": _Official(0.3, "all_random", "random_exp_indices.json", _SINGLE),
    "challenging": _Official(0.5, "challenging", "challenging_exp_indices.json", _SINGLE),
    "SNVs": _Official(1.25, "all_SNVs", "SNVs_exp_indices.json", _PAIR),
    "motif_perturbation": _Official(
        0.3, "motif_perturbation", "motif_perturbation_exp_indices.json", _PAIR
    ),
    "motif_tiling": _Official(0.4, "motif_tiling", "motif_tiling_exp_indices.json", _PAIR),
}
# The public lists repeat the measured values. A larger difference from the table than this means
# that the two do not belong together; digits lost in writing are far smaller.
_SAME_VALUE = 1e-3


@dataclass(frozen=True, eq=False)
class Subset:
    """Rows, or pairs of rows, that are scored together.

    Attributes:
        weight: Weight in both scores.
        positions: For each part, the rows, shape (n,), or the (alt, ref) pairs, shape (n, 2).
    """

    weight: float
    positions: Mapping[str, Positions]

    @property
    def is_pairs(self) -> bool:
        """Whether differences between two rows are scored instead of rows."""
        return self.positions["all"].ndim == 2

    def pick(self, values: Floats, part: str) -> Floats:
        """Take the subset's values, or alt minus ref, shape (n,), from all rows' (rows,)."""
        positions = self.positions[part]
        if not self.is_pairs:
            return values[positions]
        return values[positions[:, 0]] - values[positions[:, 1]]


@dataclass(frozen=True, eq=False)
class Suite:
    """What predictions are scored on.

    Attributes:
        source: Where it came from, for messages.
        sequences: The sequences, in order.
        measured: Their measured expression, shape (rows,).
        subsets: The subsets by name; all have the same parts, "all" among them.
    """

    source: str
    sequences: Sequence[str]
    measured: Floats
    subsets: Mapping[str, Subset]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that can be scored."""
        return tuple(next(iter(self.subsets.values())).positions)

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
                f'the suite {self.source} has no public lists (folder "{_PUBLIC_FOLDER}"), so its '
                f'{part} part is not known. Score the part "all", or add the public lists.'
            )


def load_suite(folder: str | Path) -> Suite:
    """Read a suite from a folder in the challenge's layout (see the module's text).

    Repeated rows of a subset are counted once. The public part is what the public lists hold.
    The private part is the rest: positions that occur anywhere in the public lists are dropped
    from "all" and the single subsets; pair subsets drop exactly the public pairs.

    Raises:
        UserError: A file is missing, ambiguous, empty or malformed, names a row that does not
            exist, or the public lists belong to another table.
    """
    folder = Path(folder)
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise UserError(f"the suite {folder} {problem}. Give the folder that holds {_TABLE}.")
    table = _find_table(folder)
    sequences, measured = read_table(table)
    row_of = {str(row): row for row in range(len(measured))}
    members = {
        name: _read_members(folder / _SUBSET_FOLDER, files, row_of)
        for name, files in _SUBSETS.items()
    }
    public = _read_public_lists(folder / _PUBLIC_FOLDER, table, measured, row_of)
    subsets = {}
    for name, parts in _split(members, public).items():
        weight, _, _, columns = _SUBSETS[name]
        subsets[name] = Subset(
            weight, {part: _positions(entries, len(columns)) for part, entries in parts.items()}
        )
    return Suite(str(folder), sequences, measured, subsets)


def _split(
    members: Mapping[str, set[Entry]], public: Mapping[str, set[Entry]]
) -> dict[str, dict[str, set[Entry]]]:
    """Divide each subset into its parts; without public lists there is only "all"."""
    if not public:
        return {name: {"all": entries} for name, entries in members.items()}
    anywhere = {(row,) for entries in public.values() for entry in entries for row in entry}
    # A pair is never in `anywhere`: pair subsets drop exactly the public pairs.
    return {
        name: {"private": entries - anywhere - public[name], "public": public[name], "all": entries}
        for name, entries in members.items()
    }


def _positions(entries: set[Entry], width: int) -> Positions:
    """Sort entries of one or two positions into an array, shape (n,) or (n, 2)."""
    positions = np.array(sorted(entries), np.int64).reshape(-1, width)
    return positions[:, 0] if width == 1 else positions


def _find_table(folder: Path) -> Path:
    """Find the test table: the official name, or else the only text file that looks like one."""
    found = [path for path in (folder / _TABLE, folder / f"{_TABLE}.gz") if path.exists()] or [
        path
        for path in sorted(folder.iterdir())
        if path.name.endswith((".txt", ".txt.gz")) and looks_like_table(path)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise UserError(f"{folder}: which is the test table: {names}? Keep one of them there.")
    raise UserError(f"{folder} has no test table. Expected {_TABLE} or {_TABLE}.gz in it.")


def _read_members(folder: Path, files: _Official, row_of: Mapping[str, int]) -> set[Entry]:
    """Read the csv file of one subset; only its position columns matter."""
    if files.csv_stem is None:
        return {(row,) for row in row_of.values()}
    names = [f"{files.csv_stem}_seqs.csv", f"{files.csv_stem}.csv"]
    found = [folder / name for name in names if (folder / name).exists()]
    if len(found) != 1:
        problem = "keep one of" if found else "missing:"
        raise UserError(f"{folder}: {problem} {' or '.join(names)}.")
    path = found[0]
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    try:
        header = next(reader)
        table = {f"line {reader.line_num}": row for row in reader if row}
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: malformed CSV: {error}.") from error
    if missing := [column for column in files.columns if column not in header]:
        raise UserError(
            f"{path} has no column {', '.join(missing)}; its columns: {', '.join(header)}."
        )
    if not table:
        raise UserError(f"{path} has a header but no rows.")
    columns = [header.index(column) for column in files.columns]
    cells = {
        where: [row[column].strip() if column < len(row) else "" for column in columns]
        for where, row in table.items()
    }
    return set(_parse_entries(path, cells, row_of))


def _read_public_lists(
    folder: Path, table: Path, measured: Floats, row_of: Mapping[str, int]
) -> dict[str, set[Entry]]:
    """Read the public list of each subset; empty when there is no such folder."""
    if not folder.exists():
        return {}
    return {
        name: _read_public_list(
            folder / files.public_list, len(files.columns), table, measured, row_of
        )
        for name, files in _SUBSETS.items()
    }


def _read_public_list(
    path: Path, width: int, table: Path, measured: Floats, row_of: Mapping[str, int]
) -> set[Entry]:
    """Read ``{"position": value}`` or ``{"alt,ref": [value, value]}``, checking each value."""
    items = parse_json(path, read_text(path))
    keys = {f'"{key}"': key.split(",") for key, _ in items}
    values = [value if isinstance(value, list) else [value] for _, value in items]
    kind = "one position and one value" if width == 1 else "two positions and two values"
    refuse(
        f"{path}: not {kind}",
        [
            where
            for (where, key), row in zip(keys.items(), values, strict=True)
            if not (len(key) == len(row) == width and all(map(is_finite_number, row)))
        ],
    )
    entries = _parse_entries(path, keys, row_of)
    if entries:
        differences = np.abs(np.array(values, np.float64) - measured[np.array(entries)])
        refuse(
            f"{path}: measured values differ from those in {table.name}",
            [f'"{items[row][0]}"' for row in np.flatnonzero((differences > _SAME_VALUE).any(1))],
            "The two belong to different suites, or rows were added or moved.",
        )
    return set(entries)


def _parse_entries(
    path: Path, cells: Mapping[str, Sequence[str]], row_of: Mapping[str, int]
) -> list[Entry]:
    """Turn the texts of positions into numbers; ``cells`` is where -> the texts of one entry."""
    refuse(
        f"{path}: not a row of the test table, whose rows are 0 to {len(row_of) - 1:,}",
        [
            f'{where} ("{",".join(texts)}")'
            for where, texts in cells.items()
            if not all(text in row_of for text in texts)
        ],
    )
    return [tuple(row_of[text] for text in texts) for texts in cells.values()]
