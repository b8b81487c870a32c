"""The static web page of a leaderboard: one file that makes no network requests.

All text is escaped on its way into the page.
"""

import math
from collections.abc import Iterable
from html import escape
from pathlib import Path

from dream_keras.common.page import fill
from dream_keras.leaderboard.entry import SCORE_NAMES, Estimate, SubsetInfo
from dream_keras.leaderboard.standings import Row, Standings
from dream_keras.scoring.bootstrap import PairedDifference
from dream_keras.scoring.card import SuiteCeiling

_TEMPLATE = Path(__file__).parent / "web" / "page.html"
_REGIONS = _TEMPLATE.with_name("regions.html")
_LEADS = {
    "private": "The private part of the suite: what the public leaderboard did not show.",
    "public": "The public part of the suite. The private part is shown when the challenge closes.",
    "all": "All rows of the suite.",
}


def render(
    standings: Standings,
    data: dict[str, object],
    title: str,
    formulas: str,
    ceiling: SuiteCeiling | None = None,
) -> str:
    """Return the page as HTML.

    Args:
        standings: The rows of its table.
        data: What its script draws, see ``dream_keras.leaderboard.page_data``.
        title: What is scored.
        formulas: The formulas of the two scores, as text.
        ceiling: What a perfect predictor is expected to reach, if it was estimated.
    """
    keys = {"pearson": SCORE_NAMES["pearson_score"], "spearman": SCORE_NAMES["spearman_score"]}
    columns = {"rank": "Rank", "team": "Team"} | keys
    columns |= {f"r2.{subset.name}": label(subset) for subset in standings.subsets}
    return fill(
        _TEMPLATE,
        f"Leaderboard: {title}",
        data,
        kicker=escape(title),
        lead=escape(_lead(standings)),
        header_cells='<th scope="col"><span class="sr">Show in the charts</span></th>'
        + "".join(_header_cell(key, text) for key, text in columns.items()),
        rows="\n".join(_rows(standings)),
        ceiling="" if ceiling is None else _ceiling(ceiling),
        footnotes="".join(f"<p>{escape(text)}</p>" for text in _footnotes(standings, ceiling)),
        formulas=escape(formulas),
    )


def render_regions(
    standings: Standings, pairs: Iterable[tuple[str, str, str, PairedDifference]], title: str
) -> str:
    """Return the page of a leaderboard for regions as HTML, two tables without a script.

    Args:
        standings: The rows of its first table.
        pairs: Those of the second: A, B, what is compared, and A minus B.
        title: What is scored.
    """
    names = standings.info.score_names
    columns = {"rank": "Rank", "distance": "by JSD", "team": "Team", **names}
    compared = ("A", "B", "score", "A − B", "95 % interval", "A higher in")
    return fill(
        _REGIONS,
        f"Leaderboard: {title}",
        {},
        style_of=_TEMPLATE,
        kicker=escape(title),
        lead=f"{standings.info.subsets[0].sizes[standings.part]:,} peaks. {_teams(standings)}, "
        f"ranked by {next(iter(names.values()))}.",
        header_cells="".join(_header_cell(key, text) for key, text in columns.items()),
        rows="\n".join(_rows(standings, picked=False)),
        pair_cells="".join(f'<th scope="col">{text}</th>' for text in compared),
        pairs="\n".join(_pair(*pair) for pair in pairs),
        footnotes="<p>Below each score and rank stands its 95 % bootstrap interval. Of each team "
        "the latest submission counts.</p>",
        formulas="Pearson r compares measured and predicted log(1 + total count) of the peaks. JSD "
        "is the median of the Jensen-Shannon distances of measured and predicted profiles, 0 to "
        ".8326: the lower, the better. Networks with a bias model predict jointly with it.",
    )


def _pair(a: str, b: str, score: str, found: PairedDifference) -> str:
    """Return a row of the table of comparisons."""
    cells = [escape(a), escape(b), escape(score)]
    if math.isnan(found.estimate):
        cells += ["–", "", ""]
    else:
        cells += [f"{found.estimate:+.4f}", f"{found.low:+.4f} to {found.high:+.4f}"]
        cells.append(f"{100 * found.wins:.1f} %")
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def label(subset: SubsetInfo) -> str:
    """Return the display name of a subset."""
    return subset.name.replace("_", " ")


def _lead(standings: Standings) -> str:
    return f"{_LEADS[standings.part]} {_teams(standings)}, ranked by Pearson Score."


def _teams(standings: Standings) -> str:
    submissions = sum(not row.entry.is_published for row in standings.rows)
    return f"{submissions} team{'' if submissions == 1 else 's'}"


def _header_cell(key: str, text: str) -> str:
    shape = ' class="of-team"' if key == "team" else ""
    # Without a script the rows are in the order of rank; with one, the script marks the order.
    button = f'<button type="button">{escape(text)}</button>'
    return f'<th scope="col"{shape} data-key="{escape(key)}">{button}</th>'


def _rows(standings: Standings, picked: bool = True) -> Iterable[str]:
    """Yield the rows of the table, with boxes to pick those that are drawn."""
    names = [subset.name for subset in standings.subsets]
    best = {
        name: max((row.scores.r2.get(name, Estimate(None)).value or 0.0) for row in standings.rows)
        for name in names
        if standings.rows
    }
    ranges = {name: _range(standings.rows, name) for name in standings.info.score_names}
    if not standings.rows:
        yield f'<tr><td colspan="{5 + len(names)}">No submissions yet.</td></tr>'
    for index, row in enumerate(standings.rows):
        box = (
            f'<td><input type="checkbox" class="pick needs-script" value="{index}" '
            f'aria-label="Show {escape(row.entry.team)} in the charts"></td>'
        )
        cells = [
            *([box] if picked else []),
            f'<td class="rank">{row.rank.rank}{_places(row.places)}</td>',
            *_by_distance(row),
            f'<th scope="row" class="of-team">{_team(row)}</th>',
            *(_score(row.scores.totals[name], ranges[name]) for name in ranges),
            *(_r2(row.scores.r2.get(name, Estimate(None)).value, best[name]) for name in names),
        ]
        shape = ' class="published"' if row.entry.is_published else ""
        yield f'<tr{shape} data-team="{index}">{"".join(cells)}</tr>'


def _team(row: Row) -> str:
    entry = row.entry
    if entry.is_published:
        details = [entry.note]
    else:
        assert entry.submitted is not None
        count = f"{row.submissions} submissions" if row.submissions > 1 else ""
        details = [f"{entry.submitted:%Y-%m-%d}, number {entry.id}", count, entry.note]
    badge = ' <span class="badge">published</span>' if entry.is_published else ""
    lines = "".join(f'<span class="sub">{escape(text)}</span>' for text in details if text)
    return f'<span class="team">{escape(entry.team)}</span>{badge}{lines}'


def _by_distance(row: Row) -> list[str]:
    """Return the cell of the place by distance, if there is one."""
    found = row.by_distance
    if found is None:
        return []
    return [f'<td class="rank">{found.rank}{_places((found.low, found.high))}</td>']


def _places(places: tuple[int, int] | None) -> str:
    low, high = places or (0, 0)
    return "" if low == high else f'<span class="sub">{low} to {high}</span>'


def _range(rows: Iterable[Row], name: str) -> tuple[float, float]:
    """The range of a score's axis: all values and intervals, with a margin."""
    numbers = [n for row in rows for n in row.scores.totals[name] if n is not None] or [0.0, 1.0]
    air = 0.04 * (max(numbers) - min(numbers)) or 0.01
    return min(numbers) - air, max(numbers) + air


def _score(estimate: Estimate, axis: tuple[float, float]) -> str:
    if estimate.value is None:
        return "<td>–</td>"

    def at(number: float) -> str:
        return f"{100 * (number - axis[0]) / (axis[1] - axis[0]):.1f}%"

    lines = ['<line class="axis" x1="0" x2="100%" y1="50%" y2="50%"/>']
    below = ""
    if estimate.low is not None and estimate.high is not None:
        ends = f'x1="{at(estimate.low)}" x2="{at(estimate.high)}"'
        lines.append(f'<line class="whisker" {ends} y1="50%" y2="50%"/>')
        below = f'<span class="sub">{estimate.low:.4f} to {estimate.high:.4f}</span>'
    lines.append(f'<circle class="point" cx="{at(estimate.value)}" cy="50%" r="4"/>')
    picture = f'<svg class="interval" aria-hidden="true">{"".join(lines)}</svg>'
    return (
        f'<td class="of-score"><span class="score">{estimate.value:.4f}</span>{picture}{below}</td>'
    )


def _r2(value: float | None, best: float) -> str:
    if value is None:
        return "<td>–</td>"
    # Published numbers have four digits: equal digits count as equal.
    shape = ' class="best"' if round(value, 4) == round(best, 4) else ""
    return f"<td{shape}>{value:.4f}</td>"


def _ceiling(ceiling: SuiteCeiling) -> str:
    """Return the table's last row; ranks and the Spearman Score have no ceiling."""
    score, *r2 = (
        "–"
        if math.isnan(estimate.value)
        else f"{estimate.value:.4f}"
        + '<span class="sub">{:.4f} to {:.4f}</span>'.format(*estimate.interval)
        for estimate in (ceiling.pearson_score, *ceiling.r2.values())
    )
    cells = "".join(f"<td>{cell}</td>" for cell in r2)
    return (
        '<tfoot><tr><td></td><td></td><th scope="row" class="of-team">'
        '<span class="team">Ceiling</span></th>'
        f'<td class="of-score">{score}</td><td class="of-score">–</td>{cells}</tr></tfoot>'
    )


def _footnotes(standings: Standings, ceiling: SuiteCeiling | None) -> Iterable[str]:
    yield (
        "The columns of subsets show Pearson r², the best of each in bold. Below each score "
        "and rank stands its 95 % bootstrap interval. Of each team the latest submission counts."
    )
    if ceiling is not None:
        yield (
            "Ceiling: what a perfect predictor is expected to reach, with 95 % intervals, from the "
            f"noise of {ceiling.pairs:,} pairs that predictions call unchanged. It is too low "
            "where these overlook changes."
        )
    if any(row.entry.is_published for row in standings.rows):
        yield (
            "Published: the final leaderboard of the Random Promoter DREAM Challenge, on the "
            "private part of the real test set (Rafi et al., doi 10.1038/s41587-024-02414-w). "
            "Its predictions are not part of this leaderboard, so its rows have no intervals "
            "and stay fixed in the intervals of ranks."
        )
