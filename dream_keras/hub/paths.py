"""Paths that may be names of the catalogue: fetched when they are used, kept in the cache."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from dream_keras.common import remote
from dream_keras.common.files import write_text
from dream_keras.common.locks import claimed
from dream_keras.hub.catalogue import File, Part, PublishedSet, find, named
from dream_keras.hub.download import check_online, checksum_of, download, matches
from dream_keras.hub.records import published_checksum
from dream_keras.hub.unpack import make

LOCK = "checksums.json"
"""File in the folder of a set: the checksum of each file, and the size and time of change that it
had when it was checked."""

log = logging.getLogger(__name__)


def is_elsewhere(path: str | Path) -> bool:
    """Whether a path is an address or a name of the catalogue, and so not looked up at once.

    Examples:
        >>> is_elsewhere("dream"), is_elsewhere("gs://bucket/run"), is_elsewhere("no_such_file")
        (True, True, False)
    """
    return remote.is_remote(path) or find(path) is not None


def absolute(path: str | Path) -> str:
    """Return a path that does not depend on the working folder; addresses and names as they are."""
    return str(path) if find(path) is not None else remote.absolute(path)


def local_copy(path: str | Path, part: Part | None = None) -> Path:
    """Return a path on this machine; what an address or a name stands for is fetched.

    Args:
        path: A path, an address, or a name of the catalogue: a set, or a file or folder in one.
        part: What a set that is named alone is used for; None fetches all of it.

    Returns:
        The path; of a set its folder, or its only file.

    Raises:
        UserError: If there is nothing of that name, or it cannot be fetched.
    """
    found = None if remote.is_remote(path) else find(path)
    if found is None:
        return remote.local_copy(path)
    entry, place = found
    root = home()
    if place:
        fetch_files(entry, entry.below(place), root)
        return root / entry.name / place
    fetch_files(entry, entry.of_part(part) if part else entry.products, root)
    return place_of(entry, root)


def home() -> Path:
    """Return the folder of the cache in which sets have theirs."""
    return remote.cache() / "sets"


def place_of(entry: PublishedSet, root: Path) -> Path:
    """Return the folder of a set, or the only file that is wanted of it."""
    return root / entry.name / (entry.products[0].name if len(entry.products) == 1 else "")


def table_of(train: str, part: Part) -> str | None:
    """Return the name of a set's table of a part; None where ``train`` is no set that has one.

    Examples:
        >>> table_of("dream", "validation")
        'dream/val.txt'
        >>> table_of("dream/train.txt", "validation")
    """
    found = find(train)
    if found is None or found[1]:
        return None
    entry = found[0]
    names = [file.name for file in entry.files.values() if file.part == part]
    return f"{entry.name}/{names[0]}" if names else None


def fetch_files(
    entry: PublishedSet, files: Iterable[File], root: Path, progress: bool | None = None
) -> None:
    """Fetch files of a set into its folder, those left out that are there.

    Args:
        entry: The set.
        files: Its files.
        root: The folder in which sets have theirs.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Raises:
        UserError: If one cannot be fetched, or another process is at work there.
    """
    folder = root / entry.name
    missing = [file for file in files if not is_there(folder, file)]
    if not missing:
        return
    with claimed(folder, "wait for it"):
        for file in missing:
            _obtain(entry, file, root, progress)


def is_there(folder: Path, file: File) -> bool:
    """Whether a file has been fetched or made, and is as it was when it was checked."""
    path = folder / file.name
    if file.made_of:
        return path.exists()
    return path.is_file() and _stamp(path) == _lock(folder).get(file.name, {}).get("stamp")


def _obtain(entry: PublishedSet, file: File, root: Path, progress: bool | None) -> None:
    folder = root / entry.name
    target = folder / file.name
    if is_there(folder, file):
        return
    if file.made_of:
        sources = [_source(entry, name, root, progress) for name in file.made_of]
        log.info("making %s/%s", entry.name, file.name)
        make(target, sources, file.member)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    checksum, origin = _expected(folder, file)
    if checksum is None or not target.exists() or not matches(target, checksum):
        if target.exists():
            log.warning("%s is not the published file any more: it is fetched again", target)
        log.info("fetching %s/%s (licence: %s)", entry.name, file.name, entry.licence)
        download(file.urls, target, checksum, file.bytes, progress)
    if checksum is None:
        checksum = checksum_of(target)
        log.warning(
            "%s/%s: no checksum is published. That of this download, %s, is kept in %s and "
            "expected from now on.",
            entry.name,
            file.name,
            checksum,
            folder / LOCK,
        )
    noted = {"checksum": checksum, "from": origin, "stamp": _stamp(target)}
    write_text(folder / LOCK, json.dumps(_lock(folder) | {file.name: noted}, indent=2) + "\n")


def _expected(folder: Path, file: File) -> tuple[str | None, str]:
    """Return the checksum that a file must have, if there is one, and where it is from."""
    noted = _lock(folder).get(file.name)
    if file.checksum is not None:
        return file.checksum, "the catalogue"
    if noted is not None:
        return str(noted["checksum"]), str(noted["from"])
    if file.record is None:
        return None, "the first download"
    check_online(folder / file.name)
    checksum = published_checksum(file.record, file.name)
    log.info("%s: checksum %s, read from %s", file.name, checksum, file.record)
    return checksum, file.record


def _source(entry: PublishedSet, name: str, root: Path, progress: bool | None) -> Path:
    """Fetch a file that another is made of, of the same set or of one it names."""
    if name in entry.files:
        _obtain(entry, entry.files[name], root, progress)
        return root / entry.name / name
    found = named(name)
    assert found is not None, name
    fetch_files(found[0], found[0].below(found[1]), root, progress)
    return root / name


def _lock(folder: Path) -> dict[str, dict[str, object]]:
    path = folder / LOCK
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]
