"""Rows that a program has in memory: checked, and kept as a table in the run that trains on them.

A run folder then holds all that resuming and analysing it need, as with rows from a file.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError, unknown
from dream_keras.common.files import replacing
from dream_keras.data.columns import SAMPLE, Columns, recognise

if TYPE_CHECKING:
    import pandas as pd

MEMORY = "data"
"""Folder in a run that holds its rows if they were given in memory."""
TRAIN, VALIDATION = f"{MEMORY}/train.tsv", f"{MEMORY}/validation.tsv"
_SEPARATORS = re.compile(r'[\t\r\n"]')


@dataclass(frozen=True)
class MemoryTable:
    """Sequences and their measured values.

    Attributes:
        sequences: (rows,).
        targets: (rows, tasks); NaN where one of several is missing.
        sequence_column: What the sequences are called in the run's table.
        target_columns: What the tasks are called.
    """

    sequences: Sequence[str]
    targets: npt.NDArray[np.float64]
    sequence_column: str
    target_columns: tuple[str, ...]

    @classmethod
    def of(
        cls,
        sequences: object,
        targets: object,
        sequence_column: str | None = None,
        target_columns: Sequence[str] = (),
        what: str = "",
    ) -> "MemoryTable":
        """Check rows.

        Args:
            sequences: A list of texts, (rows,).
            targets: An array, (rows,) or (rows, tasks).
            sequence_column: A name for the sequences; "sequence" by default.
            target_columns: Names of the tasks; "expression", or "task1", ... by default.
            what: Begins the names of both arguments in messages.

        Raises:
            UserError: Names the argument and what is wrong with it.

        Examples:
            >>> MemoryTable.of(["ACGT", "GGCC"], [1.5, 2]).targets.tolist()
            [[1.5], [2.0]]
        """
        texts = listed(sequences, f"{what}sequences")
        values = _numbers(targets, f"{what}targets")
        if len(values) != len(texts):
            raise UserError(
                f"{len(texts)} {what}sequences and {len(values)} {what}targets: each sequence "
                "needs a row of targets"
            )
        tasks = values.shape[1]
        names = tuple(target_columns) or (
            ("expression",) if tasks == 1 else tuple(f"task{n + 1}" for n in range(tasks))
        )
        if len(names) != tasks:
            raise UserError(
                f"{what}targets has {tasks} columns, but target_columns names {len(names)}: "
                f"{', '.join(names)}"
            )
        _check_known(values, f"{what}targets")
        return cls(texts, values, sequence_column or "sequence", names)

    @classmethod
    def of_frame(
        cls,
        frame: "pd.DataFrame",
        sequence_column: str | None,
        target_columns: Sequence[str],
        what: str,
    ) -> "MemoryTable":
        """Take two or more columns of a DataFrame.

        Args:
            frame: The DataFrame.
            sequence_column: Its column of sequences; recognised as in a table if None.
            target_columns: Its columns of measured values; likewise if there are none.
            what: The name of the argument.

        Raises:
            UserError: If a column is missing or not recognised, or something is wrong in it.
        """
        columns = list(map(str, frame.columns))
        for name in filter(None, (sequence_column, *target_columns)):
            if name not in columns:
                raise unknown(f"column of the DataFrame {what}", name, columns)
            if columns.count(name) > 1:
                raise UserError(f"{what}: the DataFrame has {columns.count(name)} columns {name}")
        if sequence_column is None or not target_columns:
            sample = frame.head(SAMPLE).to_csv(sep="\t", index=False).encode()
            known = Columns(sequence_column, tuple(target_columns) or None)
            layout = recognise(f"the DataFrame {what}", 1, sample, known).layout
            sequence_column = columns[layout.sequence]
            target_columns = [columns[place] for place in layout.targets]
        values = []
        for name in target_columns:
            try:
                values.append(frame[name].to_numpy(np.float64, na_value=np.nan))
            except (TypeError, ValueError) as error:
                raise UserError(f"{what}: column {name} holds no numbers: {error}") from None
        return cls.of(
            frame[sequence_column].tolist(),
            np.stack(values, axis=1),
            sequence_column,
            target_columns,
            f"{what}: ",
        )

    def keep(self, path: Path) -> None:
        """Write the table, or see that the one which is there holds the same.

        Raises:
            UserError: If it holds something else.
        """
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
                file.writelines(self._lines())
            return
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(self._lines()):
                if file.readline() != line:
                    raise UserError(f"row {number - 1} is not that of {path}: the run has others")
            if file.readline():
                raise UserError(f"the run has more rows in {path}")

    def _lines(self) -> Iterator[str]:
        """Yield the lines of the table; ``repr`` gives back the same float64."""
        yield "\t".join([self.sequence_column, *self.target_columns]) + "\n"
        for sequence, row in zip(self.sequences, self.targets.tolist(), strict=True):
            yield "\t".join([sequence, *map(repr, row)]) + "\n"


def in_memory(
    files: Mapping[str, object],
    rows: Mapping[str, tuple[object, object]],
    sequence_column: str | None,
    target_columns: Sequence[str],
) -> dict[str, MemoryTable]:
    """Return those of a run's tables that are given in memory, by their place in the run.

    Args:
        files: By "train" and "validation", what is given as table: a path, a DataFrame or None.
        rows: By the same, sequences and targets, or None.
        sequence_column: Name of the sequences' column.
        target_columns: Names of the targets' columns.

    Raises:
        UserError: If rows are given twice or in part, or something is wrong with them.
    """
    tables = {}
    for name, place in (("train", TRAIN), ("validation", VALIDATION)):
        given, (sequences, targets) = files[name], rows[name]
        prefix = "" if name == "train" else f"{name}_"
        if sequences is None and targets is None:
            if is_frame(given):
                tables[place] = MemoryTable.of_frame(given, sequence_column, target_columns, name)
            elif given is not None and not isinstance(given, str | Path):
                raise UserError(
                    f"{name}: expected a path or a pandas DataFrame, got {type(given).__name__}. "
                    f"Lists and arrays are given as {prefix}sequences and {prefix}targets."
                )
            continue
        if given is not None:
            raise UserError(f"give either {name} or {prefix}sequences and {prefix}targets")
        if sequences is None or targets is None:
            raise UserError(f"{prefix}sequences and {prefix}targets go together")
        tables[place] = MemoryTable.of(sequences, targets, sequence_column, target_columns, prefix)
    _check_alike(tables, files, sequence_column, target_columns)
    return tables


def _check_alike(
    tables: Mapping[str, MemoryTable],
    files: Mapping[str, object],
    sequence_column: str | None,
    target_columns: Sequence[str],
) -> None:
    """Refuse training and validation rows whose columns are not the same."""
    columns = {table.target_columns for table in tables.values()}
    if len(columns) > 1:
        counts = " and ".join(str(len(names)) for names in columns)
        raise UserError(f"training and validation rows have {counts} targets: as many are needed")
    if VALIDATION in tables and TRAIN not in tables and files["train"] is None:
        raise UserError("validation rows in memory need training rows: give these as well")
    named = sequence_column is not None and target_columns
    if len(tables) == 1 and not named and any(isinstance(f, str | Path) for f in files.values()):
        raise UserError(
            "rows in memory beside a file need the names of the file's columns: give "
            "sequence_column and target_columns"
        )


def is_frame(value: object) -> "TypeGuard[pd.DataFrame]":
    """Whether something is a DataFrame of pandas, which is not imported for this."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def listed(sequences: object, what: str = "sequences") -> list[str]:
    """Return sequences as a list of texts.

    Args:
        sequences: A list, tuple, array or Series.
        what: The name of the argument.

    Raises:
        UserError: If it is none, is empty, or holds something else.

    Examples:
        >>> listed(("ACGT", "GG"))
        ['ACGT', 'GG']
    """
    if isinstance(sequences, str | bytes | dict) or not hasattr(sequences, "__iter__"):
        kind = type(sequences).__name__
        raise UserError(f"{what}: expected a list of sequences, got {kind}")
    texts = list(sequences)
    if not texts:
        raise UserError(f"{what}: there is no sequence in it")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise UserError(f"{what}[{row}]: expected text, got {type(text).__name__}")
        if not text or _SEPARATORS.search(text):
            shown = f"{text[:40]!r}{'...' if len(text) > 40 else ''}"
            raise UserError(f"{what}[{row}]: expected one sequence, got {shown}")
    return texts


def _numbers(targets: object, what: str) -> npt.NDArray[np.float64]:
    """Return targets as an array, (rows, tasks)."""
    try:
        values = np.asarray(targets, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{what}: expected numbers, (rows,) or (rows, tasks): {error}") from None
    if values.ndim not in (1, 2) or (values.ndim == 2 and not values.shape[1]):
        raise UserError(
            f"{what}: expected an array (rows,) or (rows, tasks), got one of shape {values.shape}"
        )
    return values.reshape(len(values), -1) if len(values) else np.empty((0, 1))


def _check_known(values: npt.NDArray[np.float64], what: str) -> None:
    """Refuse infinite values, and rows without any."""
    for wrong, problem in (
        (np.isinf(values).any(axis=1), "is infinite"),
        (np.isnan(values).all(axis=1), "is NaN"),
    ):
        if wrong.any():
            raise UserError(
                f"{what}: row {int(wrong.argmax())} {problem} ({int(wrong.sum()):,} such rows). "
                "Leave out rows without a measured value."
            )
