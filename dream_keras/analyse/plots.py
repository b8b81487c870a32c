"""Pictures of an analysis. Figures stand alone (no pyplot): save them with ``savefig``."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from dream_keras.data.kmers import K
from dream_keras.runs.plots import BLUE, GREY, ORANGE, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

_GRID = 45
"""Hexagons across a panel."""
_PALEST = 0.3
"""Rows in a hexagon that would be drawn white: less than one, so that single rows are seen."""
_FEWEST = 20
"""Pairs of row and bin in a group of the reliability curve; the mean of fewer is left out."""


def residual_figure(
    quantities: dict[str, tuple[Floats, pd.DataFrame]], residuals: Floats, subsets: pd.DataFrame
) -> "Figure":
    """Draw residuals against quantities, and their mean and spread in each subset.

    Args:
        quantities: By name: values, (rows,), and the table of ``residuals.by_quantity``.
        residuals: (rows,).
        subsets: The table of ``residuals.by_subset``.
    """
    figure = new_figure(9, 7)
    panels = figure.subplots(2, 2).flatten()
    for axes, (name, (values, groups)) in zip(panels, quantities.items(), strict=False):
        against(axes, values, residuals, groups)
        axes.axhline(0, color=BLUE, linewidth=0.8)
        axes.set(xlabel=name, ylabel="residual")
        plain(axes)
    axes = panels[len(quantities)]
    at = np.arange(len(subsets))[::-1]
    axes.errorbar(
        subsets["bias"], at, xerr=subsets["spread"], fmt="o", color=ORANGE, capsize=2, markersize=4
    )
    axes.axvline(0, color=BLUE, linewidth=0.8)
    axes.set_yticks(at, subsets["subset"])
    axes.set(xlabel="residual (of differences in pair subsets)")
    plain(axes)
    figure.suptitle("calibrated prediction − measured; orange: mean and standard deviation")
    return figure


def against(axes: "Axes", quantity: Floats, values: Floats, groups: pd.DataFrame) -> None:
    """Draw values against a quantity, with the mean and standard deviation of each group.

    Args:
        axes: The panel.
        quantity: (rows,); NaN is left out.
        values: (rows,).
        groups: The table of ``residuals.by_quantity``.
    """
    known = ~np.isnan(quantity)
    if known.any():
        axes.hexbin(
            quantity[known],
            values[known],
            gridsize=_GRID,
            mincnt=1,
            cmap="Greys",
            bins="log",
            vmin=_PALEST,
            linewidths=0.1,
        )
    axes.errorbar(
        groups["centre"],
        groups["bias"],
        groups["spread"],
        color=ORANGE,
        marker="o",
        markersize=3.5,
        capsize=2,
    )


def motif_figure(motifs: pd.DataFrame) -> "Figure":
    """Draw the table of ``residuals.by_motif``."""
    figure = new_figure(6, 0.6 + 0.28 * len(motifs))
    axes = figure.subplots()
    at = np.arange(len(motifs))[::-1]
    axes.barh(
        at, motifs["difference"], xerr=2 * motifs["error"], color=BLUE, ecolor=GREY, height=0.6
    )
    axes.axvline(0, color=GREY, linewidth=0.8)
    labels = [f"{name} ({n:,})" for name, n in zip(motifs["motif"], motifs["n"], strict=True)]
    axes.set_yticks(at, labels)
    axes.set(xlabel="mean residual with a site − without; grey: 2 standard errors")
    plain(axes)
    return figure


def calibration_figure(
    histograms: dict[str, Floats], reliability: pd.DataFrame, spread: pd.DataFrame
) -> "Figure":
    """Draw the calibration of the sorting bins.

    Args:
        histograms: PIT histograms of groups of rows, by name.
        reliability: The table of ``calibration.reliability``.
        spread: The table of ``calibration.spread``.
    """
    figure = new_figure(11, 3.6)
    pit, reliable, wide = figure.subplots(1, 3)
    for (name, shares), color in zip(histograms.items(), (BLUE, ORANGE, GREY), strict=False):
        pit.stairs(
            shares * len(shares), np.linspace(0, 1, len(shares) + 1), color=color, label=name
        )
    pit.axhline(1, color=GREY, linewidth=0.8, linestyle="--")
    pit.set(title="PIT histogram", xlabel="probability integral transform", ylabel="density")
    pit.set_ylim(bottom=0)
    pit.legend(frameon=False, fontsize=8)
    solid = reliability[reliability["n"] >= _FEWEST]
    _diagonal(reliable, reliability if solid.empty else solid)
    reliable.set(
        title="reliability of the bins", xlabel="predicted probability", ylabel="mean target"
    )
    _diagonal(wide, spread)
    wide.set(
        title="width",
        xlabel="predicted standard deviation, bins",
        ylabel="observed deviation, bins",
    )
    for axes in (pit, reliable, wide):
        plain(axes)
    return figure


def _diagonal(axes: "Axes", table: pd.DataFrame) -> None:
    ends = table[["predicted", "observed"]].to_numpy()
    axes.plot([ends.min(), ends.max()], [ends.min(), ends.max()], "--", color=GREY, linewidth=0.8)
    axes.plot(table["predicted"], table["observed"], "o-", color=BLUE, markersize=4)


def strand_figure(strands: Floats, r: float) -> "Figure":
    """Draw the predictions of both strands, (rows, 2), against each other."""
    figure = new_figure(4.6, 4)
    axes = figure.subplots()
    drawn = axes.hexbin(*strands.T, gridsize=_GRID, mincnt=1, cmap="viridis", bins="log")
    figure.colorbar(drawn, ax=axes, label="rows", shrink=0.8)
    axes.axline(strands.mean(axis=0), slope=1, color=GREY, linewidth=0.8, linestyle="--")
    axes.set(xlabel="forward", ylabel="reverse complement", title=f"both strands   r = {r:.4f}")
    plain(axes)
    return figure


def similarity_figure(shared: Floats, groups: pd.DataFrame) -> "Figure":
    """Draw how similar rows are to the training rows, and how well each group is predicted.

    Args:
        shared: Similarity of the rows, (rows,); NaN is left out.
        groups: The table of ``similarity.by_similarity``.
    """
    figure = new_figure(9, 3.4)
    count, score = figure.subplots(1, 2)
    count.hist(shared[~np.isnan(shared)], bins=np.linspace(0, 1, 21), color=BLUE)
    count.set(
        xlabel=f"share of a row's {K}-mers in the training table", ylabel="rows", yscale="log"
    )
    count.set_ylim(bottom=0.7)  # a bar of one row is seen
    at = np.arange(len(groups))
    score.plot(at, groups["pearson"], "o-", color=BLUE, label="Pearson r")
    score.plot(at, groups["rms"], "s--", color=ORANGE, label="rms residual")
    labels = [f"{name}\n{n:,}" for name, n in zip(groups["group"], groups["n"], strict=True)]
    score.set_xticks(at, labels, fontsize=7)
    score.set(xlabel="similarity and rows")
    score.margins(y=0.1)
    score.set_ylim(bottom=min(0, score.get_ylim()[0]))
    score.legend(frameon=False)
    for axes in (count, score):
        plain(axes)
    return figure


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure, its size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="constrained")
