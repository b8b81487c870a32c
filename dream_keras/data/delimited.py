"""Delimited text: which character separates the columns, quoted fields, and columns by name.

Tables, suites, lists of members and submissions are all read with this.
"""

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from dream_keras.common.errors import UserError, short_list, unknown

DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon"}
"""What may separate columns, and what it is called."""
TAB = "\t"

Cells = list[str]


def find_delimiter(
    path: object, line: int, text: str, fits: Callable[[Cells], bool] = lambda cells: False
) -> str:
    """Tell from the first line of a table what separates its columns; a tab if there is one.

    Args:
        path: The file, for messages.
        line: The line's number in it.
        text: The line.
        fits: Whether its cells, stripped, are those of the table; decides if the line holds
            several delimiters.

    Raises:
        UserError: If it could be more than one; names them.

    Examples:
        >>> find_delimiter("own.csv", 1, 'seq;"activity, log2"')
        ';'
        >>> find_delimiter("own.csv", 1, "seq;activity, log2", fits=lambda cells: "seq" in cells)
        ';'
        >>> find_delimiter("own.csv", 1, "name;seq,activity;log2")
        Traceback (most recent call last):
            ...
        dream_keras.common.errors.UserError: own.csv:1: the columns may be separated by comma (2 \
columns) or semicolon (3 columns). Put names that hold a comma or semicolon in double quotes.
    """
    bare = re.sub('"[^"]*"', "", text)
    found = [delimiter for delimiter in DELIMITERS if delimiter in bare]
    if len(found) > 1:
        cells = {each: [cell.strip() for cell in split(path, line, text, each)] for each in found}
        found = [each for each in found if fits(cells[each])] or found
    if len(found) > 1:
        choices = " or ".join(f"{DELIMITERS[each]} ({len(cells[each])} columns)" for each in found)
        raise UserError(
            f"{path}:{line}: the columns may be separated by {choices}. Put names that hold a "
            f"{' or '.join(DELIMITERS[each] for each in found)} in double quotes."
        )
    return found[0] if found else TAB


def split(path: object, line: int, text: str, delimiter: str) -> Cells:
    """Split one line into cells.

    Raises:
        UserError: If its quotes are malformed.
    """
    return next((cells for _, cells in records(path, [text], delimiter, line)), [""])


def records(
    path: object, lines: Iterable[str], delimiter: str, first_line: int = 1
) -> Iterator[tuple[int, Cells]]:
    r"""Yield the cells of each record and the line on which it begins; quoted fields understood.

    Args:
        path: The file, for messages.
        lines: Its lines; a quoted field may run over several.
        delimiter: What separates the columns.
        first_line: Number of the first of the lines.

    Raises:
        UserError: If quotes are malformed; names the line.

    Examples:
        >>> list(records("own.csv", ["a,b\n", '"1,5",say\n'], ","))
        [(1, ['a', 'b']), (2, ['1,5', 'say'])]
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = first_line
    try:
        for cells in reader:
            yield line, cells
            line = first_line + reader.line_num
    except csv.Error as error:
        open_quote = "unexpected end of data" in str(error) or "field limit" in str(error)
        problem = "a double quote is opened and not closed" if open_quote else str(error)
        raise UserError(
            f"{path}:{line}: malformed quotes: {problem}. A field in double quotes has its own "
            "quotes doubled, and a delimiter or the line's end behind it."
        ) from None


def find_column(path: object, column: str, names: Sequence[str]) -> int:
    """Return the number of a column, from 0.

    Raises:
        UserError: If the header does not name it, or names it twice.
    """
    if column not in names:
        raise unknown(f"column of {path}", column, names)
    if names.count(column) > 1:
        raise UserError(f'{path} has more than one column "{column}". Rename one.')
    return list(names).index(column)


def describe_columns(cells: Sequence[str], delimiter: str) -> str:
    """Say how many columns there are and how they begin, for messages.

    Examples:
        >>> describe_columns(["id", "seq", "y"], ",")
        '3 comma-separated columns (id, seq, y)'
    """
    if len(cells) == 1:
        return f"one column ({_short(cells[0])})"
    begin = short_list([*map(_short, cells)])
    return f"{len(cells)} {DELIMITERS[delimiter]}-separated columns ({begin})"


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:21]}..."


def to_float(text: str) -> float:
    """Read a number; NaN when the text is none.

    Examples:
        >>> to_float("5e-1"), to_float("1_5"), to_float("high")
        (0.5, nan, nan)
    """
    if "_" in text:  # Python reads "1_5" as 15, as in its source code.
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.nan
