"""What every reader of scoring files shares: text, JSON objects and the naming of offenders.

What is malformed is refused with the first offenders named.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from dream_keras.common.errors import UserError
from dream_keras.data.text import open_text

_NAMED = 3
"""How many offenders a message names."""
_SHOWN = 40
"""How many letters of a bad value a message shows."""


def read_text(path: Path) -> str:
    """Read a text file, gzipped or not, whatever its name says.

    Raises:
        UserError: The file is missing, a folder, empty, damaged or not text.
    """
    with open_text(path) as file:
        data = file.read()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file (see byte {error.start:,}).") from error
    if "\0" in text:
        raise UserError(f"{path} is not a text file (it holds zero bytes).")
    if not text.strip():
        raise UserError(f"{path} is empty.")
    return text


def parse_json(path: Path, text: str) -> list[tuple[str, object]]:
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


def is_finite_number(value: object) -> bool:
    """Whether a value out of ``parse_json`` is a finite number."""
    return isinstance(value, float) and math.isfinite(value)


def refuse(problem: str, offenders: Iterable[str], remedy: str = "") -> None:
    """Raise a UserError that names the first offenders, unless there are none.

    Examples:
        >>> refuse("unknown positions", ["7", "8", "9", "10"])
        Traceback (most recent call last):
            ...
        dream_keras.common.errors.UserError: unknown positions: 7, 8, 9 and 1 more.
    """
    all_offenders = list(offenders)
    if not all_offenders:
        return
    rest = len(all_offenders) - _NAMED
    named = ", ".join(all_offenders[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
    raise UserError(f"{problem}: {named}.{remedy and ' ' + remedy}")


def short(value: object) -> str:
    """Return a value's text, cut where it is too long for a message.

    Examples:
        >>> short("ACGT" * 20)
        'ACGTACGTACGTACGTACGTACGTACGTACGTACGTA...'
    """
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
