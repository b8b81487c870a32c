"""Files and run folders in a bucket (``gs://...``), through TensorFlow's file layer."""

import atexit
import importlib.util
import logging
import os
import re
import shutil
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pooch

from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED

CACHE_VARIABLE = "DREAM_KERAS_CACHE"
"""Environment variable that names another folder for what is simulated or copied."""

log = logging.getLogger(__name__)


def cache() -> Path:
    """Return the folder for what is simulated or copied."""
    return Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("dream_keras"))


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
        _download(self.address, self.folder)
        self._sent = dict(self._files())
        atexit.register(self._remove)

    def send(self, last: str = "") -> None:
        """Copy the files that have changed since the last time.

        A checkpoint that cannot be copied is no reason to end a training run that goes on: this
        is logged, and the files are copied next time.

        Args:
            last: The file that refers to the others, copied after them.
        """
        changed = [item for item in self._files() if self._sent.get(item[0]) != item[1]]
        gfile = _gfile(self.address)
        for name, stamp in sorted(changed, key=lambda item: item[0] == last):
            target = f"{self.address}/{name}"
            folder = target.rsplit("/", 1)[0]
            unfinished = f"{folder}/{UNFINISHED}{uuid.uuid4().hex}"
            try:
                gfile.makedirs(folder)
                gfile.copy(str(self.folder / name), unfinished)
                gfile.rename(unfinished, target, overwrite=True)
            except _errors() as error:
                log.warning("%s could not be written, but will be tried again: %s", target, error)
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
        return any(self._sent.get(name) != stamp for name, stamp in self._files())

    def _files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for file in sorted(self.folder.rglob("*")):
            if file.is_file() and not file.name.startswith(UNFINISHED):
                stat = file.stat()
                yield file.relative_to(self.folder).as_posix(), (stat.st_mtime_ns, stat.st_size)

    def _remove(self) -> None:
        if not self._unsent:
            shutil.rmtree(self.folder.parent, ignore_errors=True)


def _download(address: str, target: Path) -> bool:
    """Copy a file or folder from an address, as far as it is not there already.

    Returns:
        Whether there is anything at the address.
    """
    gfile = _gfile(address)
    try:
        if gfile.isdir(address):
            target.mkdir(parents=True, exist_ok=True)
            for name in (entry.rstrip("/") for entry in gfile.listdir(address)):
                if not name.startswith(UNFINISHED):
                    _download(f"{address}/{name}", target / name)
            return True
        if not gfile.exists(address):
            return False
        remote = gfile.stat(address)
        if target.exists():
            local = target.stat()
            if local.st_size == remote.length and local.st_mtime_ns >= remote.mtime_nsec:
                return True
        target.parent.mkdir(parents=True, exist_ok=True)
        log.info("copying %s (%s bytes)", address, f"{remote.length:,}")
        unfinished = target.with_name(f"{UNFINISHED}{uuid.uuid4().hex}")
        try:
            gfile.copy(address, str(unfinished), overwrite=True)
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
    except _errors() as error:
        raise UserError(f"{address} cannot be read: {error}") from None
    return True


def _gfile(address: str) -> Any:
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"{address}: addresses are read and written by TensorFlow, which is not installed. "
            "pip install tensorflow (KERAS_BACKEND=jax still trains with JAX), or give a folder "
            "of this machine."
        )
    import tensorflow as tf

    return tf.io.gfile


def _errors() -> type[Exception]:
    import tensorflow as tf

    return tf.errors.OpError
