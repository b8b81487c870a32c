"""Runs scored by attributions of simulated promoters: the table and the pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dream_keras.common.files import replacing, write_rows
from dream_keras.common.progress import progress_bar
from dream_keras.common.text import align
from dream_keras.interpret.attribution import Attribution, Attributor
from dream_keras.interpret.attribution_files import write_attributions
from dream_keras.interpret.choices import METHODS
from dream_keras.interpret.gradients import BASES
from dream_keras.interpret.motif_discovery import TABLE, find_patterns, recovery, write_patterns
from dream_keras.interpret.planted import (
    METRICS,
    REGION,
    MethodScore,
    plant_sites,
    score,
    score_methods,
    simulator,
)
from dream_keras.interpret.predictor import Predictor
from dream_keras.runs.plots import mark_simulated, plain
from dream_keras.simulate.motifs import MOTIFS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Scores = Mapping[tuple[str, str], MethodScore]
"""By model and method."""
COLORS = ("#2a6f97", "#d1495b", "#8d96a3", "#66a182", "#edae49")


def score_models(
    predictors: Mapping[str, Predictor],
    folder: Path,
    sequences: int,
    steps: int | None = None,
    shuffles: int = 20,
    seed: int = 0,
    progress: bool | None = None,
) -> Scores:
    """Score every method with every model on the same promoters, and write the results.

    The simulator's own in-silico mutagenesis is scored too: no attribution can be expected to do
    better.

    Args:
        predictors: By what they are called.
        folder: Where to write ``scores.tsv``, ``scores.png`` and ``example.png``.
        sequences: Promoters.
        steps: Steps of integrated gradients, as for ``Attributor``.
        shuffles: Shuffled sequences.
        seed: Seed of the promoters and of the shuffles.
        progress: Whether to show a progress bar; None shows one on a terminal.
    """
    planted = plant_sites(sequences, seed)
    weights = np.ones(1)
    truth = Attributor(simulator(), weights)(planted.sequences)
    scores = {("simulator", "ism"): score(truth, planted, truth)}
    total = len(predictors) * len(METHODS) * sequences
    with progress_bar(progress, total=total, desc="attribute", unit="seq") as bar:
        for name, predictor in predictors.items():
            found = score_methods(
                predictor, planted, truth, METHODS, steps, shuffles, seed, bar.update
            )
            scores |= {(name, method): result for method, result in found.items()}
    said = {"sequences": sequences, "seed": seed, "steps": steps or "default", "shuffles": shuffles}
    description = "; ".join(f"{key}={value}" for key, value in said.items())
    write_table(scores, folder / "scores.tsv", f"dream_keras.attribute --score; {description}")
    draw_scores(scores, folder / "scores.png")
    main = next(iter(predictors.values()))
    shown = {"simulator, ism": truth[0]}
    for method in METHODS:
        attributor = Attributor(main, weights, method, REGION, steps, shuffles, seed)
        shown[method] = attributor(planted.sequences[:1])[0]
    draw_example(shown, planted.sites[0], folder / "example.png")
    return scores


def recovered_motifs(
    predictor: Predictor, folder: Path, sequences: int, seed: int = 0, progress: bool | None = None
) -> str:
    """Find motifs in the in-silico mutagenesis of planted promoters; return how many are right.

    Args:
        predictor: The model.
        folder: Where to write ``motifs.tsv``, the attributions and what tf-modisco found.
        sequences: Promoters.
        seed: Their seed.
        progress: Whether to show a progress bar; None shows one on a terminal.
    """
    planted = plant_sites(sequences, seed)
    attributor = Attributor(predictor, np.ones(1), "ism", REGION)
    with progress_bar(progress, total=sequences, desc="mutate", unit="seq") as bar:
        found = attributor(planted.sequences, done=bar.update)
    named = {str(number): each for number, each in enumerate(found, 1)}
    write_attributions(
        folder, named, "dream_keras.attribute --score --modisco", 0, progress=progress
    )
    patterns = find_patterns(folder, sequences, len(found[0].scores), report=False)
    motifs = {motif.name: motif.matrix for motif in MOTIFS}
    write_patterns(patterns, motifs, folder / TABLE)
    recall, precision = recovery(patterns, motifs)
    return (
        f"{len(patterns)} motifs found by tf-modisco; {recall:.0%} of the {len(motifs)} factors "
        f"are among them (recall), {precision:.0%} of them fit a factor (precision)"
    )


def text(scores: Scores) -> str:
    """Return scores as aligned plain text, without a final line break."""
    lines = [["model", "method", *METRICS, "s per sequence"]]
    for (model, method), result in scores.items():
        cells = (
            f"{result.values[name]:.3f} [{result.intervals[name].low:.3f}, "
            f"{result.intervals[name].high:.3f}]"
            for name in METRICS
        )
        lines.append([model, method, *cells, f"{result.seconds:.3f}"])
    return "\n".join(align(lines, left=(0, 1)))


def write_table(scores: Scores, path: Path, description: str) -> None:
    """Write scores as a table with a line for each model, method and metric."""
    rows: list[list[str]] = []
    for (model, method), result in scores.items():
        for name in METRICS:
            numbers = (result.values[name], *result.intervals[name])
            rows.append([model, method, name, *(f"{each:.6g}" for each in numbers)])
        rows.append([model, method, "seconds", f"{result.seconds:.6g}", "", ""])
    header = ["model", "method", "metric", "value", "low", "high"]
    write_rows(path, [header, *rows], description)


def draw_scores(scores: Scores, path: Path) -> None:
    """Draw AUROC and cosine of every model and method, with intervals."""
    methods = list(dict.fromkeys(method for _, method in scores))
    models = list(dict.fromkeys(model for model, _ in scores))
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    titles = {
        "auroc": "AUROC, all factors",
        "auroc_signed": "AUROC, activators, signed",
        "cosine": "cosine with the true effects",
    }
    for axes, (metric, title) in zip(figure.subplots(1, 3), titles.items(), strict=True):
        for number, model in enumerate(models):
            known = [place for place, method in enumerate(methods) if (model, method) in scores]
            each = [scores[model, methods[place]] for place in known]
            values = np.array([score.values[metric] for score in each])
            ends = np.array([score.intervals[metric] for score in each]).T
            axes.errorbar(
                np.array(known) + (number - (len(models) - 1) / 2) * 0.12,
                values,
                yerr=np.abs(ends - values),
                fmt="o",
                markersize=4,
                color=COLORS[number % len(COLORS)],
                label=model,
            )
        axes.axhline(0 if metric == "cosine" else 0.5, color="0.6", linewidth=0.8, linestyle="--")
        axes.set_xticks(range(len(methods)), [name.replace("_", "\n") for name in methods])
        axes.tick_params(axis="x", labelsize=7)
        axes.set_title(title, fontsize=10)
        plain(axes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(models))
    mark_simulated(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def draw_logos(
    rows: "Sequence[Axes]",
    attributions: Mapping[str, Attribution],
    sites: Sequence[tuple[str, int, int]],
) -> None:
    """Draw the contributions in one promoter as logos, one below the other.

    Args:
        rows: Where to draw.
        attributions: By what they are called.
        sites: As for ``draw_example``.
    """
    import logomaker
    import pandas as pd

    for axes, (name, each) in zip(rows, attributions.items(), strict=True):
        letters = each.bases * each.contributions[:, None]
        logomaker.Logo(pd.DataFrame(letters, columns=list(BASES)), ax=axes, color_scheme="classic")
        for _, start, width in sites:
            axes.axvspan(start - 0.5, start + width - 0.5, color="0.9", zorder=-1)
        axes.set_title(name, fontsize=9, loc="left")
        plain(axes)
    for site, start, width in sites:
        place = (start + width / 2 - 0.5, 1.0)
        rows[0].annotate(
            site, place, xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=8
        )
    rows[-1].set_xlabel("position in the insert (bp, from 0)")


def draw_example(
    attributions: Mapping[str, Attribution], sites: Sequence[tuple[str, int, int]], path: Path
) -> None:
    """Draw the contributions in one promoter, a logo for each of several ways to compute them.

    Args:
        attributions: By what they are called.
        sites: Name, first position in the region from 0, and width of each planted site.
        path: PNG to write.
    """
    figure = Figure(figsize=(11, 1.5 * len(attributions)), layout="constrained")
    FigureCanvasAgg(figure)
    draw_logos(figure.subplots(len(attributions), 1, sharex=True), attributions, sites)
    mark_simulated(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100, format="png")
