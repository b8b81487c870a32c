"""Text output: columns of a table, and the useful line of an exception."""

import re
from collections.abc import Collection, Sequence

_PLACES = ("Graph execution error", "Detected at", "File ")
"""How lines begin in which TensorFlow says where something happened."""


def align(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    r"""Lay rows out in columns, two spaces apart.

    Args:
        rows: The cells, equally many in each row.
        left: The columns aligned on the left; the others are aligned on the right.

    Examples:
        >>> print("\n".join(align([("model", "r"), ("DREAM-CNN", "0.81"), ("RNN", "0.9")])))
        model         r
        DREAM-CNN  0.81
        RNN         0.9
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def reason(error: BaseException) -> str:
    r"""Return what an exception says is wrong, in one line without a final full stop.

    Keras prints what happened inside a layer in bold in the middle of a long message, and
    TensorFlow puts before it where it happened, or the user's code; elsewhere it is the first line.

    Examples:
        >>> reason(ValueError("no such file.\n  in line 3"))
        'no such file'
        >>> reason(KeyError())
        'KeyError'
    """
    message = str(error)
    bold = re.search(r"\x1b\[1m(.*?)\x1b\[0m", message, re.DOTALL)
    if bold:
        return " ".join(bold[1].split()).rstrip(".")
    lines = [line.strip() for line in message.splitlines()]
    lines = [line for line in lines if line and not line.startswith(_PLACES)]
    if not lines:
        return type(error).__name__
    return lines[-1 if lines[0].startswith("in user code") else 0].rstrip(".")
