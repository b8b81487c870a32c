"""The catalogue: what is published where, with checksums, licences and citations.

``catalogue.yaml`` holds the facts; its head explains the keys. A name is that of a set
(``dream``), or of a file or folder in one (``dream/train.txt``).
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from dream_keras.common.errors import UserError, unknown

CATALOGUE = Path(__file__).with_name("catalogue.yaml")

Part = Literal["train", "validation", "suite"]
"""What a file is used for when its set is named alone."""


@dataclass(frozen=True)
class File:
    """A file of a set, or a folder unpacked from an archive.

    Attributes:
        name: Its place in the folder of the set.
        urls: Where it is published, in the order in which they are tried; empty if it is made of
            other files.
        checksum: ``md5:...``, ``sha256:...`` or ``git:...`` (SHA-1 of a git blob), in hexadecimal;
            None where none is published with the file.
        bytes: Its size; None if not known.
        about: Its size, rounded, where it is not known exactly.
        record: Address of the record that has its checksum, read at first use.
        part: What it is used for when the set is named alone.
        made_of: Files it is made of: an archive with ``member``, a gzipped file, or a FASTA file
            and the table of its values.
        member: Path in the archive, or its end; ``*`` unpacks everything into a folder.
    """

    name: str
    urls: tuple[str, ...] = ()
    checksum: str | None = None
    bytes: int | None = None
    about: int | None = None
    record: str | None = None
    part: Part | None = None
    made_of: tuple[str, ...] = ()
    member: str | None = None

    @property
    def size(self) -> int | None:
        """Its size in bytes, exact or rounded, if known."""
        return self.bytes or self.about


@dataclass(frozen=True)
class PublishedSet:
    """A set of the catalogue.

    Attributes:
        name: Its name.
        title: What it is.
        licence: Under which its publishers give it away, or "not stated".
        citation: Whom to cite.
        files: Its files by name.
        columns: Columns of its tables.
        layout: How it is used here.
        preset: Of weights, the config whose order they belong to.
    """

    name: str
    title: str
    licence: str
    citation: str
    files: Mapping[str, File]
    columns: str = ""
    layout: str = ""
    preset: str | None = None

    @property
    def products(self) -> list[File]:
        """The files that are wanted, without those that others are made of."""
        used = {source for file in self.files.values() for source in file.made_of}
        return [file for file in self.files.values() if file.name not in used]

    @property
    def sizes(self) -> list[int | None]:
        """The sizes in bytes of what is downloaded, exact or rounded; None if not known."""
        return [file.size for file in self.files.values() if file.urls]

    def of_part(self, part: Part) -> list[File]:
        """Return the files of a part.

        Raises:
            UserError: If there are none.
        """
        files = [file for file in self.files.values() if file.part == part]
        if not files:
            raise UserError(
                f"{self.name} does not say which of its files are for {part}: name one of "
                f"{', '.join(file.name for file in self.products)}, as {self.name}/FILE"
            )
        return files

    def below(self, place: str) -> list[File]:
        """Return the files that make up a file or folder of the set.

        Raises:
            UserError: If it has no such file.
        """
        files = [
            file
            for file in self.files.values()
            if f"{file.name}/".startswith(f"{place}/") or place.startswith(f"{file.name}/")
        ]
        if not files:
            raise unknown(f"file of {self.name}", place, self.files)
        return files


def sets() -> Mapping[str, PublishedSet]:
    """Return all sets by name.

    Examples:
        >>> sets()["dream"].files["train.txt"].urls
        ('https://zenodo.org/records/10633252/files/train.txt?download=1',)
    """
    return _read(CATALOGUE)


def find(path: object) -> tuple[PublishedSet, str] | None:
    """Return what a path names, as ``named``; None where it exists: a path wins over a name.

    Examples:
        >>> entry, place = find("dream/train.txt")
        >>> entry.name, place
        ('dream', 'train.txt')
        >>> find("no/such/file.txt")
    """
    found = named(str(path))
    return found if found is None or not Path(str(path)).exists() else None


def named(name: str) -> tuple[PublishedSet, str] | None:
    """Return the set of a name and the place in it, or None.

    Examples:
        >>> named("dream")[1]
        ''
    """
    for known, entry in sets().items():
        if name == known or name.startswith(f"{known}/"):
            return entry, name[len(known) + 1 :]
    return None


@functools.cache
def _read(path: Path) -> Mapping[str, PublishedSet]:
    with path.open(encoding="utf-8") as file:
        declared = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {name: _set(name, **fields) for name, fields in declared.items()}


def _set(
    name: str,
    files: Mapping[str, Mapping[str, Any] | str | None],
    url: str | Sequence[str] = (),
    record: str | None = None,
    **fields: str,
) -> PublishedSet:
    made = {}
    for file, given in files.items():
        values = {"checksum": given} if isinstance(given, str) else dict(given or {})
        made[file] = _file(file, **{"url": url, "record": record, **values})
    return PublishedSet(name, files=made, **fields)


def _file(
    name: str,
    url: str | Sequence[str],
    record: str | None,
    checksum: str | None = None,
    made_of: str | Sequence[str] = (),
    **fields: Any,
) -> File:
    """Return a file; addresses may contain {file} and, for git blobs, {blob}."""
    sources = _tuple(made_of)
    words = {"file": name, "blob": (checksum or "").partition(":")[2]}
    return File(
        name,
        () if sources else tuple(address.format(**words) for address in _tuple(url)),
        checksum,
        record=None if record is None or checksum or sources else record.format(**words),
        made_of=sources,
        **fields,
    )


def _tuple(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
