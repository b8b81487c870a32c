"""Shared styles of a search's figures, and the figure of main effects.

Figures stand alone (no pyplot): save them with ``savefig``.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dream_keras.runs.plots import BLUE, GREY
from dream_keras.search.effects import Effect, Floats, main_effects
from dream_keras.search.journal import Trial
from dream_keras.search.plan import Plan
from dream_keras.search.results import SLOTS, column_of, comparable, trainer_follows, value_of
from dream_keras.search.space import Between, Choose, Question

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OBJECTIVES = {
    "val_pearson": "validation Pearson r",
    "pearson_score": "Pearson Score",
    "spearman_score": "Spearman Score",
}
"""Display names of the objectives."""
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Arial", "Helvetica", "Liberation Sans", "DejaVu Sans"],
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
}
"""Sizes for a figure of one printed page's width, about 7 inches."""
DPI = 200


def effects_figure(plan: Plan, trials: Sequence[Trial]) -> "Figure | None":
    """Draw the effect of each answer on the score; ranges as score against number.

    Faint dots are trials; a large one is the mean (dashed) plus the answer's effect, its bar the
    standard deviation of the effect over the repeats. The mean is that of all trials or, for an
    option of one choice, that choice's.

    Returns:
        The figure; None if there is nothing to compare.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shown = comparable(plan, trials)
    questions = [q for q in plan.space.questions if sum(q.name in t.answers for t in shown) > 1]
    if not questions:
        return None
    choices = [q for q in questions if isinstance(q, Choose) and not q.numbers]
    answers = [trial.answers for trial in shown]
    scores = np.array([[r[plan.settings.objective] for r in t.repeats] for t in shown])
    mean, effects = main_effects(choices, answers, scores)
    found = {effect.question.name: effect for effect in effects}
    across = min(len(questions), 4)
    down = math.ceil(len(questions) / across)
    with rc_context(STYLE):
        figure = Figure(figsize=(1.75 * across + 0.4, 2.5 * down), dpi=DPI, layout="constrained")
        grid = figure.subplots(down, across, squeeze=False, sharey=True)
        for axes, question in zip(grid.flat, questions, strict=False):
            _dots(axes, question, shown, scores.mean(axis=1))
            base = mean + sum(_mean_change(found[n], labels) for n, labels in question.conditions)
            axes.axhline(base, color=GREY, linewidth=0.6, linestyle="--", zorder=0)
            if question.name in found:
                _effect(axes, found[question.name], base)
            axes.set_title(_title(plan, question), pad=14)
            axes.margins(y=0.08)
            plain(axes)
        for axes in grid[:, 0]:
            axes.set_ylabel(OBJECTIVES[plan.settings.objective])
        for axes in grid[:, 1:].flat:
            axes.tick_params(left=False)
        for axes in grid.flat[len(questions) :]:
            axes.set_visible(False)
    return figure


def _mean_change(effect: Effect, labels: Sequence[str]) -> float:
    return float(np.mean([effect.change[effect.labels.index(label)] for label in labels]))


def plain(axes: "Axes") -> None:
    """Remove the upper and right edge and add a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25, linewidth=0.5)
    axes.set_axisbelow(True)


def _title(plan: Plan, question: Question) -> str:
    """Return what a question is about, and the choice it belongs to."""
    if question.name in SLOTS:
        follows = question.name == "processor" and trainer_follows(plan)
        return "processor and trainer" if follows else question.name
    above = [f"{name} {' or '.join(labels)}" for name, labels in question.conditions]
    return column_of(question) + (f"\n({', '.join(above)})" if above else "")


def _dots(axes: "Axes", question: Question, trials: Sequence[Trial], scores: Floats) -> None:
    """Draw the trials: beside their label, or over their number."""
    style: Any = {"s": 9, "color": GREY, "alpha": 0.45, "linewidth": 0, "zorder": 2}
    asked = [i for i, trial in enumerate(trials) if question.name in trial.answers]
    if isinstance(question, Between) or question.numbers:
        numbers = [value_of(question, trials[i]) for i in asked]
        axes.scatter(numbers, scores[asked], **{**style, "color": BLUE, "alpha": 0.7, "s": 14})
        axes.set_xlabel(question.key[-1])
        axes.margins(x=0.08)
        if isinstance(question, Between) and question.log:
            axes.set_xscale("log")
        return
    labels = list(question.options)
    places = np.array([labels.index(trials[i].answers[question.name]) for i in asked])
    # Side by side in the order of the trials, so that figures are reproducible.
    shifts = np.linspace(-0.16, 0.16, 7)[np.arange(len(asked)) % 7]
    axes.scatter(places + shifts, scores[asked], **style)
    long = sum(map(len, labels)) > 24
    axes.set_xticks(
        range(len(labels)),
        labels,
        rotation=35 if long else 0,
        ha="right" if long else "center",
        rotation_mode="anchor",
    )
    axes.set_xlim(-0.6, len(labels) - 0.4)


def _effect(axes: "Axes", effect: Effect, mean: float) -> None:
    """Draw the effects of a question's answers, with their values."""
    places = np.arange(len(effect.labels))
    heights = mean + effect.change
    bars = None if np.isnan(effect.spread).all() else effect.spread
    axes.errorbar(
        places,
        heights,
        yerr=bars,
        fmt="o",
        color=BLUE,
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        elinewidth=1.1,
        capsize=2.5,
        zorder=3,
    )
    # In a row on top, above the dots.
    for place, change in zip(places, effect.change, strict=True):
        if np.isfinite(change):
            said = f"{change:+.3f}".replace("-", "\N{MINUS SIGN}")
            where: Any = {"xycoords": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
            axes.annotate(said, (place, 1.0), fontsize=6.5, color=BLUE, **where)
