"""The rows of a leaderboard in one phase, and their table for the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dream_keras.common.text import align
from dream_keras.leaderboard.entry import (
    BoardInfo,
    Entry,
    Estimate,
    Scores,
    SubsetInfo,
    timestamp,
)
from dream_keras.scoring.bootstrap import RankSpread

_PART_TEXT = {
    "private": "private part: without the public leaderboard's rows",
    "public": "public part: the public leaderboard's rows",
    "all": "all rows",
}


@dataclass(frozen=True)
class Row:
    """One row of the standings.

    Attributes:
        rank: Place by the first score, from 1, and its spread over the resamples; equal scores
            share a place.
        entry: The submission or published row.
        scores: Its scores on the part that is shown.
        submissions: How many submissions the team has made; the latest one counts.
        by_distance: Of regions also its place by the distance of profiles, 1 for the smallest.
    """

    rank: RankSpread
    entry: Entry
    scores: Scores
    submissions: int
    by_distance: RankSpread | None = None

    @property
    def places(self) -> tuple[int, int] | None:
        """Best and worst place within the 95 % interval; None for a published row."""
        return None if self.entry.is_published else (self.rank.low, self.rank.high)


@dataclass(frozen=True)
class Standings:
    """The rows of a leaderboard, best first.

    Attributes:
        part: The part of the suite that this phase shows.
        info: The leaderboard and its suite.
        rows: The rows.
    """

    part: str
    info: BoardInfo
    rows: tuple[Row, ...]

    @property
    def subsets(self) -> tuple[SubsetInfo, ...]:
        """The subsets of the suite whose r^2 is shown; regions have none."""
        return () if self.info.is_of_regions else self.info.subsets

    def table(self) -> str:
        """Return the standings as aligned plain text, without a final line break."""
        names = [subset.name for subset in self.subsets]
        second = ["by JSD"] if self.info.is_of_regions else []
        lines = [["rank", *second, "team", "number", *self.info.score_names.values(), *names]]
        for row in self.rows:
            totals = [_with_interval(row.scores.totals[name]) for name in self.info.score_names]
            r2 = [_number(row.scores.r2.get(name, Estimate(None))) for name in names]
            mark = "published" if row.entry.is_published else str(row.entry.id)
            distance = [] if row.by_distance is None else [_place(row.by_distance)]
            lines.append([_rank(row), *distance, row.entry.team, mark, *totals, *r2])
        by = next(iter(self.info.score_names.values()))
        if self.info.is_of_regions:
            notes = [
                f"{self.info.subsets[0].sizes[self.part]:,} peaks; ranked by {by}, with 95 % "
                "intervals; a low JSD (Jensen-Shannon distance) is good",
                "of each team the latest submission counts",
            ]
        else:
            notes = [
                f"{_PART_TEXT[self.part]}; ranked by {by}, with 95 % intervals",
                "the columns of subsets show r^2; of each team the latest submission counts",
            ]
        if any(row.entry.is_published for row in self.rows):
            notes.append(
                "published: final leaderboard of the challenge, without predictions; its scores "
                "stay fixed in the intervals of ranks"
            )
        if not self.rows:
            return f"no submissions yet\n\n{notes[0]}"
        head, *rows = align(lines, left=(1 + len(second),))
        return "\n".join([head, "-" * max(map(len, (head, *rows))), *rows, "", *notes])

    def to_dict(self) -> dict[str, object]:
        """Return the standings as plain data for JSON; intervals are [value, low, high]."""
        return {
            "part": self.part,
            "rows": [
                {
                    "rank": row.rank.rank,
                    "rank_interval": row.places and list(row.places),
                    **_by_distance(row),
                    "team": row.entry.team,
                    "submission": row.entry.id,
                    "published": row.entry.is_published,
                    "submitted": row.entry.submitted and timestamp(row.entry.submitted),
                    "submissions": row.submissions,
                    "note": row.entry.note,
                    "checksum": row.entry.checksum,
                    **row.scores.to_dict(),
                }
                for row in self.rows
            ],
        }


def ranked(
    entries: Sequence[Entry],
    part: str,
    info: BoardInfo,
    ranks: Mapping[str, RankSpread],
    by_distance: Mapping[str, RankSpread],
) -> Standings:
    """Put the latest entry of each team in order.

    Args:
        entries: All entries with scores on the part, in the order of arrival.
        part: The part of the suite that is shown.
        info: The leaderboard and its suite.
        ranks: The rank of each team.
        by_distance: Of regions its rank by the distance of profiles; of other suites empty.
    """
    teams: dict[str, list[Entry]] = {}
    for entry in entries:
        teams.setdefault(entry.team, []).append(entry)
    rows = [
        Row(ranks[team], made[-1], made[-1].scores[part], len(made), by_distance.get(team))
        for team, made in teams.items()
    ]
    return Standings(part, info, tuple(sorted(rows, key=lambda row: row.rank.rank)))


def _rank(row: Row) -> str:
    return f"{row.rank.rank}" if row.places is None else _place(row.rank)


def _place(rank: RankSpread) -> str:
    return f"{rank.rank}" if rank.low == rank.high else f"{rank.rank} ({rank.low}-{rank.high})"


def _by_distance(row: Row) -> dict[str, object]:
    """Return the place by distance as plain data, if there is one."""
    found = row.by_distance
    if found is None:
        return {}
    return {"distance_rank": found.rank, "distance_rank_interval": [found.low, found.high]}


def _number(estimate: Estimate) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.4f}"


def _with_interval(estimate: Estimate) -> str:
    if estimate.low is None:
        return _number(estimate)
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"
