"""The page about a search."""

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dream_keras._version import __version__
from dream_keras.common.files import replacing, write_text
from dream_keras.config.yaml_file import Yaml
from dream_keras.runs.plots import mark_simulated
from dream_keras.search.heat_map import heat_map
from dream_keras.search.journal import Trial
from dream_keras.search.plan import Plan
from dream_keras.search.plots import DPI, OBJECTIVES, effects_figure
from dream_keras.search.results import best_of, comparable, describe, spread
from dream_keras.simulate.truth import SIMULATED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP = 10
"""Orders in the table."""


def write_search_report(plan: Plan, trials: Sequence[Trial], folder: Path) -> None:
    """Write ``report.md`` and its figures from the trials so far."""
    (folder / "plots").mkdir(exist_ok=True)
    simulated = SIMULATED if plan.is_simulated else ""
    lines = [f"# {folder.resolve().name}{simulated}", "", *_summary(plan, trials), ""]
    if comparable(plan, trials):
        _picture(folder / "plots" / "heat_map.png", heat_map(plan, trials), plan.is_simulated)
        lines += ["![score of every order](plots/heat_map.png)", ""]
        if any(trial.status == "failed" for trial in trials):
            lines += ["Hatched: failed. Empty: not run. Framed: the best.", ""]
        else:
            lines += ["Empty: not run. Framed: the best.", ""]
        effects = effects_figure(plan, trials)
        if effects is not None:
            _picture(folder / "plots" / "main_effects.png", effects, plan.is_simulated)
            lines += [*_about_effects(plan), "", "![effects](plots/main_effects.png)", ""]
        lines += ["## The best orders", "", *_top(plan, trials), ""]
    lines += ["## Equal for all trials", "", *_terms(plan, trials), ""]
    failed = [trial for trial in trials if trial.status == "failed"]
    if failed:
        lines += ["## Failed trials", "", "| trial | order | reason |", "|---|---|---|"]
        lines += [f"| {t.name} | {describe(plan, t)} | {_cell(t.reason)} |" for t in failed] + [""]
    lines += ["## The space", "", "```yaml", plan.to_yaml().rstrip(), "```", ""]
    write_text(folder / "report.md", "\n".join(lines))
    # Figures are cycles of few objects and many megabytes; the collector counts objects.
    gc.collect()


def _summary(plan: Plan, trials: Sequence[Trial]) -> list[str]:
    count = dict.fromkeys(("completed", "failed", "running"), 0)
    for trial in trials:
        count[trial.status] += 1
    size = plan.space.size()
    said = f"{count['completed']} trials completed, {count['failed']} failed"
    said += f", {count['running']} not finished" if count["running"] else ""
    said += f"; the space holds {size} orders." if size else "; the space is infinite."
    best = best_of(plan, trials)
    if best is None:
        return [said]
    objective = plan.settings.objective
    score = f"{best.mean(objective):.4f}"
    return [
        said,
        "",
        f"Best: trial {best.name}, {describe(plan, best)}: {OBJECTIVES[objective]} {score}. Train "
        "it at full length with `python -m dream_keras.train --config best.yaml`.",
    ]


def _about_effects(plan: Plan) -> list[str]:
    said = (
        "Effects of the choices on the score: the large dot is the mean of all trials plus the "
        "effect of the choice, from an additive fit that adjusts for the other choices; small dots "
        "are trials."
    )
    if plan.settings.repeats > 1:
        said += " Bars: standard deviation of the effect over the repeats."
    return [said]


def _top(plan: Plan, trials: Sequence[Trial]) -> list[str]:
    """Return the table of the best orders and what its gaps mean."""
    objective = plan.settings.objective
    ranked = sorted(comparable(plan, trials), key=lambda trial: -trial.mean(objective))
    lines = [
        f"| | trial | order | {OBJECTIVES[objective]} | sd | gap to the best | seconds | weights |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rank, trial in enumerate(ranked[:TOP], 1):
        score, sd = trial.mean(objective), spread(trial, objective)
        gap = ranked[0].mean(objective) - score
        lines.append(
            f"| {rank} | {trial.name} | {describe(plan, trial)} | {score:.4f} | "
            f"{'' if np.isnan(sd) else f'{sd:.4f}'} | {gap:.4f} | {trial.mean('seconds'):.0f} | "
            f"{trial.mean('weights'):,.0f} |"
        )
    spreads = [spread(trial, objective) for trial in ranked]
    if plan.settings.repeats > 1:
        pooled = float(np.sqrt(np.mean(np.square(spreads))))
        # The difference of two means of n runs each has sd * sqrt(2 / n).
        noise = 2 * pooled * np.sqrt(2 / plan.settings.repeats)
        meaning = (
            f"The runs of one order differ by {pooled:.4f} (standard deviation over "
            f"{plan.settings.repeats} seeds): gaps below about {noise:.4f} are within this noise."
        )
    else:
        meaning = (
            "Each order was run once, so the variation between seeds is unknown. --repeats 3 "
            "estimates it."
        )
    return [*lines, "", meaning]


def _terms(plan: Plan, trials: Sequence[Trial]) -> list[str]:
    """Return what all trials share, and how the search was run."""
    settings, terms = plan.settings, plan.terms
    data: dict[str, Yaml] = dict(plan.config.get("data") or {})
    source = data.get("train") or f"{data.get('simulated_rows', 100_000):,} simulated rows"
    epochs = f"{terms.epochs} epochs of {terms.steps_per_epoch} steps of {terms.batch_size} rows"
    lines = [
        f"- Rows: {source}; the same rows for every order"
        + (f", at most {data['max_length']} bp long." if data.get("max_length") else "."),
        f"- Training: {epochs}, {terms.rows:,} rows seen by every order"
        + (" that was trained to its end." if settings.tuner == "hyperband" else "."),
        f"- Seeds: {', '.join(map(str, settings.seeds))}; they decide initial weights, dropout, "
        "the order of rows"
        + ("." if data.get("validation") or not data.get("train") else " and the held-out rows."),
        "- A row counts once per step in which it is seen, as one strand or as both: that is the "
        "processor's choice.",
        f"- Score: {OBJECTIVES[settings.objective]}, in the best epoch by validation Pearson r.",
        f"- Tuner: {settings.tuner}, seed {settings.seed}; trials at most: "
        f"{settings.max_trials or 'no limit'}; budget: "
        + (f"{settings.budget_minutes:g} minutes." if settings.budget_minutes else "no limit."),
    ]
    done = [trial for trial in trials if trial.ended is not None]
    if done:
        seconds = [(trial.ended or 0) - trial.started for trial in done]
        lines.append(
            f"- Time per trial: {np.median(seconds):.0f} s (median), {sum(seconds) / 60:.1f} "
            "minutes in all."
        )
    return [*lines, f"- dream_keras {__version__}."]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _picture(path: Path, figure: "Figure", simulated: bool) -> None:
    if simulated:
        mark_simulated(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
