"""Submissions: predictions for every row of a suite, as JSON or as a table."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.data.delimited import to_float
from dream_keras.scoring.suite import Suite
from dream_keras.scoring.table import Floats, parse_table
from dream_keras.scoring.text_files import (
    is_finite_number,
    parse_json,
    read_text,
    refuse,
    short,
)

SPREADS = ("_sd", "_low", "_high")
"""Ends of the names of columns that say how certain a prediction is."""


def read_submission(path: str | Path, suite: Suite) -> Floats:
    """Read predictions for every row of a suite.

    Either JSON, ``{position: prediction}`` with positions counted from 0; or a table of
    ``sequence<TAB>prediction`` lines in the suite's order, with or without a header line whose
    first word is ``sequence``. For several targets the JSON holds lists of predictions, and the
    table a column for each target: in the suite's order, or in any order under a header that
    names them. Columns of spreads and bounds (``SPREADS``), which predictions of ensembles have,
    are left out.

    Returns:
        (rows, targets).

    Raises:
        UserError: The file is malformed, incomplete, names a position twice or one that the suite
            does not have, is in another order, or holds something else than finite numbers.
    """
    path = Path(path)
    text = read_text(path)
    if text.lstrip().startswith("{"):
        return _from_items(path, parse_json(path, text), suite)
    return _from_lines(path, text.rstrip(), suite)


def _from_items(path: Path, items: list[tuple[str, object]], suite: Suite) -> Floats:
    rows, targets = len(suite.sequences), len(suite.targets)
    predictions = dict(items)
    positions = [str(row) for row in range(rows)]
    remedy = f"A submission has one prediction for each position 0 to {rows - 1:,} of the suite."
    known = set(positions)
    refuse(
        f"{path}: unknown positions",
        [f'"{key}"' for key in predictions if key not in known],
        remedy,
    )
    refuse(
        f"{path}: missing positions", [key for key in positions if key not in predictions], remedy
    )
    wanted = "" if targets == 1 else f", one for each of {', '.join(suite.targets)}"
    refuse(
        f"{path}: predictions that are not finite numbers{wanted}",
        [f'"{key}" ({short(value)})' for key, value in items if not _is_prediction(value, targets)],
    )
    return np.array([predictions[key] for key in positions], np.float64).reshape(rows, targets)


def _is_prediction(value: object, targets: int) -> bool:
    if targets == 1:
        return is_finite_number(value)
    return isinstance(value, list) and len(value) == targets and all(map(is_finite_number, value))


def _from_lines(path: Path, text: str, suite: Suite) -> Floats:
    heading = text.partition("\n")[0].rstrip("\r").split("\t")
    spreads = [name for name in heading[1:] if _is_spread(name, suite)]
    width = 1 + len(suite.targets) + len(spreads)
    table = parse_table(path, text, lambda cells: len(cells) == width)
    first = table.rows[0]
    if first[0] == "sequence" and all(math.isnan(to_float(name)) for name in first[1:]):
        table = table.with_header()
    table.check_width(width)
    sequences = table.texts(0)
    predictions = np.stack(
        [table.numbers(column) for column in _target_columns(path, table.header, suite)], axis=1
    )
    differ = [
        f'line {line} ("{given[:40]}")'
        for line, given, wanted in zip(table.lines, sequences, suite.sequences, strict=False)
        if given != wanted
    ]
    if len(sequences) != len(suite.sequences):
        where = f" The first row that differs: {differ[0]}." if differ else ""
        raise UserError(
            f"{path} has {len(sequences):,} rows; the suite {suite.source} has "
            f"{len(suite.sequences):,}, and a submission has all of them in order.{where}"
        )
    refuse(
        f"{path}: sequences other than the suite's at that row",
        differ,
        f"A submission has the sequences of {suite.source} in order.",
    )
    return predictions


def _is_spread(name: str, suite: Suite) -> bool:
    return name.endswith(SPREADS) and name not in suite.targets


def _target_columns(path: Path, header: Sequence[str], suite: Suite) -> list[int]:
    """Return the number of each target's column; a header for several targets must name them."""
    columns = [n for n, name in enumerate(header) if n and not _is_spread(name, suite)]
    if not header or len(suite.targets) == 1:
        return columns or list(range(1, 1 + len(suite.targets)))
    if sorted(header[n] for n in columns) != sorted(suite.targets):
        raise UserError(
            f"{path}: its header names {', '.join(header[1:])}; the targets of {suite.source} are "
            f"{', '.join(suite.targets)}. Name these, in any order, or leave the header out."
        )
    return [header.index(target) for target in suite.targets]
