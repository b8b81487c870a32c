"""Submissions, and the two file formats they and the suites share: tables and JSON objects.

Every reader takes plain and gzipped files alike, tells them apart by content, and refuses what is
malformed with the first offenders named.
"""

import gzip
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dream_keras.errors import UserError

if TYPE_CHECKING:
    from dream_keras.scoring.suite import Suite

Floats = npt.NDArray[np.float64]

_NAMED = 3
"""How many offenders a message names."""


def read_submission(path: str | Path, suite: "Suite") -> Floats:
    """Read predictions for every row of a suite, shape (rows,).

    Either JSON, ``{position: prediction}`` with positions counted from 0; or a table of
    ``sequence<TAB>prediction`` lines in the suite's order, with or without a header line whose
    first word is ``sequence``.

    Raises:
        UserError: The file is malformed, incomplete, names a position twice or one that the suite
            does not have, is in another order, or holds something else than finite numbers.
    """
    path = Path(path)
    text = read_text(path)
    if text.lstrip().startswith("{"):
        return _from_items(path, parse_json(path, text), suite)
    return _from_lines(path, text.rstrip().splitlines(), suite)


def _from_items(path: Path, items: list[tuple[str, Any]], suite: "Suite") -> Floats:
    rows = len(suite.sequences)
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
    refuse(
        f"{path}: predictions that are not finite numbers",
        [f'"{key}" ({_short(value)})' for key, value in items if not is_finite_number(value)],
    )
    return np.array([predictions[key] for key in positions], np.float64)


def _from_lines(path: Path, lines: Sequence[str], suite: "Suite") -> Floats:
    name, _, value = lines[0].partition("\t")
    header = name == "sequence" and math.isnan(_to_float(value))
    first_line = 2 if header else 1
    sequences, predictions = parse_table(path, lines[header:], first_line)
    differ = [
        f'line {number} ("{given[:40]}")'
        for number, (given, wanted) in enumerate(
            zip(sequences, suite.sequences, strict=False), first_line
        )
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


def read_text(path: Path) -> str:
    """Read a text file, gzipped or not, whatever its name says.

    Raises:
        UserError: The file is missing, a folder, empty, damaged or not text.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist.")
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a file.")
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is a damaged gzip file ({error}). Get it again.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file (see byte {error.start:,}).") from error
    if "\0" in text:
        raise UserError(f"{path} is not a text file (it holds zero bytes).")
    if not text.strip():
        raise UserError(f"{path} is empty.")
    return text


def read_table(path: Path) -> tuple[tuple[str, ...], Floats]:
    """Read a file of ``sequence<TAB>number`` lines without a header.

    Returns:
        The sequences and the numbers, shape (rows,).

    Raises:
        UserError: What ``read_text`` raises; or a line does not have two columns with a finite
            number in the second.
    """
    return parse_table(path, read_text(path).rstrip().splitlines())


def parse_table(
    path: Path, lines: Sequence[str], first_line: int = 1
) -> tuple[tuple[str, ...], Floats]:
    """Parse the lines of a table; ``first_line`` is the number of the first one in the file."""
    cells = list(enumerate((line.split("\t") for line in lines), first_line))
    refuse(
        f"{path}: lines that are not two columns with a tab between them",
        [f'line {number} ("{_short(row[0])}")' for number, row in cells if len(row) != 2],
    )
    values = np.array([_to_float(text) for _, (_, text) in cells], np.float64)
    refuse(
        f"{path}: values that are not finite numbers",
        [
            f'line {cells[index][0]} ("{_short(cells[index][1][1])}")'
            for index in np.flatnonzero(~np.isfinite(values))
        ],
    )
    return tuple(sequence for _, (sequence, _) in cells), values


def looks_like_table(path: Path) -> bool:
    """Whether the first line of a file is one of a table."""
    try:
        parse_table(path, read_text(path).splitlines()[:1])
    except UserError:
        return False
    return True


def parse_json(path: Path, text: str) -> list[tuple[str, Any]]:
    """Parse one JSON object to (key, value) pairs; all its numbers come as float.

    Raises:
        UserError: The text is not one JSON object, or names a key twice.
    """
    try:
        items = json.loads(text.strip(), object_pairs_hook=list, parse_int=float)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UserError(f"{path}: malformed JSON at {where}: {error.msg}.") from error
    except RecursionError as error:
        raise UserError(f"{path}: malformed JSON: nested too deeply.") from error
    if not text.lstrip().startswith("{"):
        raise UserError(f'{path}: must hold one JSON object, {{"key": value, ...}}.')
    times = Counter(key for key, _ in items)
    refuse(
        f"{path}: named more than once", [f'"{key}"' for key, count in times.items() if count > 1]
    )
    return items


def is_finite_number(value: Any) -> bool:
    """Whether a value out of ``parse_json`` is a finite number."""
    return isinstance(value, float) and math.isfinite(value)


def refuse(problem: str, offenders: Iterable[str], remedy: str = "") -> None:
    """Raise a UserError that names the first offenders, unless there are none."""
    all_offenders = list(offenders)
    if not all_offenders:
        return
    rest = len(all_offenders) - _NAMED
    named = ", ".join(all_offenders[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
    raise UserError(f"{problem}: {named}.{remedy and ' ' + remedy}")


def _to_float(text: str) -> float:
    if "_" in text:  # Python reads "1_5" as 15, as in its source code.
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.nan


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
