"""The SQLite file of a leaderboard.

Every method opens the file anew, so that a store is safe to use from threads and processes. What is
written is written in one transaction: a process that is killed leaves a submission whole or not at
all.
"""

import contextlib
import datetime
import io
import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.leaderboard.database import APPLICATION_ID, SCHEMA, TABLES, opened, transaction
from dream_keras.leaderboard.entry import BoardInfo, Entry, Scores, SubsetInfo, timestamp
from dream_keras.leaderboard.samples import Arrays

Floats = npt.NDArray[np.float64]

_WEEK = datetime.timedelta(days=7)


@dataclass(frozen=True)
class Submission:
    """What is added to a leaderboard.

    Attributes:
        team: Name of the team.
        note: The team's note about it.
        source: Name of the file or run folder.
        versions: Versions of the packages that scored it.
        config: The resolved config of the run, as YAML.
        checksum: SHA-256 of the predictions.
        predictions: One per row of the suite, shape (rows,).
        scores: The scores, by part.
        resampled: The bootstrap resamples that their intervals are made of, by part.
    """

    team: str
    note: str
    source: str
    versions: Mapping[str, str]
    config: str | None
    checksum: str
    predictions: Floats
    scores: Mapping[str, Scores]
    resampled: Mapping[str, Arrays]


class Store:
    """A leaderboard's file.

    Args:
        path: The file, which must exist: ``Store.create`` makes one.

    Raises:
        UserError: There is no such file, it is no leaderboard, or a newer version wrote it.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            problem = "is not a file" if self.path.exists() else "does not exist"
            raise UserError(
                f"the leaderboard {self.path} {problem}. Make one: "
                f"python -m dream_keras.leaderboard init --board {self.path} --suite DIR"
            )
        with self._connection() as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION_ID:
                raise UserError(f"{self.path} is not a leaderboard.")
            (schema,) = connection.execute("SELECT schema FROM board").fetchone()
        if schema > SCHEMA:
            raise UserError(
                f"{self.path} was made by a newer version of dream_keras (its tables have version "
                f"{schema}, this one knows {SCHEMA}). Update dream_keras."
            )

    @classmethod
    def create(cls, path: Path, info: BoardInfo, published: Sequence[Entry] = ()) -> "Store":
        """Make a new leaderboard.

        Raises:
            UserError: The file exists already or cannot be written.
        """
        if not path.parent.is_dir():
            raise UserError(f"--board {path}: the folder {path.parent} does not exist.")
        # A process killed while making a leaderboard leaves an empty file.
        if path.exists() and not (path.is_file() and path.stat().st_size == 0):
            raise UserError(f"{path} exists already. Choose another name with --board.")
        with opened(path, "rwc") as connection:
            # Readers do not wait for writers with a write-ahead log; some network drives have none,
            # and SQLite then keeps its usual journal.
            connection.execute("PRAGMA journal_mode = WAL")
            with transaction(connection):
                if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                    raise UserError(f"{path} exists already. Choose another name with --board.")
                for statement in TABLES.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(
                    "INSERT INTO board VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        SCHEMA,
                        timestamp(info.created),
                        info.phase,
                        info.weekly_limit,
                        info.checksum,
                        info.folder,
                        json.dumps(info.subsets),
                    ),
                )
                connection.executemany(
                    "INSERT INTO published VALUES (?, ?, ?)",
                    [(entry.team, entry.note, _scores_json(entry.scores)) for entry in published],
                )
        return cls(path)

    def info(self) -> BoardInfo:
        """Read what the leaderboard knows about itself."""
        with self._connection() as connection:
            (row,) = connection.execute("SELECT * FROM board").fetchall()
        return BoardInfo(
            phase=row["phase"],
            weekly_limit=row["weekly_limit"],
            checksum=row["suite_checksum"],
            folder=row["suite_folder"],
            subsets=tuple(SubsetInfo(*subset) for subset in json.loads(row["subsets"])),
            created=datetime.datetime.fromisoformat(row["created"]),
        )

    def set_phase(self, phase: str) -> None:
        """Change the phase."""
        with self._connection() as connection, transaction(connection):
            connection.execute("UPDATE board SET phase = ?", (phase,))

    def entries(self) -> list[Entry]:
        """Read all rows: the published ones, then the submissions in the order of arrival."""
        with self._connection() as connection, transaction(connection, "DEFERRED"):
            published = connection.execute("SELECT * FROM published ORDER BY rowid").fetchall()
            submissions = connection.execute(
                "SELECT id, team, submitted, note, source, versions, config, checksum "
                "FROM submission ORDER BY id"
            ).fetchall()
            scores = connection.execute("SELECT submission, part, scores FROM score").fetchall()
        by_submission: dict[int, dict[str, Scores]] = {row["id"]: {} for row in submissions}
        for row in scores:
            parts = by_submission[row["submission"]]
            parts[row["part"]] = Scores.from_dict(json.loads(row["scores"]))
        return [
            *(_published_entry(row) for row in published),
            *(_entry(row, by_submission[row["id"]]) for row in submissions),
        ]

    def predictions(self, submission: int) -> Floats:
        """Read the predictions of a submission, row by row, shape (rows * targets,)."""
        with self._connection() as connection:
            (blob,) = connection.execute(
                "SELECT predictions FROM submission WHERE id = ?", (submission,)
            ).fetchone()
        return np.frombuffer(zlib.decompress(blob), "<f8")

    def resampled(self, submission: int, part: str) -> dict[str, npt.NDArray[np.float32]]:
        """Read the bootstrap resamples of a submission."""
        with self._connection() as connection:
            (blob,) = connection.execute(
                "SELECT resampled FROM score WHERE submission = ? AND part = ?", (submission, part)
            ).fetchone()
        with np.load(io.BytesIO(blob)) as arrays:
            return dict(arrays)

    def check(self, team: str, checksum: str | None, now: datetime.datetime) -> None:
        """Refuse a submission that is known already, or one too many in seven days.

        The checksum may not be known yet.

        Raises:
            UserError: If it is.
        """
        with self._connection() as connection, transaction(connection, "DEFERRED"):
            self._check(connection, team, checksum, now)

    def add(self, submission: Submission, now: datetime.datetime) -> int:
        """Add a submission.

        Returns:
            Its number.

        Raises:
            UserError: What ``check`` raises, or the file cannot be written.
        """
        # Compressed before the transaction, which others wait for.
        blob = zlib.compress(submission.predictions.astype("<f8").tobytes())
        scores = [
            (part, json.dumps(scores.to_dict()), _to_npz(submission.resampled[part]))
            for part, scores in submission.scores.items()
        ]
        with self._connection() as connection, transaction(connection):
            # Again: another process may have been quicker.
            self._check(connection, submission.team, submission.checksum, now)
            number = connection.execute(
                "INSERT INTO submission (team, submitted, note, source, versions, config, "
                "checksum, predictions) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    submission.team,
                    timestamp(now),
                    submission.note,
                    submission.source,
                    json.dumps(submission.versions),
                    submission.config,
                    submission.checksum,
                    blob,
                ),
            ).lastrowid
            connection.executemany(
                "INSERT INTO score VALUES (?, ?, ?, ?)", [(number, *row) for row in scores]
            )
        assert number is not None
        return number

    def _check(
        self,
        connection: sqlite3.Connection,
        team: str,
        checksum: str | None,
        now: datetime.datetime,
    ) -> None:
        known = connection.execute(
            "SELECT id, team, submitted FROM submission WHERE checksum = ?", (checksum,)
        ).fetchone()
        if known:
            raise UserError(
                f"these predictions are on the leaderboard already: team {known['team']} "
                f"submitted them at {known['submitted']} as number {known['id']}. "
                "Nothing was changed."
            )
        if connection.execute("SELECT 1 FROM published WHERE team = ?", (team,)).fetchone():
            raise UserError(
                f'"{team}" is a row of the published leaderboard. Choose another team name.'
            )
        (limit,) = connection.execute("SELECT weekly_limit FROM board").fetchone()
        recent = connection.execute(
            "SELECT submitted FROM submission WHERE team = ? AND submitted > ? ORDER BY submitted",
            (team, timestamp(now - _WEEK)),
        ).fetchall()
        if limit is not None and len(recent) >= limit:
            free = datetime.datetime.fromisoformat(recent[-limit]["submitted"]) + _WEEK
            raise UserError(
                f"team {team} has submitted {len(recent)} times in the last seven days, and this "
                f"leaderboard allows {limit}. The next submission is possible at {timestamp(free)}."
            )

    def _connection(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        return opened(self.path, "rw")


def _to_npz(arrays: Arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _scores_json(scores: Mapping[str, Scores]) -> str:
    return json.dumps({part: values.to_dict() for part, values in scores.items()})


def _published_entry(row: sqlite3.Row) -> Entry:
    scores = {part: Scores.from_dict(plain) for part, plain in json.loads(row["scores"]).items()}
    return Entry(None, row["team"], None, row["note"], "", None, {}, None, scores)


def _entry(row: sqlite3.Row, scores: Mapping[str, Scores]) -> Entry:
    return Entry(
        id=row["id"],
        team=row["team"],
        submitted=datetime.datetime.fromisoformat(row["submitted"]),
        note=row["note"],
        source=row["source"],
        checksum=row["checksum"],
        versions=json.loads(row["versions"]),
        config=row["config"],
        scores=scores,
    )
