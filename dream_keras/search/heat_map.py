"""Heat map of the score of every order."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dream_keras.runs.plots import BLUE, GREY
from dream_keras.search.journal import Trial
from dream_keras.search.plan import Plan
from dream_keras.search.plots import DPI, OBJECTIVES, STYLE, plain
from dream_keras.search.results import (
    SLOTS,
    best_of,
    comparable,
    describe,
    slots,
    spread,
    trainer_follows,
)
from dream_keras.search.space import Choose

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

PLACES = ("core", "first", "final", "processor", "trainer")
"""Slots in the order in which they take their places, if they vary: rows and columns of a panel,
columns and rows of panels."""
MOST_DOTS = 30
"""Trials in a chart of dots."""
_COLOURS = "viridis"


@dataclass(frozen=True)
class _Grid:
    """Position of each order in the panels.

    Attributes:
        plan: The search.
        sides: Labels down and across a panel, and across and down the panels.
        names: What these four are; None where there is nothing to tell apart.
        cells: The trials of each order, by their four labels.
        shown: Those that have a score to be shown.
        best: The best of them.
    """

    plan: Plan
    sides: list[list[str]]
    names: list[str | None]
    cells: dict[tuple[str, ...], list[Trial]]
    shown: list[Trial]
    best: Trial | None

    def score(self, trial: Trial) -> float:
        return trial.mean(self.plan.settings.objective)


def heat_map(plan: Plan, trials: Sequence[Trial]) -> "Figure":
    """Draw the score of every order: core by first, in panels of final by processor.

    Of several trials of one order the best is shown. Where fewer than two slots vary, each trial
    is a dot in a row of its own.
    """
    from matplotlib import rc_context

    levels = _levels(plan, trials)
    varying = [slot for slot in PLACES if len(levels[slot]) > 1]
    with rc_context(STYLE):
        if len(varying) < 2:
            return _dot_chart(plan, trials)
        return _draw(_arrange(plan, trials, levels, varying))


def _levels(plan: Plan, trials: Sequence[Trial]) -> dict[str, list[str]]:
    """Return what each slot can be, in the order of the file."""
    asked = {question.name: question for question in plan.space.questions}
    found: dict[str, list[str]] = {}
    for slot in SLOTS:
        question = asked.get(slot)
        if isinstance(question, Choose):
            found[slot] = list(question.options)
        else:
            # A trainer that follows the processor is no choice of its own.
            found[slot] = [slots(plan, trial)[slot] for trial in trials][:1]
    return found


def _arrange(
    plan: Plan, trials: Sequence[Trial], levels: dict[str, list[str]], varying: list[str]
) -> _Grid:
    names: list[str | None] = [*varying, None, None][:4]
    sides = [levels[name] if name else [""] for name in names]
    if len(varying) == 5:  # the trainer is chosen for itself: rows of both
        sides[3] = [f"{a} + {b}" for a in levels["processor"] for b in levels["trainer"]]
    cells: dict[tuple[str, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        order = slots(plan, trial)
        if len(varying) == 5:
            order["processor"] = f"{order['processor']} + {order['trainer']}"
        cells[tuple(order[name] if name else "" for name in names)].append(trial)
    if names[3] == "processor" and (len(varying) == 5 or trainer_follows(plan)):
        names[3] = "processor and trainer"
    return _Grid(plan, sides, names, cells, comparable(plan, trials), best_of(plan, trials))


def _draw(grid: _Grid) -> "Figure":
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    cells = [[t for t in cell if t in grid.shown] for cell in grid.cells.values()]
    scores = [max(map(grid.score, cell)) for cell in cells if cell]
    scale = Normalize(min(scores, default=0), max(scores, default=1))
    down, across, columns, rows = grid.sides
    width = 1.7 + len(columns) * (0.2 + 0.56 * len(across))
    height = 0.9 + len(rows) * (0.2 + 0.36 * len(down))
    figure = Figure(figsize=(width, height), dpi=DPI)
    panels = figure.subplots(len(rows), len(columns), squeeze=False, sharex=True, sharey=True)
    for axes, (row, column) in zip(panels.flat, np.ndindex(panels.shape), strict=True):
        for y, x in np.ndindex(len(down), len(across)):
            cell = (down[y], across[x], columns[column], rows[row])
            _cell(axes, x, y, grid, grid.cells.get(cell, []), scale)
        _panel(axes, grid, row, column)
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03)
    bar = figure.colorbar(
        ScalarMappable(scale, _COLOURS), ax=panels, shrink=0.55, aspect=28, pad=0.02
    )
    bar.set_label(OBJECTIVES[grid.plan.settings.objective])
    bar.outline.set_linewidth(0.5)
    return figure


def _panel(axes: "Axes", grid: _Grid, row: int, column: int) -> None:
    """Label the axes of a panel."""
    down, across, columns, rows = grid.sides
    axes.set(xlim=(-0.5, len(across) - 0.5), ylim=(len(down) - 0.5, -0.5))
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(down)), down)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if row == 0 and grid.names[2]:
        axes.set_title(f"{grid.names[2]}: {columns[column]}")
    if row == len(rows) - 1:
        axes.set_xlabel(str(grid.names[1]))
    if column == 0:
        axes.set_ylabel(str(grid.names[0]))
    if column == len(columns) - 1 and grid.names[3]:
        axes.annotate(
            f"{grid.names[3]}:\n{rows[row]}",
            (1.03, 0.5),
            xycoords="axes fraction",
            rotation=-90,
            va="center",
            ha="left",
            fontsize=8,
            linespacing=1.25,
            multialignment="center",
        )


def _cell(
    axes: "Axes", x: int, y: int, grid: _Grid, trials: list[Trial], scale: "Normalize"
) -> None:
    """Draw one order: its score on its colour, or why there is none."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    scored = [trial for trial in trials if trial in grid.shown]
    corner = (x - 0.5, y - 0.5)
    edge: Any = {"edgecolor": "white", "linewidth": 1.2}
    if not scored:
        failed = any(trial.status == "failed" for trial in trials)
        hatch = "//////" if failed else ""
        grey: Any = {"facecolor": "#f4f4f4", "edgecolor": "#bdbdbd" if failed else "white"}
        axes.add_patch(Rectangle(corner, 1, 1, hatch=hatch, linewidth=0, **grey))
        axes.add_patch(Rectangle(corner, 1, 1, facecolor="none", **edge))
        if failed:
            box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}
            axes.text(x, y, "failed", ha="center", va="center", color="#555555", bbox=box)
        return
    trial = max(scored, key=grid.score)
    colour = colormaps[_COLOURS](scale(grid.score(trial)))
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, **edge))
    if trial is grid.best:
        frame: Any = {"facecolor": "none", "edgecolor": "black", "linewidth": 1.3, "zorder": 5}
        axes.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, **frame))
    light = float(np.dot(colour[:3], (0.299, 0.587, 0.114))) > 0.5
    ink = "black" if light else "white"
    sd = spread(trial, grid.plan.settings.objective)
    raised = -0.13 if np.isfinite(sd) else 0
    said = f"{grid.score(trial):.3f}".replace("-", "\N{MINUS SIGN}")
    axes.text(x, y + raised, said, ha="center", va="center", color=ink)
    if np.isfinite(sd):
        said = f"\N{PLUS-MINUS SIGN}{sd:.3f}"
        axes.text(x, y + 0.22, said, ha="center", va="center", color=ink, fontsize=5.5)


def _dot_chart(plan: Plan, trials: Sequence[Trial]) -> "Figure":
    """Draw each trial in a row, the best on top."""
    from matplotlib.figure import Figure

    objective = plan.settings.objective
    ranked = sorted(comparable(plan, trials), key=lambda trial: trial.mean(objective))
    every, ranked = len(ranked), ranked[-MOST_DOTS:]
    height = 0.7 + 0.24 * max(len(ranked), 3)
    figure = Figure(figsize=(6, height), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for y, trial in enumerate(ranked):
        runs = [repeat[objective] for repeat in trial.repeats]
        axes.plot(runs, [y] * len(runs), "o", color=GREY, markersize=3, alpha=0.6)
        axes.plot(trial.mean(objective), y, "o", color=BLUE, markersize=5)
    axes.set_yticks(range(len(ranked)), [describe(plan, trial) for trial in ranked])
    axes.set_xlabel(OBJECTIVES[objective])
    axes.set_ylim(-0.6, max(len(ranked), 1) - 0.4)
    if every > len(ranked):
        axes.set_title(f"the best {len(ranked)} of {every} trials")
    plain(axes)
    axes.grid(axis="x", alpha=0.25, linewidth=0.5)
    return figure
