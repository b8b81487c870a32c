"""Atomic file writes, and checksums."""

import contextlib
import csv
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dream_keras.common.errors import UserError

UNFINISHED = ".writing-"
"""Prefix of the names of files that are being written."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that replaces it when the block succeeds.

    A kill or a full disk at any moment leaves either the old file or the new one. The temporary
    name keeps all suffixes, since Keras and numpy choose formats by them. A link is followed; a
    pipe or device is written to as it is.

    Examples:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "scores.txt"
        ...     with replacing(path) as temporary:
        ...         _ = temporary.write_text("0.81")
        ...         path.exists()
        ...     path.read_text()
        False
        '0.81'
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        yield path
        return
    handle, name = tempfile.mkstemp(prefix=UNFINISHED, suffix=f"-{path.name}", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_rows(path: Path, rows: Iterable[Sequence[object]], comment: str = "") -> None:
    r"""Write a tab-separated table atomically.

    Args:
        path: The file.
        rows: Its lines, the header first.
        comment: What stands in front of them, behind ``# ``; nothing if it is empty.

    Examples:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "table.tsv"
        ...     write_rows(path, [["name", "r"], ["a", 0.5]], "made by hand")
        ...     path.read_text()
        '# made by hand\nname\tr\na\t0.5\n'
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        if comment:
            file.write(f"# {comment}\n")
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows(rows)


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Make a folder for results, and remove it again if nothing is written into it.

    Raises:
        UserError: If it is there and holds something.

    Examples:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with new_folder(Path(folder) / "out") as out:
        ...         out.is_dir()
        ...     out.exists()
        True
        False
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists already: give another folder with --out, or remove it")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be made ({error.strerror})") from None
    try:
        yield out
    finally:
        if not any(out.iterdir()):
            out.rmdir()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically.

    Examples:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text(Path(folder) / "scores.txt", "0.81")
        ...     [file.name for file in Path(folder).iterdir()]
        ['scores.txt']
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
