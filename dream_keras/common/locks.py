"""Locks of folders: only one process at a time writes into a run, a search or an analysis.

The lock is a file in the folder that names its owner. The system takes the lock away from a process
that ends in whatever way, so none is left behind by a kill. On a network file system this holds
between machines if the system locks files there: NFS does, unless mounted with ``local_lock``; FUSE
mounts of buckets usually lock within one machine only. Where a file system has no locks, the file
alone counts: it is made atomically, taken over from an owner on the same machine that has ended,
and must be removed by hand after an owner on another machine was killed. ``remote.Mirror`` guards
addresses.
"""

import contextlib
import errno
import itertools
import json
import logging
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from dream_keras.common.errors import UserError
from dream_keras.common.files import UNFINISHED

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = f"{UNFINISHED}lock"
"""Name of the file in a folder that is in use."""
OWNER = f"{LOCK}-owner"
"""Its name on a file system without locks."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owner:
    """The process that has a folder.

    Attributes:
        host: Name of its machine.
        pid: Its number there.
        started: When it was started, as the system writes it; empty if that is not known.
        since: When it took the folder.
    """

    host: str
    pid: int
    started: str
    since: str

    @classmethod
    def here(cls) -> "Owner":
        """Return this process."""
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        return cls(socket.gethostname(), os.getpid(), started(os.getpid()), now)

    @classmethod
    def read(cls, path: Path) -> "Owner | None":
        """Return the owner that a lock's file names; None where it names none."""
        try:
            return cls.parse(path.read_bytes())
        except OSError:
            return None

    @classmethod
    def parse(cls, words: bytes) -> "Owner | None":
        """Return the owner of what ``words`` gave; None if it is something else."""
        try:
            return cls(**json.loads(words))
        except (ValueError, TypeError):
            return None

    @property
    def words(self) -> bytes:
        """What a lock's file holds."""
        return json.dumps(asdict(self)).encode()

    @property
    def has_ended(self) -> bool:
        """Whether it was a process of this machine that is no more."""
        return self.host == socket.gethostname() and started(self.pid) != self.started

    @property
    def is_alive_here(self) -> bool:
        """Whether it is a living process of this machine."""
        return self.host == socket.gethostname() and not self.has_ended

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


def started(pid: int) -> str:
    """Return when a process was started, in whatever form; empty if there is none.

    A number is given to another process after its own has ended; the start tells them apart.
    """
    if Path("/proc/self/stat").exists():
        try:
            # The name, in brackets, may hold anything; the start is the 20th field behind it.
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        except (OSError, IndexError):
            return ""
    try:
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


@contextlib.contextmanager
def claimed(
    folder: Path, remedy: str = "wait for it, or choose another folder with --out"
) -> Iterator[None]:
    """Keep other processes out of a folder for the length of a block.

    The folder is made if need be, and removed again if nothing was put into it.

    Args:
        folder: The folder.
        remedy: What the user of a second process can do.

    Raises:
        UserError: Another process is at work in it; names that one.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     with claimed(Path(name) / "run"):
        ...         try:
        ...             with claimed(Path(name) / "run"):
        ...                 pass
        ...         except UserError as error:
        ...             str(error).startswith("another process is at work in")
        True
    """
    path = folder / LOCK
    handle = _lock(path, remedy)
    try:
        yield
    finally:
        if handle is None:
            path.with_name(OWNER).unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)  # before it is given up: then it may be the next one's
            os.close(handle)
        with contextlib.suppress(OSError):  # something is in it
            folder.rmdir()


def new_folder(parent: Path, name: str) -> Path:
    """Make a folder of that name, or with a number behind it if there is one already.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     [new_folder(Path(parent), "run").name for _ in range(3)]
        ['run', 'run-2', 'run-3']
    """
    parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError


def _lock(path: Path, remedy: str) -> int | None:
    """Take a lock; return the open file that holds it, or None where the file alone does."""
    words = Owner.here().words
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise UserError(f"{path.parent} exists already, and is no folder: {remedy}.") from None
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # another process has just removed the empty folder
            continue
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "no file locks")
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise _taken(path, remedy) from None
        except OSError as error:
            os.close(handle)
            log.debug("%s: %s", path, error)
            path.unlink(missing_ok=True)
            if _lock_without_system(path.with_name(OWNER), words, remedy):
                return None
            continue
        if not _is_at(handle, path):  # given up and removed since it was opened
            os.close(handle)
            continue
        before = Owner.read(path)
        if before is not None and before.host != socket.gethostname():
            log.warning("%s: taken over from %s, which was ended", path.parent, before)
        os.truncate(handle, 0)
        os.pwrite(handle, words, 0)
        return handle


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _lock_without_system(path: Path, words: bytes, remedy: str) -> bool:
    """Take a lock by making a file that must not be there; false if that has to be tried again."""
    try:
        with path.open("xb") as file:
            file.write(words)
        return True
    except FileNotFoundError:  # another process has just removed the empty folder
        return False
    except FileExistsError:
        owner = Owner.read(path)
    if owner is None or not owner.has_ended:
        raise _taken(path, f"{remedy}. If that process has ended, remove {path}")
    old = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(old)  # one process alone can do this
        if Owner.read(old) == owner:
            old.unlink()
        else:  # another process was faster, and this is its lock
            old.rename(path)
    return False


def _taken(path: Path, remedy: str) -> UserError:
    owner = Owner.read(path)
    who = f" ({owner})" if owner else ""
    return UserError(f"another process is at work in {path.parent}{who}: {remedy}.")
