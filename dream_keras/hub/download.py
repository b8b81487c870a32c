"""Downloads that resume, are checked, and try one address after the other.

pooch transfers and hashes. Its ``retrieve`` is not used: it removes what has arrived when a
connection breaks, and does not know the checksums of git.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED
from dream_keras.common.progress import progress_bar
from dream_keras.hub.records import TIMEOUT, trouble

if TYPE_CHECKING:
    import requests
    from tqdm import tqdm

OFFLINE_VARIABLE = "DREAM_KERAS_OFFLINE"
"""Environment variable that forbids the network if it is set to anything but 0."""
CHUNK = 1 << 16
"""Bytes that are written at a time."""
HEADERS = {
    "Accept-Encoding": "identity",  # sizes and ranges are those of the file
    "Accept": "application/vnd.github.raw, */*",  # GitHub's blobs as they are, not in JSON
}

log = logging.getLogger(__name__)


def is_offline() -> bool:
    """Whether the user has forbidden the network."""
    return os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0")


def check_online(wanted: Path) -> None:
    """Refuse to use the network where the user has forbidden it.

    Args:
        wanted: The file that is missing.

    Raises:
        UserError: Names the file.
    """
    if is_offline():
        raise UserError(
            f"{wanted} is missing, and {OFFLINE_VARIABLE} forbids downloads: unset it, or put the "
            "file there"
        )


def check_space(folder: Path, needed: int) -> None:
    """Refuse to write more into a folder than its disk has space for.

    Raises:
        UserError: Says how much is free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder}: {needed:,} bytes are needed and {free:,} are free. Free some space, or "
            "set DREAM_KERAS_CACHE to a folder on another disk."
        )


def matches(path: Path, checksum: str) -> bool:
    """Return whether a file has a checksum, ``ALGORITHM:HEXADECIMAL``.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "empty"
        ...     path.touch()
        ...     matches(path, "git:e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
        True
    """
    return checksum_of(path, checksum.partition(":")[0]) == checksum


def checksum_of(path: Path, algorithm: str = "sha256") -> str:
    """Return the checksum of a file; ``git`` is the SHA-1 of git's blobs."""
    import pooch

    if algorithm != "git":
        return f"{algorithm}:{pooch.file_hash(str(path), algorithm)}"
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return f"git:{digest.hexdigest()}"


def download(
    urls: Sequence[str],
    target: Path,
    checksum: str | None,
    size: int | None = None,
    progress: bool | None = None,
) -> None:
    """Download a file from the first address that gives the right one.

    What has arrived is kept beside ``target`` until the file is complete. Without a checksum it is
    not resumed, since two versions might be mixed.

    Args:
        urls: Its addresses.
        target: Where it is put, once it is complete and checked.
        checksum: The one it must have; None takes any.
        size: Its size in bytes, if known.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Raises:
        UserError: If no address gives the file, or the disk is too small.
    """
    import requests

    check_online(target)
    part, troubles = target.with_name(f"{UNFINISHED}{target.name}"), []
    for url in urls:
        try:
            if not _get_checked(url, part, checksum, size, progress):
                raise requests.RequestException(f"damaged or another version: not {checksum}")
        except requests.RequestException as error:
            troubles.append(f"{url}: {trouble(error)}")
            log.warning("%s: %s", target.name, troubles[-1])
        else:
            part.replace(target)
            return
    kept = 0 if checksum is None else _size(part)
    again = f" {kept:,} bytes are kept: run it again." if kept else ""
    raise UserError(f"{target.name} could not be downloaded. {'; '.join(troubles)}.{again}")


def _get_checked(
    url: str, part: Path, checksum: str | None, size: int | None, progress: bool | None
) -> bool:
    """Complete a partial file and check it; one that was resumed in vain is fetched anew."""
    while True:
        if checksum is None or (size is not None and _size(part) > size):
            part.unlink(missing_ok=True)
        resumed = _size(part) > 0
        _complete(url, part, size, checksum is not None, progress)
        if checksum is None or matches(part, checksum):
            return True
        part.unlink()
        if not resumed:
            return False


def _complete(url: str, part: Path, size: int | None, resume: bool, progress: bool | None) -> None:
    """Fetch the rest of a file; with ``resume`` again and again as long as something arrives."""
    import requests

    have = _size(part)
    while have != size:
        try:
            _transfer(url, part, progress)
            if size is None or _size(part) >= size:
                return
            trouble = requests.RequestException(f"ended after {_size(part):,} of {size:,} bytes")
        except requests.HTTPError as error:
            if error.response.status_code == 416 and have:  # nothing lies beyond what there is
                return
            raise
        except requests.RequestException as error:
            trouble = error
        if not resume or _size(part) <= have:
            raise trouble
        have = _size(part)
        log.info("%s: cut off after %s bytes, going on", url, f"{have:,}")


def _transfer(url: str, part: Path, progress: bool | None) -> None:
    """Append what an address has beyond a partial file, or replace it where it has no ranges."""
    import pooch

    have = _size(part)
    headers = HEADERS | ({"Range": f"bytes={have}-"} if have else {})
    name = part.name.removeprefix(UNFINISHED)
    bar = progress_bar(progress, unit="B", unit_scale=True, desc=name)
    with part.open("ab") as file, bar:

        def inspect(response: "requests.Response", **_: Any) -> None:
            if response.ok and not response.is_redirect:
                if response.status_code == 206:
                    bar.initial = bar.n = have
                else:
                    file.truncate(0)
                rest = int(response.headers.get("Content-Length", 0))
                bar.total = bar.n + rest or None
                check_space(part.parent, rest)

        transfer = pooch.HTTPDownloader(
            False, CHUNK, timeout=TIMEOUT, headers=headers, hooks={"response": inspect}
        )
        transfer(url, _Followed(file, bar), None)


@dataclass(frozen=True)
class _Followed:
    """A file that a progress bar follows."""

    file: IO[bytes]
    bar: "tqdm"

    def write(self, piece: bytes) -> None:
        self.file.write(piece)
        self.bar.update(len(piece))

    def flush(self) -> None:
        self.file.flush()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
