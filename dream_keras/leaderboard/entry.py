"""Entries of a leaderboard with their scores, and metadata of its suite."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

PHASES = ("public", "private")
"""The phases of a challenge: while it runs only the public part of the suite is shown."""
PEARSON_SCORE, SPEARMAN_SCORE = "pearson_score", "spearman_score"
SCORE_NAMES = {PEARSON_SCORE: "Pearson Score", SPEARMAN_SCORE: "Spearman Score"}
"""The two challenge scores, by the names that files and people use."""

REGION_SCORES = {"pearson": "Pearson r of log counts", "jsd": "median JSD of profiles"}
"""The two scores on regions of a genome, likewise; the second is a distance."""
LOWER_IS_BETTER = ("jsd",)
REGIONS = "regions:"
"""How checksums of regions begin."""


class Estimate(NamedTuple):
    """A number and its bootstrap interval; None where it is undefined or not known."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Scores:
    """The scores of one entry on one part of the suite.

    Attributes:
        totals: ``pearson_score`` and ``spearman_score``, or those of ``REGION_SCORES``.
        r2: r^2 of each subset, in the suite's order.
        rho: Spearman's rho of each subset; empty where it was not published.
    """

    totals: Mapping[str, Estimate]
    r2: Mapping[str, Estimate]
    rho: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, dict[str, list[float | None]]]:
        """Return plain data for JSON."""
        return {
            kind: {name: list(estimate) for name, estimate in values.items()}
            for kind, values in vars(self).items()
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Mapping[str, list[float | None]]]) -> "Scores":
        """Read what ``to_dict`` returns."""
        return cls(
            **{
                kind: {name: Estimate(*row) for name, row in values.items()}
                for kind, values in plain.items()
            }
        )


@dataclass(frozen=True)
class Entry:
    """One row of a leaderboard.

    Attributes:
        id: Number of the submission; None for published rows, which hold no predictions.
        team: Name of the team.
        submitted: When, UTC; None for published rows.
        note: The team's note about it.
        source: Name of the file or run folder.
        checksum: SHA-256 of the predictions.
        versions: Versions of the packages that scored it.
        config: The resolved config of the run, as YAML.
        scores: The scores, by part.
    """

    id: int | None
    team: str
    submitted: datetime.datetime | None
    note: str
    source: str
    checksum: str | None
    versions: Mapping[str, str]
    config: str | None
    scores: Mapping[str, Scores]

    @property
    def is_published(self) -> bool:
        """Whether this is a row of the challenge's published leaderboard."""
        return self.id is None


class SubsetInfo(NamedTuple):
    """A subset of the suite: its weight, size by part, and whether differences are scored."""

    name: str
    weight: float
    is_pairs: bool
    sizes: dict[str, int]


@dataclass(frozen=True)
class BoardInfo:
    """Metadata of a leaderboard.

    Attributes:
        phase: ``"public"`` or ``"private"``.
        weekly_limit: Submissions a team may make in seven days; None for any number.
        checksum: SHA-256 of the suite, see ``dream_keras.leaderboard.board.suite_checksum``; of
            regions that of ``dream_keras.leaderboard.regions.region_checksum``.
        folder: Folder the suite was read from, or the regions file.
        subsets: The subsets, in order.
        created: When, UTC.
    """

    phase: str
    weekly_limit: int | None
    checksum: str
    folder: str
    subsets: tuple[SubsetInfo, ...]
    created: datetime.datetime

    @property
    def is_of_regions(self) -> bool:
        """Whether its suite are regions of a genome."""
        return self.checksum.startswith(REGIONS)

    @property
    def score_names(self) -> Mapping[str, str]:
        """What its two scores are called; rows are ranked by the first."""
        return REGION_SCORES if self.is_of_regions else SCORE_NAMES

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that are scored: all rows where no public lists divide them."""
        known = self.subsets[0].sizes
        return PHASES if "public" in known else ("all",)

    def part(self, phase: str) -> str:
        """The part of the suite that a phase shows."""
        return phase if phase in self.parts else "all"


def timestamp(moment: datetime.datetime) -> str:
    """Write a moment as a board stores it; texts sort as moments do.

    Examples:
        >>> timestamp(datetime.datetime(2022, 8, 15, 12, tzinfo=datetime.UTC))
        '2022-08-15T12:00:00+00:00'
    """
    return moment.astimezone(datetime.UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the versions that a score depends on."""
    from importlib import metadata

    from dream_keras._version import __version__

    names = ("numpy", "scipy")
    return {"dream_keras": __version__} | {name: metadata.version(name) for name in names}
