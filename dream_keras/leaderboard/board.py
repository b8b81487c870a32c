"""A leaderboard: submissions are checked, scored and stored, and can be compared."""

import datetime
import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError, at_least, unknown
from dream_keras.leaderboard.entry import (
    PEARSON_SCORE,
    PHASES,
    BoardInfo,
    Entry,
    SubsetInfo,
    versions,
)
from dream_keras.leaderboard.published import published_entries
from dream_keras.leaderboard.regions import (
    COLUMNS,
    region_checksum,
    region_run,
    region_samples,
    region_values,
    rows_of,
)
from dream_keras.leaderboard.samples import Samples
from dream_keras.leaderboard.source import checksum, config_of, predictions_of
from dream_keras.leaderboard.standings import Standings, ranked
from dream_keras.leaderboard.store import Store, Submission
from dream_keras.scoring.bootstrap import RESAMPLES, Sampled, bootstrap, ranks
from dream_keras.scoring.suite import Suite, load_suite

Floats = npt.NDArray[np.float64]
Clock = Callable[[], datetime.datetime]

_LONGEST = {"team name": 80, "note": 500}
"""Characters."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def create_board(
    path: str | Path,
    suite: str | Path,
    *,
    phase: str = "private",
    weekly_limit: int | None = None,
    published: bool = True,
    clock: Clock = _now,
) -> "Board":
    """Make a new leaderboard.

    Args:
        path: The file to make.
        suite: Folder or YAML file of the suite that is scored on; or a run that predicts profiles,
            whose test peaks are.
        phase: ``"public"`` hides everything about the private part until ``Board.set_phase``.
        weekly_limit: Submissions a team may make in seven days; None for any number.
        published: Whether to fill in the published final leaderboard of the challenge; only its
            own test set gets it.
        clock: Gives the time, UTC.

    Raises:
        UserError: The file exists already, or the suite is unusable or has no such phase.
    """
    if phase not in PHASES:
        raise unknown("phase", phase, PHASES)
    if weekly_limit is not None and weekly_limit < 1:
        raise UserError(f"--weekly-limit {weekly_limit}: at least 1 is needed.")
    if (run := region_run(suite)) is not None:
        if phase == "public":
            raise UserError("regions have no public part, so there is no public phase")
        rows = rows_of(run)
        info = BoardInfo(
            phase=phase,
            weekly_limit=weekly_limit,
            checksum=region_checksum(rows),
            folder=str(Path(run.tables()[0]).resolve()),
            subsets=(SubsetInfo("peaks", 1.0, False, {"all": len(rows)}),),
            created=clock(),
        )
        Store.create(Path(path), info)
        return Board(path, clock=clock)
    loaded = load_suite(suite)
    if phase == "public":
        loaded.check_part("public")
    info = BoardInfo(
        phase=phase,
        weekly_limit=weekly_limit,
        checksum=suite_checksum(loaded),
        folder=str(Path(suite).resolve()),
        subsets=tuple(
            SubsetInfo(
                name,
                subset.weight,
                subset.is_difference,
                {part: len(positions) for part, positions in subset.positions.items()},
            )
            for name, subset in loaded.subsets.items()
        ),
        created=clock(),
    )
    Store.create(Path(path), info, published_entries(loaded.sequences) if published else ())
    return Board(path, clock=clock)


def suite_checksum(suite: Suite) -> str:
    """Return the SHA-256 of all that a score depends on: rows, subsets, weights and formulas."""
    digest = hashlib.sha256("\n".join(suite.sequences).encode())
    digest.update(suite.measured.astype("<f8").tobytes())
    digest.update(repr((suite.targets, tuple(suite.formulas))).encode())
    for name, subset in suite.subsets.items():
        digest.update(repr((name, subset.weight, subset.target)).encode())
        if subset.mean_of_strands:
            digest.update(b"mean of strands")
        for part, positions in subset.positions.items():
            digest.update(repr((part, positions.shape)).encode())
            digest.update(positions.astype("<i8").tobytes())
    return digest.hexdigest()


class Board:
    """A leaderboard.

    Args:
        path: Its file.
        suite: Folder or YAML file of its suite, or its regions file, if that has moved.
        clock: Gives the time, UTC.

    Raises:
        UserError: The file is no leaderboard, or a newer version wrote it.
    """

    def __init__(self, path: str | Path, suite: str | Path | None = None, clock: Clock = _now):
        self.store = Store(path)
        self._suite_folder = suite
        self._clock = clock

    @property
    def info(self) -> BoardInfo:
        """Metadata of the leaderboard; read anew each time."""
        return self.store.info()

    @cached_property
    def suite(self) -> Suite:
        """The suite.

        Raises:
            UserError: It is gone, or is not the one this leaderboard was made for.
        """
        info = self.info
        suite = load_suite(self._suite_folder or info.folder)
        if suite_checksum(suite) != info.checksum:
            raise UserError(
                f"{suite.source} is not the suite that the leaderboard {self.store.path} was made "
                f"for ({info.folder}): sequences, measured values, subsets or weights differ. Give "
                "the right one with --suite PATH, or make another leaderboard."
            )
        return suite

    def submit(
        self,
        team: str,
        predictions: str | Path | None = None,
        *,
        run: str | Path | None = None,
        note: str = "",
        resamples: int = RESAMPLES,
        progress: bool | None = None,
    ) -> Entry:
        """Check, score and keep predictions.

        Everything that takes long happens before the file is written to, so submissions that are
        made at once do not wait for one another.

        Args:
            team: Name of the team.
            predictions: File of predictions, see
                ``dream_keras.scoring.submission.read_submission``.
            run: Run folder; its model predicts unless ``predictions`` are given as well. Its
                config is kept.
            note: A line about the submission.
            resamples: Bootstrap resamples.
            progress: False shows no progress, see ``dream_keras.common.progress``.

        Returns:
            The new row.

        Raises:
            UserError: The name, the file or the run is unusable, the same predictions are there
                already, or the team has reached its weekly limit.
        """
        team, note = _one_line("team name", team), _one_line("note", note, may_be_empty=True)
        source = predictions or run
        if source is None:
            raise UserError(
                "give a file of predictions (--predictions FILE) or a run folder (--run RUN)."
            )
        at_least(1, resamples=resamples)
        if self.info.is_of_regions and predictions is not None:
            raise UserError("regions are predicted by a run: give --run RUN without --predictions")
        config = None if run is None else config_of(run)
        self.store.check(team, None, self._clock())
        values = self.values(source, progress=progress)
        identity = checksum(values)
        self.store.check(team, identity, self._clock())
        samples = {
            part: self.resampled(values, part, resamples, progress) for part in self.info.parts
        }
        number = self.store.add(
            Submission(
                team=team,
                note=note,
                source=Path(source).name,
                versions=versions(),
                config=config,
                checksum=identity,
                predictions=values,
                scores={part: found.scores() for part, found in samples.items()},
                resampled={part: found.arrays() for part, found in samples.items()},
            ),
            self._clock(),
        )
        return next(entry for entry in self.store.entries() if entry.id == number)

    def values(self, source: str | Path, part: str = "all", progress: bool | None = None) -> Floats:
        """Return what a file or run predicts of the suite, as it is kept.

        Args:
            source: A file of predictions or a run folder; of regions a run folder.
            part: What a run has to predict; the rest is NaN.
            progress: False shows no progress, see ``dream_keras.common.progress``.

        Returns:
            (rows,) or (rows, targets); of regions as ``region_values``, (regions, 3).

        Raises:
            UserError: It is unusable, or tested on other regions.
        """
        info = self.info
        if not info.is_of_regions:
            return predictions_of(source, self.suite, part, progress)
        # A run's own regions file may be another copy: what counts is what the files hold.
        return region_values(source, self._suite_folder, info.checksum, progress)[1]

    def resampled(
        self, values: Floats, part: str, resamples: int, progress: bool | None = None
    ) -> Samples:
        """Score what ``values`` returned on resamples; arguments as for ``submit``."""
        if self.info.is_of_regions:
            return region_samples(values, resamples)
        return Samples.of(bootstrap(self.suite, values, part, resamples, progress=progress))

    def set_phase(self, phase: str) -> None:
        """End the public phase, or begin it again."""
        self._check_phase(phase)
        self.store.set_phase(phase)

    def part(self, phase: str | None = None) -> str:
        """Return the part of the suite that a phase shows, None being the leaderboard's own.

        Raises:
            UserError: The private part is asked for in the public phase.
        """
        info = self.info
        phase = phase or info.phase
        self._check_phase(phase)
        if phase == "private" and info.phase == "public":
            raise UserError(
                f"the leaderboard {self.store.path} is in its public phase, which shows nothing "
                "of the private part. End it: python -m dream_keras.leaderboard phase private "
                f"--board {self.store.path}"
            )
        return info.part(phase)

    def _check_phase(self, phase: str) -> None:
        if phase not in PHASES:
            raise unknown("phase", phase, PHASES)
        if phase == "public" and "public" not in self.info.parts:
            raise UserError(
                f"the suite of {self.store.path} has no public lists, so it has no public phase."
            )

    def standings(self, phase: str | None = None) -> Standings:
        """Rank the latest submission of each team, and the published rows in the private phase.

        A published row has no resamples; in the spread of the others' ranks its score stays as it
        is.

        Raises:
            UserError: The private part is asked for in the public phase.
        """
        part, info = self.part(phase), self.info
        entries = [entry for entry in self.store.entries() if part in entry.scores]
        latest = {entry.team: entry for entry in entries}
        own = [entry for entry in latest.values() if not entry.is_published]
        first = next(iter(info.score_names))
        pearson = {entry.team: self.samples(entry, part).totals[first] for entry in own}
        resamples = min((len(sampled.values) for sampled in pearson.values()), default=1)
        table = {
            team: Sampled(sampled.estimate, sampled.values[:resamples])
            for team, sampled in pearson.items()
        }
        for entry in latest.values():
            if entry.is_published:
                value = entry.scores[part].totals[PEARSON_SCORE].value or 0.0
                table[entry.team] = Sampled(value, np.full(resamples, value))
        distances = {}
        if info.is_of_regions:
            for entry in own:  # ranks are those of the largest
                found = self.samples(entry, part).totals["jsd"]
                distances[entry.team] = Sampled(-found.estimate, -found.values[:resamples])
        return ranked(entries, part, info, ranks(table), ranks(distances) if distances else {})

    def samples(self, entry: Entry, part: str) -> Samples:
        """Read the resamples of a submission."""
        assert entry.id is not None
        return Samples.load(entry.scores[part], self.store.resampled(entry.id, part))

    def predictions(self, entry: Entry) -> Floats:
        """Read the predictions of a submission, shaped as ``values`` returned them."""
        assert entry.id is not None
        shape = (-1, COLUMNS) if self.info.is_of_regions else self.suite.measured.shape
        return self.store.predictions(entry.id).reshape(shape)

    def find(self, word: str) -> Entry | None:
        """Find a submission by its number, or the latest one of a team by its name.

        Raises:
            UserError: It is a row of the published leaderboard, which has no predictions.
        """
        entries = self.store.entries()
        found = [entry for entry in entries if word in (entry.team, str(entry.id or ""))]
        if found and found[-1].is_published:
            raise UserError(
                f'"{word}" is a row of the published leaderboard: its predictions are not on this '
                "one, so it cannot be resampled. The command show prints its scores."
            )
        return found[-1] if found else None


def _one_line(kind: str, text: str, *, may_be_empty: bool = False) -> str:
    """Check a text that is shown in tables."""
    text = text.strip()
    if not text and not may_be_empty:
        raise UserError(f"the {kind} is empty.")
    if not text.isprintable() or len(text) > _LONGEST[kind]:
        raise UserError(
            f"the {kind} {text[:40]!r} is not usable: one line of at most {_LONGEST[kind]} "
            "printable characters is."
        )
    if kind == "team name" and text.isdecimal():
        raise UserError(f'the team name "{text}" is a number, as submissions have. Add a letter.')
    return text
