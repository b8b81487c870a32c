"""The members of a suite's subsets: the files that list them, and how they divide into parts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError, did_you_mean
from dream_keras.config.yaml_file import at
from dream_keras.scoring.suite_yaml import Filter, Members
from dream_keras.scoring.table import Floats, Table, read_table
from dream_keras.scoring.text_files import is_finite_number, parse_json, read_text, refuse

Entry = tuple[int, ...]
"""One member of a subset: (position,) or (alt position, ref position)."""

# The public lists repeat the measured values. A larger difference from the table than this means
# that the two do not belong together; digits lost in writing are far smaller.
_SAME_VALUE = 1e-3
_MOST_WORDS = 100
"""How many subsets a column may make."""
_SHOWN_WORDS = 10
"""How many of a column's words a message shows."""


def matching_rows(table: Table, rows: Filter) -> npt.NDArray[np.int64]:
    """Return the rows that hold one of the wanted words in every column, shape (n,), sorted.

    Raises:
        UserError: No row holds one of the words, or all columns' together; carries the key.
    """
    matching = np.ones(len(table.rows), bool)
    for column, words in rows.items():
        texts = table.texts(column)
        held = sorted(set(texts))
        for word in words:
            if word not in held:
                raise at(
                    ("rows", str(column)),
                    f'no row of {table.path} has "{word}" in column {column}.'
                    f"{did_you_mean(word, held)} It holds {_some(held)}.",
                )
        matching &= np.isin(texts, words)
        if not matching.any():
            raise at(("rows", str(column)), f"no row of {table.path} has all of these words.")
    return np.flatnonzero(matching)


def with_each_word(subsets: Mapping[str, Members], table: Table) -> dict[str, Members]:
    """Return subsets, each followed by those of the words of its column ``each``.

    Args:
        subsets: What a suite's YAML file says of each.
        table: The rows of the suite.

    Raises:
        UserError: A column holds too many words; carries the key.
    """
    found = {}
    for name, members in subsets.items():
        found[name] = members
        if members.each is None:
            continue
        texts = np.array(table.texts(members.each))
        words = np.unique(texts[matching_rows(table, members.rows)]).tolist()
        if len(words) > _MOST_WORDS:
            raise at(
                ("subsets", name, "each"),
                f"each: column {members.each} holds {len(words):,} different words; at most "
                f"{_MOST_WORDS} can be shown.",
            )
        for word in sorted(words, key=lambda word: (len(word), word)):
            rows = {**members.rows, members.each: (word,)}
            part = f"{name}, {members.each} {word}"
            if part in subsets:
                raise at(("subsets", name, "each"), f'each: there is a subset "{part}" already.')
            found[part] = replace(members, weight=0.0, rows=rows)
    return found


def list_members(
    folder: Path, members: Members, table: Table, row_of: Mapping[str, int]
) -> set[Entry]:
    """Return the members of one subset, each once.

    Args:
        folder: The suite's folder.
        members: What its YAML file says of the subset.
        table: The rows of the suite.
        row_of: The number of each row by its text.

    Raises:
        UserError: A file is missing or malformed, names a row that does not exist or pairs a row
            with itself; or no row is a member.
    """
    if not members.files:
        return {(row,) for row in matching_rows(table, members.rows).tolist()}
    path = _find_file(folder, members.files)
    listed = read_table(path, lambda cells: set(members.columns) <= set(cells), header=True)
    if missing := [column for column in members.columns if column not in listed.header]:
        raise UserError(
            f"{path} has no column {', '.join(missing)}; its columns: {', '.join(listed.header)}."
        )
    cells = zip(*(listed.texts(column) for column in members.columns), strict=True)
    places = (f"line {line}" for line in listed.lines)
    return set(_parse_entries(path, dict(zip(places, cells, strict=True)), row_of, members))


def public_members(
    folder: Path,
    subsets: Mapping[str, Members],
    table: Path,
    measured: Floats,
    row_of: Mapping[str, int],
) -> dict[str, set[Entry]]:
    """Return the public members of each subset; empty when there is none of the lists.

    Args:
        folder: The suite's folder.
        subsets: What its YAML file says of each subset.
        table: The suite's table, for messages.
        measured: Its values, shape (rows, targets).
        row_of: The number of each row by its text.

    Raises:
        UserError: Some of the lists are missing, one is malformed or names a row that does not
            exist, or its measured values are not those of the table.
    """
    paths = {name: folder / m.public for name, m in subsets.items() if m.public is not None}
    if not any(path.exists() for path in paths.values()):
        return {}
    return {
        name: _read_public_list(
            path, subsets[name], table, measured[:, subsets[name].target], row_of
        )
        for name, path in paths.items()
    }


def split(
    members: Mapping[str, set[Entry]], public: Mapping[str, set[Entry]]
) -> dict[str, dict[str, set[Entry]]]:
    """Divide each subset into its parts; without public lists there is only "all".

    The public part is what the public lists hold. The private part is the rest: positions that
    occur anywhere in the public lists are dropped from the single subsets; pair subsets drop
    exactly the public pairs.
    """
    if not public:
        return {name: {"all": entries} for name, entries in members.items()}
    anywhere = {(row,) for entries in public.values() for entry in entries for row in entry}
    # A pair is never in `anywhere`: pair subsets drop exactly the public pairs.
    return {
        name: {"private": entries - anywhere - public[name], "public": public[name], "all": entries}
        for name, entries in members.items()
    }


def to_positions(entries: set[Entry], width: int) -> npt.NDArray[np.int64]:
    """Sort entries of one or two positions into an array, shape (n,) or (n, 2)."""
    positions = np.array(sorted(entries), np.int64).reshape(-1, width)
    return positions[:, 0] if width == 1 else positions


def _some(words: Sequence[str]) -> str:
    rest = len(words) - _SHOWN_WORDS
    return ", ".join(words[:_SHOWN_WORDS]) + (f" and {rest:,} more" if rest > 0 else "")


def _find_file(folder: Path, names: Sequence[str]) -> Path:
    paths = [folder / name for name in names]
    found = [path for path in paths if path.exists()]
    if len(found) == 1:
        return found[0]
    parent = paths[0].parent
    problem = "keep one of" if found else "missing:"
    listed = " or ".join(path.name if path.parent == parent else str(path) for path in paths)
    raise UserError(f"{parent}: {problem} {listed}.")


def _read_public_list(
    path: Path, members: Members, table: Path, measured: Floats, row_of: Mapping[str, int]
) -> set[Entry]:
    """Read ``{"position": value}`` or ``{"alt,ref": [value, value]}``, checking each value."""
    width = members.width
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
    entries = _parse_entries(path, keys, row_of, members)
    if entries:
        differences = np.abs(np.array(values, np.float64) - measured[np.array(entries)])
        refuse(
            f"{path}: measured values differ from those in {table.name}",
            [f'"{items[row][0]}"' for row in np.flatnonzero((differences > _SAME_VALUE).any(1))],
            "The two belong to different suites, or rows were added or moved.",
        )
    return set(entries)


def _parse_entries(
    path: Path, cells: Mapping[str, Sequence[str]], row_of: Mapping[str, int], members: Members
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
    refuse(
        f"{path}: a row paired with itself",
        [
            f'{where} ("{",".join(texts)}")'
            for where, texts in cells.items()
            if len(texts) == 2 and texts[0] == texts[1] and not members.equal_pairs
        ],
        "A pair is two different rows, unless the subset says equal_pairs: true.",
    )
    return [tuple(row_of[text] for text in texts) for texts in cells.values()]
