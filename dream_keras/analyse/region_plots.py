"""Pictures of an analysis on regions. Figures stand alone (no pyplot): save with ``savefig``."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from dream_keras.analyse.plots import against, new_figure
from dream_keras.runs.plots import BLUE, GREY, ORANGE, plain
from dream_keras.scoring.profiles import RegionScores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

COLORS = {"joint": ORANGE, "network": BLUE}
_STYLES = {"shuffled_jsd": ":", "replicate_jsd": "--"}
_BINS = 40
_GRID = 45
"""Hexagons across a panel."""


class Example(NamedTuple):
    """A region whose profiles are drawn.

    Attributes:
        title: What is written above it.
        measured: Counts, (positions,).
        predicted: Shares of the counts by who predicts them, each (positions,).
    """

    title: str
    measured: npt.NDArray[np.number]
    predicted: Mapping[str, Floats]


def count_figure(found: Mapping[str, RegionScores]) -> "Figure":
    """Draw measured against predicted log counts, a panel for each that predicts."""
    figure = new_figure(4.6 * len(found), 4)
    for axes, (who, scores) in zip(
        figure.subplots(1, len(found), squeeze=False)[0], found.items(), strict=True
    ):
        _density(axes, scores.predicted, scores.log_counts)
        axes.set(
            xlabel="predicted log(1 + total count)",
            ylabel="measured log(1 + total count)",
            title=f"{who}   r = {scores.summary()['pearson']:.4f}",
        )
        plain(axes)
    return figure


def distance_figure(found: Mapping[str, RegionScores], baselines: Mapping[str, float]) -> "Figure":
    """Draw distributions of the profiles' distances; lines mark the medians of the baselines."""
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    edges = np.linspace(0, np.sqrt(np.log(2)), _BINS + 1)
    for who, scores in found.items():
        counts, _ = np.histogram(scores.distances[np.isfinite(scores.distances)], edges)
        axes.stairs(counts, edges, color=COLORS[who], linewidth=1.5, label=who)
        axes.axvline(scores.summary()["jsd"], color=COLORS[who], linewidth=0.8)
    for name, style in _STYLES.items():
        if name in baselines:
            label = name.removesuffix("_jsd") + ("s" if name.startswith("replicate") else "")
            axes.axvline(baselines[name], color=GREY, linestyle=style, label=f"{label} (median)")
    axes.set(xlabel="Jensen-Shannon distance of profiles", ylabel="regions")
    axes.legend(frameon=False, fontsize=8)
    plain(axes)
    return figure


def dependence_figure(
    quantities: Mapping[str, Floats], values: Mapping[str, Floats], groups: Sequence[pd.DataFrame]
) -> "Figure":
    """Draw values of the regions against quantities, with means and spreads of groups.

    Args:
        quantities: By the labels of their axes: a column of panels for each, (regions,).
        values: Likewise, a row of panels for each.
        groups: Tables of ``residuals.by_quantity``, row by row.
    """
    figure = new_figure(9, 3.5 * len(values))
    panels = figure.subplots(len(values), len(quantities), squeeze=False).flatten()
    pairs = [(q, v) for v in values.items() for q in quantities.items()]
    for axes, ((x_label, x), (y_label, y)), table in zip(panels, pairs, groups, strict=True):
        against(axes, x, y, table)
        axes.set(xlabel=x_label, ylabel=y_label)
        plain(axes)
    figure.suptitle("orange: mean and standard deviation")
    return figure


def comparison_figure(joint: Floats, network: Floats) -> "Figure":
    """Draw the regions' distances, (regions,), of the joint prediction and of the network alone."""
    figure = new_figure(4.6, 4)
    axes = figure.subplots()
    known = np.isfinite(joint) & np.isfinite(network)
    _density(axes, network[known], joint[known])
    axes.set(xlabel="Jensen-Shannon distance, network", ylabel="Jensen-Shannon distance, joint")
    plain(axes)
    return figure


def profile_figure(examples: Sequence[Example]) -> "Figure":
    """Draw the profiles of some regions, one below the other."""
    figure = new_figure(9, 2.2 * len(examples) + 0.4)
    panels = figure.subplots(len(examples), 1, squeeze=False)[:, 0]
    for axes, example in zip(panels, examples, strict=True):
        positions = len(example.measured)
        edges = np.arange(positions + 1) - positions // 2
        axes.stairs(example.measured, edges, fill=True, color=GREY, alpha=0.5, label="measured")
        total = example.measured.sum(dtype=np.float64)
        for who, shares in example.predicted.items():
            axes.plot(edges[:-1] + 0.5, shares * total, color=COLORS[who], linewidth=1, label=who)
        axes.set(ylabel="count per base")
        axes.set_title(example.title, fontsize=9)
        axes.margins(x=0)
        plain(axes)
    panels[0].legend(frameon=False, fontsize=8, ncols=3)
    panels[-1].set(xlabel="position from the centre, bp")
    return figure


def _density(axes: "Axes", x: Floats, y: Floats) -> None:
    """Draw regions as a density, with the line on which both numbers are the same."""
    drawn = axes.hexbin(x, y, gridsize=_GRID, mincnt=1, cmap="viridis", bins="log")
    axes.figure.colorbar(drawn, ax=axes, label="regions", shrink=0.8)
    limits = axes.axis()  # a network that has learned nothing is far from the line
    axes.axline((y.mean(), y.mean()), slope=1, color=GREY, linewidth=0.8, linestyle="--")
    axes.axis(limits)
