"""Files and run folders at addresses (``gs://...``, ``s3://...``), through fsspec."""

import atexit
import contextlib
import logging
import os
import re
import shutil
import tempfile
import uuid
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED
from dream_keras.common.locks import LOCK, Owner
from dream_keras.common.text import reason

if TYPE_CHECKING:
    import fsspec

CACHE_VARIABLE = "DREAM_KERAS_CACHE"
"""Environment variable that names another folder for what is simulated or copied."""
OBJECT_STORES = {
    "gs": ("gcs", "gcsfs"),
    "gcs": ("gcs", "gcsfs"),
    "s3": ("s3", "s3fs"),
    "s3a": ("s3", "s3fs"),
}
"""Extra and package of each protocol whose files become visible only when they are complete."""

log = logging.getLogger(__name__)


def cache() -> Path:
    """Return the folder for what is simulated or copied."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        # pooch imports tqdm.auto, which warns in a notebook without ipywidgets.
        warnings.simplefilter("ignore", TqdmWarning)
        import pooch

    return Path(pooch.os_cache("dream_keras"))


def is_remote(path: str | Path) -> bool:
    """Whether a path is an address, like ``gs://bucket/folder``."""
    return re.match(r"[a-z][a-z0-9+.-]*://", str(path)) is not None


def absolute(path: str | Path) -> str:
    """Return a path that does not depend on the working folder; an address as it is."""
    return str(path) if is_remote(path) else str(Path(path).resolve())


def local_copy(path: str | Path) -> Path:
    """Return a path on this machine: of an address, a copy in the cache, made if it is not recent.

    Args:
        path: A path, or the address of a file or folder.

    Raises:
        UserError: If there is nothing at the address, or it cannot be reached.
    """
    if not is_remote(path):
        return Path(path)
    address = str(path).rstrip("/")
    # The name stays, since suites and readers go by it.
    target = cache() / "remote" / f"{zlib.crc32(address.encode()):08x}" / address.split("/")[-1]
    if not _download(address, target):
        raise UserError(f"{address}: no such file or folder")
    return target


class Mirror:
    """A folder on this machine whose files are copied to an address whenever asked.

    Everything that writes and reads works on the local folder. It is removed when the process
    ends, unless some file of it could not be copied.

    Args:
        address: The remote folder; what it holds is copied here first.

    Raises:
        UserError: If the address cannot be reached.
    """

    def __init__(self, address: str):
        self.address = address.rstrip("/")
        (cache() / "remote").mkdir(parents=True, exist_ok=True)
        # The name stays: reports are called by it.
        parent = tempfile.mkdtemp(prefix="run-", dir=cache() / "remote")
        self.folder = Path(parent) / self.address.split("/")[-1]
        try:
            _download(self.address, self.folder)
        except UserError:
            shutil.rmtree(parent)
            raise
        self._sent = dict(_stamps(self.folder))
        self._owner: Owner | None = None
        atexit.register(self._remove)

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Write an owner to the address for the length of a block.

        No lock spans machines there. A living owner on this machine is left alone; any other one is
        taken over from, since it may have been killed. If it lives, it ends when it next sends.

        Raises:
            UserError: A process of this machine is at work there.
        """
        owner = self._owner_there()
        if owner is not None and owner.is_alive_here:
            raise UserError(
                f"another process is at work in {self.address} ({owner}): wait for it, or choose "
                "another folder with --out."
            )
        if owner is not None:
            log.warning("%s: taken over from %s", self.address, owner)
        self._owner = Owner.here()
        files, root = _connect(self.address)
        files.makedirs(root, exist_ok=True)
        files.pipe_file(f"{root}/{LOCK}", self._owner.words)
        try:
            yield
        finally:
            with contextlib.suppress(Exception):  # file systems share no class of errors
                if self._owner_there() == self._owner:
                    files.rm_file(f"{root}/{LOCK}")
            self._owner = None

    def _owner_there(self) -> Owner | None:
        files, root = _connect(self.address)
        try:
            return Owner.parse(files.cat_file(f"{root}/{LOCK}"))
        except FileNotFoundError:
            return None

    def send(self, last: str = "") -> None:
        """Copy the files that have changed since the last time.

        A checkpoint that cannot be copied is no reason to end a training run that goes on: this
        is logged, and the files are copied next time.

        Args:
            last: The file that refers to the others, copied after them.

        Raises:
            UserError: If another process has taken over the address.
        """
        try:
            lost = self._owner is not None and self._owner_there() != self._owner
        except Exception as error:  # as below
            log.warning(
                "%s cannot be reached, but will be tried again: %s", self.address, reason(error)
            )
            return
        if lost:
            raise UserError(
                f"{self.address} has been taken over by another process ({self._owner_there()}): "
                "this one ends."
            )
        changed = [item for item in _stamps(self.folder) if self._sent.get(item[0]) != item[1]]
        for name, stamp in sorted(changed, key=lambda item: item[0] == last):
            target = f"{self.address}/{name}"
            try:
                _upload(self.folder / name, target)
            except Exception as error:  # file systems share no class of errors
                said = f"{type(error).__name__}: {reason(error)}"
                log.warning("%s could not be written, but will be tried again: %s", target, said)
                return
            self._sent[name] = stamp

    def send_all(self) -> None:
        """Copy the files that have changed since the last time.

        Raises:
            UserError: If something could not be copied.
        """
        self.send()
        if self._unsent:
            raise UserError(f"{self.address} could not be written. The run is in {self.folder}.")

    @property
    def _unsent(self) -> bool:
        return any(self._sent.get(name) != stamp for name, stamp in _stamps(self.folder))

    def _remove(self) -> None:
        if not self._unsent:
            shutil.rmtree(self.folder.parent, ignore_errors=True)


def _stamps(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield name, time of change and size of each finished file in a folder."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.name.startswith(UNFINISHED):
            stat = file.stat()
            yield file.relative_to(folder).as_posix(), (stat.st_mtime_ns, stat.st_size)


def _upload(source: Path, address: str) -> None:
    """Copy a file to an address, where it appears when it is complete.

    An object store shows an object when its last byte has arrived, and until then the one it
    replaces. Other file systems show a file while it is being written, so it gets its name last.
    """
    files, target = _connect(address)
    if address.split("://")[0] in OBJECT_STORES:
        files.put_file(str(source), target)
        return
    folder, _, name = target.rpartition("/")
    unfinished = f"{folder}/{UNFINISHED}{name}"
    files.makedirs(folder, exist_ok=True)
    files.put_file(str(source), unfinished)
    files.mv(unfinished, target)


def _download(address: str, target: Path) -> bool:
    """Make a file or folder on this machine equal to what is at an address.

    Returns:
        Whether there is anything at the address.
    """
    files, root = _connect(address)
    try:
        files.invalidate_cache()  # others may have written since the last listing
        try:
            found = files.info(root)
        except FileNotFoundError:
            return False
        # A store may mark a folder by an object whose name ends so.
        if found["type"] != "directory" and not found["name"].endswith("/"):
            _fetch(files, root, target)
            return True
        target.mkdir(parents=True, exist_ok=True)
        names = set(_walk(files, root))
        for name in names:
            _fetch(files, f"{root}/{name}", target / name)
        for name, _ in _stamps(target):
            if name not in names:
                (target / name).unlink()
    except Exception as error:  # file systems share no class of errors
        said = f"{type(error).__name__}: {reason(error)}"
        raise UserError(f"{address} cannot be read: {said}") from error
    return True


def _walk(files: "fsspec.AbstractFileSystem", folder: str, prefix: str = "") -> Iterator[str]:
    """Yield the names of all finished files in a folder; fsspec's ``find`` skips what fails."""
    for entry in files.ls(folder, detail=True):
        path = entry["name"].rstrip("/")
        name = path.split("/")[-1]
        # Some stores list the folder itself; an object's name may be anything.
        if path == folder or name in (".", "..") or name.startswith(UNFINISHED):
            continue
        if entry["type"] == "directory":
            yield from _walk(files, f"{folder}/{name}", f"{prefix}{name}/")
        else:
            yield prefix + name


def _fetch(files: "fsspec.AbstractFileSystem", source: str, target: Path) -> None:
    """Copy a file here with its time of change, unless the copy of that time is here already."""
    size = files.info(source).get("size")
    try:
        time = int(files.modified(source).timestamp() * 1e9)
    except NotImplementedError:  # not known, as of web pages
        time = None
    if target.exists():
        local = target.stat()
        if (local.st_size, local.st_mtime_ns) == (size, time):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    log.info(
        "copying %s (%s bytes)",
        files.unstrip_protocol(source),
        "?" if size is None else f"{size:,}",
    )
    unfinished = target.with_name(f"{UNFINISHED}{uuid.uuid4().hex}")
    try:
        files.get_file(source, str(unfinished))
        if time is not None:
            os.utime(unfinished, ns=(time, time))
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _connect(address: str) -> "tuple[fsspec.AbstractFileSystem, str]":
    """Return the file system of an address and the path there.

    Raises:
        UserError: If nothing that is installed can read such addresses.
    """
    import fsspec

    protocol = address.split("://")[0]
    try:
        return fsspec.url_to_fs(address)
    except ImportError as error:
        trouble = reason(error)
        if protocol in OBJECT_STORES:
            extra, package = OBJECT_STORES[protocol]
            trouble = (
                f"{protocol}:// addresses need the extra [{extra}] of dream-keras, which is not "
                f"installed: pip install {package}"
            )
    except ValueError as error:
        trouble = f"{reason(error)}. Use gs://, s3:// or another protocol that fsspec knows"
    raise UserError(f"{address}: {trouble}")
