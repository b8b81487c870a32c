"""Pictures of a training run. Figures stand alone (no pyplot): save them with ``savefig``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2a6fb0", "#d9772b", "#8a8a8a"


def prediction_figure(
    predicted: npt.NDArray[np.float64], measured: npt.NDArray[np.float64], tasks: Sequence[str]
) -> "Figure":
    """Draw predicted against measured values as densities, one panel for each task.

    Args:
        predicted: (rows, tasks).
        measured: (rows, tasks); NaN where a label is missing.
        tasks: Their names.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * len(tasks), 4), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for task, axes in enumerate(panels):
        known = np.isfinite(measured[:, task])
        x, y = predicted[known, task], measured[known, task]
        drawn = axes.hexbin(x, y, gridsize=45, mincnt=1, cmap="viridis", bins="log")
        figure.colorbar(drawn, ax=axes, label="rows", shrink=0.8)
        name = f"{tasks[task]}: " if len(tasks) > 1 else ""
        axes.set(xlabel="predicted", ylabel="measured", title=f"{name}{len(y):,} validation rows")
        plain(axes)
    return figure


def learning_curve(history: pd.DataFrame, best_epoch: int) -> "Figure":
    """Draw loss, learning rate and validation correlation over the epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3), dpi=110, layout="constrained")
    loss, rate, score = figure.subplots(1, 3)
    marker = "o" if len(history) < 30 else None
    style = {"marker": marker, "markersize": 3.5}
    loss.plot(history["epoch"], history["loss"], color=BLUE, **style)
    loss.set(title="training loss")
    rate.plot(history["step"], history["learning_rate"], color=GREY, **style)
    rate.set(title="learning rate after each epoch", xlabel="step")
    score.plot(history["epoch"], history["val_pearson"], color=BLUE, label="Pearson r", **style)
    score.plot(history["epoch"], history["val_spearman"], color=ORANGE, label="Spearman", **style)
    score.axvline(best_epoch, color=GREY, linewidth=0.8, linestyle="--", label="best epoch")
    score.set(title="validation")
    score.legend(frameon=False)
    for axes in (loss, rate, score):
        plain(axes)
        if axes is not rate:
            axes.set_xlabel("epoch")
    return figure


def mark_simulated(figure: "Figure") -> None:
    """Write into a corner of a figure that its data are simulated."""
    figure.text(0.995, 0.005, "simulated data", ha="right", va="bottom", fontsize=7, color=GREY)


def plain(axes: "Axes") -> None:
    """Remove the upper and right edge of a panel and add a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
