"""Files that are made of downloaded ones: out of archives, unpacked, or joined."""

import contextlib
import gzip
import itertools
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED, replacing
from dream_keras.hub.download import check_space

Content = IO[bytes] | gzip.GzipFile
Member = tuple[str, int, Content | None]
"""Name, size in bytes and content of a file in an archive; None for a link or a device."""


def make(target: Path, sources: Sequence[Path], member: str | None) -> None:
    """Make a file or folder of others; the fields ``made_of`` and ``member`` of the catalogue.

    Raises:
        UserError: If a source is damaged, or does not have the member, or one that leaves the
            folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if member == "*":
            _unpack_all(sources[0], target)
        elif member is not None:
            _unpack_one(sources[0], member, target)
        elif len(sources) == 2:
            _join(sources[0], sources[1], target)
        else:
            with gzip.open(sources[0]) as packed:
                _write(packed, target)
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error):
        raise UserError(
            f"{sources[0]} is damaged or no archive: remove it, and fetch it again"
        ) from None


def _unpack_one(archive: Path, wanted: str, target: Path) -> None:
    """Unpack the first file whose path is, or ends with, the one that is wanted."""
    for name, size, content in _members(archive):
        if f"/{name}".endswith(f"/{wanted}"):
            check_space(target.parent, size)
            _write(_checked(archive, name, content), target)
            return
    raise UserError(f"{archive} does not hold {wanted}")


def _unpack_all(archive: Path, target: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=target.parent))
    try:
        for name, size, content in _members(archive):
            source, place = _checked(archive, name, content), folder / name
            check_space(folder, size)
            place.parent.mkdir(parents=True, exist_ok=True)
            _write(source, place)
        folder.chmod(0o755)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _members(archive: Path) -> Iterator[Member]:
    """Yield what an archive holds, folders left out, in order; content is read at once or never."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                if not entry.is_dir():
                    with packed.open(entry) as content:
                        yield entry.filename, entry.file_size, content
        return
    with tarfile.open(archive) as packed:
        for info in packed:
            if not info.isdir():
                name = info.name.removeprefix("./")
                yield name, info.size, packed.extractfile(info) if info.isreg() else None


def _checked(archive: Path, name: str, content: Content | None) -> Content:
    """Refuse a member that is no file, or whose path leaves the folder it is unpacked into."""
    path = PurePosixPath(name.replace("\\", "/"))
    if content is None or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise UserError(
            f"{archive} holds {name}, which is a link or leaves the folder: it is not unpacked"
        )
    return content


def _write(source: Content, target: Path) -> None:
    with replacing(target) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


def _join(fasta: Path, table: Path, target: Path) -> None:
    """Write a table of the records of a FASTA file and of a table's rows, in the same order."""
    with contextlib.ExitStack() as stack:
        records = _records(stack.enter_context(fasta.open(encoding="utf-8")))
        rows = stack.enter_context(table.open(encoding="utf-8"))
        temporary = stack.enter_context(replacing(target))
        out = stack.enter_context(temporary.open("w", encoding="utf-8"))
        head = ("ID", "Sequence")
        for record, row in itertools.zip_longest(itertools.chain([head], records), rows):
            if record is None or row is None:
                raise UserError(f"{fasta} and {table} do not have the same number of rows")
            out.write("\t".join([*record, row.rstrip("\r\n")]) + "\n")


def _records(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    name, letters = None, []
    for line in itertools.chain(lines, [">"]):
        if not line.startswith(">"):
            letters.append(line.strip())
            continue
        if name is not None:
            yield name, "".join(letters)
        name, letters = line[1:].strip(), []
