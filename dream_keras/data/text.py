"""Files as bytes of text: plain, gzipped or Parquet, told apart by content.

Behind ``open_text`` every file begins after its byte-order mark and has lines that end with line
feeds, with or without a carriage return before it.
"""

import gzip
import io
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from dream_keras.common.errors import UserError
from dream_keras.common.text import reason
from dream_keras.hub.paths import local_copy

GZIP, ZIP, PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"PAR1"
OTHERS = {
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "Save it as CSV in the spreadsheet program."),
    b"BZh": ("a bzip2 file", "Unpack it (bunzip2); gzip is read as it is."),
    b"\xfd7zXZ": ("an xz file", "Unpack it (unxz); gzip is read as it is."),
    b"\x28\xb5\x2f\xfd": ("a Zstandard file", "Unpack it (unzstd); gzip is read as it is."),
    b"\x89HDF": ("an HDF5 file", "Write its table as CSV, for instance with pandas."),
}
"""How files begin that are no text, what they are, and what to do."""


def open_text(path: str | Path) -> IO[bytes]:
    """Open a text file, or standard input for ``-``, past any byte-order mark.

    What an address or a name of the catalogue stands for is fetched. Gzip is unpacked. Parquet is
    turned into comma-separated text, if pyarrow is installed.

    Raises:
        UserError: If it is missing, a folder, empty, or of a format that is not read.
    """
    path = local_copy(path)
    if str(path) == "-":
        raw: Any = sys.stdin.buffer
    elif Path(path).is_dir():
        raise UserError(f"{path} is a folder, not a file.")
    else:
        try:
            raw = Path(path).open("rb")  # noqa: SIM115  # the caller closes it
        except FileNotFoundError:
            raise UserError(f"no file {path}") from None
    file: Any = raw if hasattr(raw, "peek") else io.BufferedReader(raw)
    if file.peek(2)[:2] == GZIP:
        file = io.BufferedReader(_CheckedGzip(file, str(path)))
    start = file.peek(8)[:8]
    if not start:
        raise UserError(f"{path} is empty.")
    if start.startswith(PARQUET):
        return io.BufferedReader(_Lines(_parquet_lines(path, file)))
    _refuse_other_formats(path, file, start)
    if start.startswith(b"\xef\xbb\xbf"):
        file.read(3)
    begin = file.peek(1)
    if b"\r" in begin[:-1] and b"\n" not in begin:
        file = io.BufferedReader(_OldLineEnds(file))
    return file


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers, but not blank ones and comments, ``#``.

    Raises:
        UserError: As ``open_text`` does, or if it is damaged or not UTF-8.
    """
    with open_text(path) as file:
        try:
            for number, line in enumerate(file, 1):
                if line.strip() and not line.startswith(b"#"):
                    yield number, line.decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read: {reason(error)}") from None


def skip_leading(file: IO[bytes], comments: bytes = b"#") -> int:
    """Read past blank lines and comments at the beginning of a file; return how many.

    Args:
        file: A file from ``open_text``.
        comments: What a comment may begin with.
    """
    skipped = 0
    while (first := file.peek(1)[:1]) and first in b"\r\n" + comments:  # type: ignore[attr-defined]
        file.readline()
        skipped += 1
    return skipped


def _refuse_other_formats(path: str | Path, file: IO[bytes], start: bytes) -> None:
    """Refuse a file that is no text by its name.

    Raises:
        UserError: Says what it is, and what to do.
    """
    if start.startswith(ZIP):
        begin = file.peek(1)  # type: ignore[attr-defined]
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (OSError, zipfile.BadZipFile):  # standard input, or damaged
            names = ["xl/"] if b"[Content_Types].xml" in begin or b"xl/" in begin else []
        if any(name.startswith("xl/") for name in names):
            raise UserError(
                f"{path} is an Excel workbook (xlsx), not text. Save the sheet as CSV in the "
                "spreadsheet program, and give that file."
            )
        raise UserError(f"{path} is a zip archive. Unpack it, and give the file in it.")
    for magic, (what, remedy) in OTHERS.items():
        if start.startswith(magic):
            raise UserError(f"{path} is {what}, not text. {remedy}")


def _parquet_lines(path: str | Path, file: IO[bytes]) -> Iterator[bytes]:
    """Yield a Parquet file as pieces of comma-separated text, header first.

    Raises:
        UserError: If pyarrow is not installed, or the file is damaged.
    """
    try:
        import pyarrow
        from pyarrow import csv, parquet
    except ImportError:
        raise UserError(
            f"{path} is a Parquet file, which needs pyarrow, and that is not installed: pip "
            "install pyarrow, or write the table as CSV."
        ) from None
    try:
        table = parquet.ParquetFile(io.BytesIO(file.read()))
        header = True
        for batch in table.iter_batches():
            text = io.BytesIO()
            csv.write_csv(batch, text, csv.WriteOptions(include_header=header))
            header = False
            yield text.getvalue()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: this Parquet file cannot be read as a table: {error}") from None


class _Lines(io.RawIOBase):
    """A file of the pieces that an iterator yields."""

    def __init__(self, pieces: Iterator[bytes]):
        super().__init__()
        self.pieces = pieces
        self.left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self.left:
            self.left = memoryview(next((piece for piece in self.pieces if piece), b""))
        data, self.left = self.left[: len(buffer)], self.left[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


class _OldLineEnds(io.RawIOBase):
    """A file whose lines end with carriage returns alone, with line feeds instead."""

    def __init__(self, file: IO[bytes]):
        super().__init__()
        self.file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.file.read(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(data)] = data
        return len(data)


class _CheckedGzip(gzip.GzipFile):
    """A gzip stream that says which file is damaged."""

    def __init__(self, file: Any, path: str):
        super().__init__(fileobj=file)
        self.path = path

    def readinto(self, buffer: Any) -> int:
        try:
            return super().readinto(buffer)
        except (EOFError, gzip.BadGzipFile, zlib.error, OSError, ValueError) as error:
            raise UserError(
                f"{self.path} is a damaged gzip file ({error}). Get it again."
            ) from None
