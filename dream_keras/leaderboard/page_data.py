"""What the script of a leaderboard's page draws, as plain data."""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.common.files import write_text
from dream_keras.leaderboard.comparison import check_known
from dream_keras.leaderboard.entry import SCORE_NAMES, Estimate
from dream_keras.leaderboard.page import label, render, render_regions
from dream_keras.leaderboard.samples import Samples
from dream_keras.leaderboard.source import predictions_of
from dream_keras.leaderboard.standings import Row, Standings
from dream_keras.scoring.bootstrap import PairedDifference
from dream_keras.scoring.card import SuiteCeiling
from dream_keras.scoring.ceiling import suite_ceiling
from dream_keras.scoring.formulas import FORMULAS
from dream_keras.scoring.neutral_pairs import check_pairs

if TYPE_CHECKING:
    from dream_keras.leaderboard.board import Board
    from dream_keras.scoring.suite import Suite

Floats = npt.NDArray[np.float64]

_POINTS = 2_000
"""Points of a scatter plot; more would overlap, and make the page large."""
_STEPS = 500
"""Positions along an axis of a scatter plot, which is some 300 pixels wide."""
_BINS = 41
_DIGITS = 6


def write_page(
    board: "Board", folder: str | Path, phase: str | None = None, ceiling: Sequence[str] = ()
) -> Path:
    """Write the web page of a leaderboard.

    Args:
        board: The leaderboard.
        folder: Folder for ``index.html``; made when it does not exist.
        phase: ``"public"`` or ``"private"``; the leaderboard's own when left out.
        ceiling: Teams, numbers of submissions, run folders or files of predictions with which the
            noise ceiling is estimated, see ``dream_keras.scoring.ceiling``; none for no ceiling.

    Returns:
        The file.

    Raises:
        UserError: The phase is not open yet, the suite is gone, the folder is a file, or the
            suite has no pairs for a ceiling, or the predictions for it are unusable.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; the page needs a folder.")
    standings = board.standings(phase)
    if board.info.is_of_regions:
        if ceiling:
            raise UserError("--ceiling: regions have no pairs to estimate the noise from")
        title = f"test peaks of {Path(board.info.folder).name}"
        text = render_regions(standings, _region_pairs(board, standings), title)
    else:
        suite = board.suite
        found = _ceiling(board, standings.part, ceiling) if ceiling else None
        text = render(
            standings,
            page_data(board, standings),
            title=suite.name or "Gold-standard suite",
            formulas=_formulas(suite),
            ceiling=found,
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "index.html", text)
    return folder / "index.html"


def _ceiling(board: "Board", part: str, words: Sequence[str]) -> SuiteCeiling:
    """Estimate the noise ceiling with the submissions or other predictions that are named."""
    for word in words:
        check_known(word, board)
    check_pairs(board.suite, part)
    entries = [(word, board.find(word)) for word in words]
    sets = [
        predictions_of(word, board.suite, part) if entry is None else board.predictions(entry)
        for word, entry in entries
    ]
    return suite_ceiling(board.suite, sets, part)


def _region_pairs(
    board: "Board", standings: Standings
) -> list[tuple[str, str, str, PairedDifference]]:
    """Return the paired differences of any two rows, as ``render_regions`` takes them."""
    samples = [(row.entry.team, board.samples(row.entry, standings.part)) for row in standings.rows]
    return [
        (a, b, board.info.score_names[name], found)
        for (a, ours), (b, theirs) in combinations(samples, 2)
        for name, found in ours.against(theirs).totals.items()
    ]


def page_data(board: "Board", standings: Standings) -> dict[str, object]:
    """Return what the script draws; nothing in it is from another part of the suite."""
    own = [row for row in standings.rows if not row.entry.is_published]
    samples = {
        index: board.samples(row.entry, standings.part)
        for index, row in enumerate(standings.rows)
        if not row.entry.is_published
    }
    return {
        "steps": _STEPS,
        "subsets": [
            {
                "name": subset.name,
                "label": label(subset),
                "weight": subset.weight,
                "pairs": subset.is_pairs,
                "n": subset.sizes[standings.part],
            }
            for subset in standings.subsets
        ],
        "teams": [_team(row, standings) for row in standings.rows],
        "pairs": {f"{a}-{b}": _pair(samples[a], samples[b]) for a, b in combinations(samples, 2)},
        "scatter": _scatter(board, standings, own),
    }


def _team(row: Row, standings: Standings) -> dict[str, object]:
    names = [subset.name for subset in standings.subsets]
    unknown = Estimate(None)
    return {
        "name": row.entry.team,
        "published": row.entry.is_published,
        "totals": {name: _rounded(row.scores.totals[name]) for name in SCORE_NAMES},
        "r2": [_rounded(row.scores.r2.get(name, unknown)) for name in names],
        "rho": [_rounded(row.scores.rho.get(name, unknown)) for name in names],
    }


def _rounded(numbers: Iterable[float | None]) -> list[float | None]:
    return [
        None if number is None or math.isnan(number) else round(float(number), _DIGITS)
        for number in numbers
    ]


def _pair(a: Samples, b: Samples) -> dict[str, object]:
    """Return estimate, interval, wins and losses of each difference, and two histograms."""
    resamples = min(a.resamples, b.resamples)
    groups = {
        kind: [_rounded(difference[:5]) for difference in differences.values()]
        for kind, differences in vars(a.against(b)).items()
    }
    histograms = [
        _histogram(sampled.values[:resamples] - b.totals[name].values[:resamples])
        for name, sampled in a.totals.items()
    ]
    return {**groups, "histograms": histograms}


def _histogram(values: npt.NDArray[np.floating]) -> dict[str, object]:
    counts, edges = np.histogram(values, bins=_BINS)
    return {"range": _rounded((edges[0], edges[-1])), "counts": counts.tolist()}


def _scatter(board: "Board", standings: Standings, own: list[Row]) -> list[dict[str, object]]:
    """The points of each subset: measured values once, predicted ones for each submission."""
    suite, part = board.suite, standings.part
    predictions = [board.predictions(row.entry) for row in own]
    found: list[dict[str, object]] = []
    for subset in suite.subsets.values():
        measured = subset.pick(suite.measured, part)
        # The same points for every team; the seed keeps the page the same when made again.
        chosen = np.random.default_rng(0).permutation(len(measured))[:_POINTS]
        found.append(
            {
                "measured": _axis(measured[chosen]),
                "predicted": [_axis(subset.pick(values, part)[chosen]) for values in predictions],
            }
        )
    return found


def _axis(values: Floats) -> dict[str, object]:
    """Round values to the positions along an axis that spans them."""
    if not len(values):
        return {"range": [0.0, 1.0], "values": []}
    low, high = float(values.min()), float(values.max())
    if low == high:  # a constant stands in the middle
        low, high = low - 0.5, high + 0.5
    places = np.rint((values - low) / (high - low) * _STEPS).astype(int)
    return {"range": _rounded((low, high)), "values": places.tolist()}


def _formulas(suite: "Suite") -> str:
    """Describe how the two scores are computed."""
    texts = [FORMULAS[name].text.replace("^2", "²").replace("rho", "ρ") for name in suite.formulas]
    return (
        f"The Pearson Score is the weighted mean of {texts[0]} over the subsets, the Spearman "
        f"Score that of {texts[1]}; the weights stand beside the names of the subsets."
    )
