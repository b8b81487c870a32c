"""The tables of a leaderboard's SQLite file, and how the file is opened."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from dream_keras.common.errors import UserError

SCHEMA = 1
"""Version of the tables below."""
APPLICATION_ID = int.from_bytes(b"DrKb")
"""Identifies a leaderboard among SQLite files, in the file's header."""
PATIENCE = 60.0
"""Seconds to wait for another process that is writing."""

TABLES = """
CREATE TABLE board (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    schema INTEGER NOT NULL,
    created TEXT NOT NULL,                -- UTC
    phase TEXT NOT NULL CHECK (phase IN ('public', 'private')),
    weekly_limit INTEGER CHECK (weekly_limit > 0),
    suite_checksum TEXT NOT NULL,
    suite_folder TEXT NOT NULL,
    subsets TEXT NOT NULL                 -- JSON: name, weight, whether of pairs, sizes by part
);
CREATE TABLE published (                  -- the challenge's own leaderboard: no predictions known
    team TEXT PRIMARY KEY,
    note TEXT NOT NULL,
    scores TEXT NOT NULL                  -- JSON: by part
);
CREATE TABLE submission (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of arrival
    team TEXT NOT NULL,
    submitted TEXT NOT NULL,              -- UTC
    note TEXT NOT NULL,
    source TEXT NOT NULL,                 -- name of the file or run folder
    versions TEXT NOT NULL,               -- JSON
    config TEXT,                          -- YAML of the run
    checksum TEXT NOT NULL UNIQUE,        -- SHA-256 of the float64 predictions
    predictions BLOB NOT NULL             -- zlib: float64, little-endian, row by row
);
CREATE TABLE score (
    submission INTEGER NOT NULL REFERENCES submission (id),
    part TEXT NOT NULL,
    scores TEXT NOT NULL,                 -- JSON
    resampled BLOB NOT NULL,              -- npz: the values of each bootstrap resample
    PRIMARY KEY (submission, part)
);
"""


@contextlib.contextmanager
def opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """Open an SQLite file for the length of a block; name what is wrong with it.

    Args:
        path: The file.
        mode: ``"rw"``, or ``"rwc"`` to make it when it does not exist.
    """
    try:
        with contextlib.closing(
            sqlite3.connect(
                f"{path.resolve().as_uri()}?mode={mode}",
                uri=True,
                timeout=PATIENCE,
                isolation_level=None,  # transactions are begun explicitly, see below
            )
        ) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            yield connection
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise  # a mistake of ours
        raise UserError(f"the leaderboard {path} cannot be used: {error}.") from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All of a block or nothing; IMMEDIATE waits for other writers at its beginning."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.execute("COMMIT")
