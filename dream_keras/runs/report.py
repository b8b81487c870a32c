"""The report of a finished run: scores, predictions, figures and a page."""

from pathlib import Path
from typing import Any

import pandas as pd

from dream_keras.common.files import replacing, sha256, write_text
from dream_keras.hub.huggingface import without_folder
from dream_keras.runs.folder import RunFolder, State
from dream_keras.runs.model_card import write_card
from dream_keras.runs.plots import learning_curve, mark_simulated
from dream_keras.runs.region_scores import Peaks, score_run_on_regions
from dream_keras.runs.run import Run
from dream_keras.runs.tensorboard import EventWriter
from dream_keras.scoring.bootstrap import bootstrap
from dream_keras.scoring.card import ScoreCard
from dream_keras.scoring.region_card import RegionCard
from dream_keras.scoring.report import markdown_table, scatter_figure
from dream_keras.scoring.suite import Suite
from dream_keras.simulate.truth import SIMULATED

RESAMPLES = 1_000
"""Bootstrap resamples of the suite behind the intervals of a run's score."""


def write_report(
    run: Run,
    state: State,
    suite: Suite | None,
    progress: bool | None = None,
    peaks: Peaks | None = None,
) -> ScoreCard | RegionCard | None:
    """Score a run on its suite and write its report.

    That is ``metrics.json`` with bootstrap intervals, ``predictions.tsv``, ``report.md`` and the
    model card ``MODEL.md``.

    ``predictions.sha256`` holds the checksum of the weights that predicted, as ``sha256sum`` writes
    it. The scores go to TensorBoard, too.

    Args:
        run: The run, trained to its end.
        state: Its progress.
        suite: What it is scored on, if anything.
        progress: Whether to show a progress bar; None shows one on a terminal.
        peaks: Likewise, of a run of regions.

    Returns:
        The score; None without any.
    """
    folder = run.folder
    (folder.path / "plots").mkdir(exist_ok=True)
    history = pd.DataFrame(state.history)
    curve = learning_curve(history, state.best_epoch)
    if run.has_simulated_rows:
        mark_simulated(curve)
    _picture(folder, "plots/learning_curve.png", curve)
    best = history[history["epoch"] == state.best_epoch].iloc[0]
    lines = [
        f"# {folder.path.name}{SIMULATED if run.has_simulated_rows else ''}",
        "",
        f"Best epoch {state.best_epoch} of {state.epoch}: validation Pearson r "
        f"{best['val_pearson']:.4f}, Spearman {best['val_spearman']:.4f}.",
        "",
        "![learning curve](plots/learning_curve.png)",
        "",
    ]
    card: ScoreCard | RegionCard | None = None
    if peaks is not None:
        card, section = score_regions_of(run, peaks, progress)
        lines += section
    if suite is not None:
        # Before loading: the checksum must not be that of weights written in the meantime.
        checksum = f"{sha256(folder.best_weights)}  {folder.best_weights.name}\n"
        scored, section = score_run(run, suite, progress)
        card = scored
        write_text(folder.path / "predictions.sha256", checksum)
        _write_events(run.events_folder, suite, scored, step=int(best["step"]))
        lines += section
    lines += ["## Settings", "", "```yaml", folder.config.read_text().rstrip(), "```", ""]
    write_text(folder.path / "report.md", "\n".join(lines))
    write_card(run)
    return card


def score_regions_of(run: Run, peaks: Peaks, progress: bool | None) -> tuple[RegionCard, list[str]]:
    """Score a run or ensemble on its test peaks, and write ``regions.tsv`` and ``metrics.json``.

    Args:
        run: The run.
        peaks: The peaks.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The score, and the lines of a report's section on it.

    Raises:
        UserError: If members of an ensemble were trained on the peaks.
    """
    card, table = score_run_on_regions(run, peaks, bootstrap=RESAMPLES, progress=progress)
    run.folder.write_table("regions.tsv", table, sep="\t", float_format="%.7g")
    source = without_folder(card.source)  # a run is pushed with this file
    run.folder.write_json("metrics.json", {**card.to_dict(), "source": source})
    return card, ["## Test regions", "", "```", card.table(), "```", ""]


def score_run(run: Run, suite: Suite, progress: bool | None) -> tuple[ScoreCard, list[str]]:
    """Score a run or ensemble, and write ``predictions.tsv``, ``metrics.json`` and a figure.

    Args:
        run: The run; its folder has ``plots``.
        suite: What it is scored on.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The score, and the lines of a report's section on it.
    """
    folder, part = run.folder, suite.choose_part(run.experiment.scoring.part)
    # The private score needs nearly every row, so all are predicted: a whole submission.
    predictions = run.predict_suite(suite, "public" if part == "public" else "all", progress)
    card = bootstrap(suite, predictions, part, RESAMPLES, progress=progress).card_with_intervals()
    table = pd.DataFrame(predictions, columns=list(suite.targets))
    table.insert(0, "sequence", suite.sequences)
    folder.write_table(
        "predictions.tsv",
        table.dropna(),
        sep="\t",
        header=len(suite.targets) > 1,
        float_format="%.9g",  # float32 to the last bit: scored again it gives the same
    )
    _picture(folder, "plots/suite.png", scatter_figure(suite, predictions, part))
    folder.write_json("metrics.json", {"suite": suite.name, **card.to_dict()})
    lines = [f"## {suite.name or 'Gold-standard suite'}", "", markdown_table(card), ""]
    return card, [*lines, "![predicted against measured](plots/suite.png)", ""]


def _write_events(folder: Path, suite: Suite, card: ScoreCard, step: int) -> None:
    """Show the suite's scores in TensorBoard, at the step whose weights were scored."""
    defined = {name: subset for name, subset in card.subsets.items() if not subset.undefined}
    events = EventWriter(folder)
    events.text("suite", f"{suite.name or suite.source}, {card.part} part", step)
    events.scalars(
        {"suite/pearson_score": card.pearson_score, "suite/spearman_score": card.spearman_score}
        | {f"suite/r2_{name}": subset.r2 for name, subset in defined.items()}
        | {f"suite/rho_{name}": subset.spearman for name, subset in defined.items()},
        step,
    )
    events.close()


def _picture(folder: RunFolder, name: str, figure: Any) -> None:
    with replacing(folder.path / name) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
