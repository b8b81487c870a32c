"""Reports of scores: a table for the terminal, one in Markdown, and scatter plots."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy.typing as npt

from dream_keras.common.text import align
from dream_keras.scoring.card import Coverage, Estimate, Interval, Intervals, ScoreCard, SubsetScore
from dream_keras.scoring.formulas import FORMULAS
from dream_keras.scoring.metrics import score
from dream_keras.scoring.region_card import RegionCard
from dream_keras.scoring.suite import Suite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_KINDS = {"r": "pearson", "r^2": "r2", "rho": "spearman"}
"""The numbers of a subset, by what the formulas of the scores call them."""
_UNDEFINED = "undefined"
_PART_TEXT = {
    "private": "private part: without the public leaderboard's rows",
    "public": "public part: the public leaderboard's rows",
    "all": "all rows",
}
_COLUMNS = 3
"""Panels in a row of the figure."""
_GRID = 45
"""Hexagons across a panel."""


def table(card: ScoreCard | RegionCard) -> str:
    """Return the card as aligned plain text, without a final line break."""
    if isinstance(card, RegionCard):
        return card.table()
    rows = _rows(card, ("Pearson r", "r^2", "Spearman rho"))
    lines = align(rows)
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join([*lines, "", *_summary(card)])


def markdown_table(card: ScoreCard) -> str:
    """Return the card as a Markdown table and its scores, without a final line break."""
    rows = _rows(card, ("Pearson r", "r²", "Spearman ρ"))
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---|" + "---:|" * (len(rows[0]) - 1))
    return "\n".join([*lines, "", *(f"- {line}" for line in _summary(card))])


def _rows(card: ScoreCard, heads: Sequence[str]) -> list[list[str]]:
    """Return a header and a row for each subset.

    Of the bootstrap intervals only those of the numbers are shown that the scores are made of.
    """
    header = ["subset", "weight", "n"]
    rows = [[name, f"{s.weight:.2f}", f"{s.n:,}"] for name, s in card.subsets.items()]
    scored = {_KINDS[FORMULAS[formula].text] for formula in card.formulas}
    for kind, head in zip(_KINDS.values(), heads, strict=True):
        header.append(head)
        for row, subset in zip(rows, card.subsets.values(), strict=True):
            row.append(_UNDEFINED if subset.undefined else f"{getattr(subset, kind):.6f}")
        if card.intervals is not None and kind in scored:
            header.append(_level(card.intervals))
            for row in rows:
                row.append(_ends(card.intervals.subsets[row[0]][kind]))
        if card.ceiling is not None and kind == "r2":
            header.append(f"ceiling of {head}")
            for row in rows:
                row.append(_with_interval(card.ceiling.r2[row[0]]))
    if card.coverage is not None:
        header += ["coverage", "width"]
        for row in rows:
            covered = card.coverage.subsets[row[0]]
            row += [f"{covered.coverage:.3f}", f"{covered.width:.3f}"]
    return [header, *rows]


def _with_interval(estimate: Estimate) -> str:
    """Return a number, and its interval if there was a bootstrap."""
    if math.isnan(estimate.value):
        return _UNDEFINED
    interval = "" if math.isnan(estimate.interval.low) else f" {_ends(estimate.interval)}"
    return f"{estimate.value:.4f}{interval}"


def _level(intervals: Intervals) -> str:
    return f"{100 * intervals.level:g} % interval"


def _ends(interval: Interval) -> str:
    if math.isnan(interval.low):
        return _UNDEFINED
    return f"[{interval.low:.4f}, {interval.high:.4f}]"


def _summary(card: ScoreCard) -> list[str]:
    undefined = [
        f"{name} is undefined: {subset.undefined}; it counts as 0"
        for name, subset in card.subsets.items()
        if subset.undefined
    ]
    weights = f"{card.total_weight:g}"
    pearson, spearman = (FORMULAS[formula].text for formula in card.formulas)
    lines = [
        f"Pearson Score  {card.pearson_score:.6f}  = sum of weight * {pearson} / {weights}",
        f"Spearman Score {card.spearman_score:.6f}  = sum of weight * {spearman} / {weights}",
    ]
    if card.intervals is not None:
        ends = card.intervals.scores["pearson_score"], card.intervals.scores["spearman_score"]
        level = _level(card.intervals)
        lines = [f"{line}; {level} {_ends(i)}" for line, i in zip(lines, ends, strict=True)]
        undefined += _undefined_resamples(card, card.intervals)
        lines.append(
            f"intervals: percentiles of {card.intervals.resamples:,} bootstrap resamples of the "
            f"rows and pairs, seed {card.intervals.seed}"
        )
    if card.ceiling is not None:
        lines[0] += f"; ceiling {_with_interval(card.ceiling.pearson_score)}"
        lines.append(
            "ceilings: what a perfect predictor is expected to reach, from the noise of "
            f"{card.ceiling.pairs:,} neutral pairs; too low where the predictions that chose these "
            "overlook changes"
        )
    if card.coverage is not None:
        lines += _coverage(card.coverage)
    return [*undefined, *lines, _PART_TEXT[card.part]]


def _coverage(found: Coverage) -> list[str]:
    """Describe how often intervals cover the measurements of all rows."""
    every = {name: each for name, each in found.subsets.items() if name.startswith("all")}
    shares = ", ".join(f"{each.coverage:.3f} of {name}" for name, each in every.items())
    return [
        f"{100 * found.level:g} % intervals cover {shares}; calibrated on {found.calibrated_on}. "
        "Subsets that are not drawn like those rows need not reach that share"
    ]


def _undefined_resamples(card: ScoreCard, intervals: Intervals) -> list[str]:
    """Name the subsets that have a correlation, but not in every resample."""
    return [
        f"{name} is undefined in {100 * share:.2g} % of the resamples; there it counts as 0 in "
        "the scores, and its intervals leave them out"
        for name, share in intervals.undefined.items()
        if share and not card.subsets[name].undefined
    ]


def scatter_figure(suite: Suite, predictions: npt.NDArray, part: str = "private") -> "Figure":
    """Draw predicted against measured values, one panel for each subset.

    Pair subsets show differences (alt minus ref). Colour is the number of rows or pairs in a
    hexagon, on one logarithmic scale for all panels.

    Args:
        suite: The suite.
        predictions: As for ``dream_keras.scoring.metrics.score``.
        part: The part of the suite.

    Returns:
        A figure of its own (no pyplot): save it with ``figure.savefig(path)``.

    Raises:
        UserError: What ``dream_keras.scoring.metrics.score`` raises.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    card = score(suite, predictions, part)
    rows = math.ceil(len(card.subsets) / _COLUMNS)
    figure = Figure(figsize=(3.7 * _COLUMNS, 3.5 * rows + 0.3), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
    hexagons = []
    for axes, (name, subset_score) in zip(panels, card.subsets.items(), strict=False):
        subset = suite.subsets[name]
        _style(axes, name, subset_score, is_difference=subset.is_difference)
        if subset_score.n:
            x = subset.pick(suite.shaped(predictions), part)
            y = subset.pick(suite.measured, part)
            hexagons.append(
                axes.hexbin(x, y, gridsize=_GRID, mincnt=1, cmap="viridis", linewidths=0.1)
            )
    for axes in panels[len(card.subsets) :]:
        axes.set_axis_off()
    norm = LogNorm(1, max([10, *(int(drawn.get_array().max()) for drawn in hexagons)]))
    for drawn in hexagons:
        drawn.set_norm(norm)
    if hexagons:
        bar = figure.colorbar(hexagons[0], ax=panels, shrink=0.4, aspect=30, pad=0.015)
        bar.set_label("rows or pairs in a hexagon")
        bar.outline.set_visible(False)
    figure.suptitle(
        f"{suite.name or 'suite'}, {part} part    Pearson Score {card.pearson_score:.4f}    "
        f"Spearman Score {card.spearman_score:.4f}"
    )
    return figure


def _style(axes: "Axes", name: str, subset: SubsetScore, *, is_difference: bool) -> None:
    """Give a panel its title and labels; remove the upper and right edge."""
    numbers = (
        f"r and ρ undefined: {subset.undefined}"
        if subset.undefined
        else f"r = {subset.pearson:.3f}   ρ = {subset.spearman:.3f}"
    )
    axes.set_title(f"{name}   n = {subset.n:,}\n{numbers}", loc="left", fontsize=10)
    kind = " difference, alt − ref" if is_difference else ""
    axes.set_xlabel(f"predicted{kind}", fontsize=9)
    axes.set_ylabel(f"measured{kind}", fontsize=9)
    axes.tick_params(labelsize=8, color="0.6")
    axes.set_axisbelow(True)
    axes.grid(color="0.92", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.6")
    if is_difference:
        axes.axhline(0, color="0.75", linewidth=0.8, zorder=0.9)
        axes.axvline(0, color="0.75", linewidth=0.8, zorder=0.9)
