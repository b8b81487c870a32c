"""The parts of an analysis: each computes something, draws it and describes it in Markdown."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from dream_keras.analyse import calibration, inference, plots, residuals
from dream_keras.analyse.analysis import Analysis
from dream_keras.analyse.similarity import Similarity, by_similarity, similarity_to_training
from dream_keras.common.errors import UserError
from dream_keras.common.tables import markdown
from dream_keras.data.columns import Columns
from dream_keras.data.kmers import K
from dream_keras.runs.calibration import measure_coverage
from dream_keras.runs.rows import load_validation
from dream_keras.scoring.metrics import pearson

COVERAGE = 0.9
"""Share of the measurements that the intervals of an analysis are made to cover."""
NAMED = 5
"""Test rows that a warning names."""

Lines = list[str]

log = logging.getLogger(__name__)


def residual_section(analysis: Analysis) -> Lines:
    """Residuals by GC content, expression and subset."""
    fit = analysis.calibration
    quantities = {
        "GC content of the insert": analysis.gc,
        "measured expression": analysis.measured,
        "calibrated prediction": analysis.calibrated[analysis.rows],
    }
    groups = {
        name: (values, residuals.by_quantity(values, analysis.residuals))
        for name, values in quantities.items()
    }
    subsets = residuals.by_subset(
        analysis.suite, analysis.part, analysis.calibrated, analysis.target
    )
    shown = subsets.assign(
        subset=[_subset_name(*row) for row in subsets[["subset", "pairs"]].values]
    )
    lines = [
        "## Residuals",
        "",
        f"Predictions and measurements are on different scales. The line measured = "
        f"{fit.intercept:.4g} + {fit.slope:.4g} × predicted, fitted to these rows, brings them "
        "together; a residual is this calibrated prediction minus the measurement. The line "
        f"explains {fit.linear:.2%} of the measured variance, the best curve that never falls "
        f"{fit.monotone:.2%}.",
        "",
        analysis.picture("residuals", plots.residual_figure(groups, analysis.residuals, subsets)),
        "",
        markdown(shown.drop(columns="pairs")),
        "",
        "Residuals fall with the measured value wherever r < 1 (the part that is not predicted "
        f"is missing: expected slope r² − 1 = {fit.linear - 1:.3f}); against the prediction they "
        "have no slope, and a bend there is a difference of the scales.",
        "",
    ]
    for name, (_, table) in groups.items():
        lines += [f"By {name}:", "", markdown(table), ""]
    return lines


def _subset_name(name: str, pairs: bool) -> str:
    return f"{name} (differences)" if pairs else name


def motif_section(analysis: Analysis) -> Lines:
    """Residuals by motif, for a simulated suite."""
    if analysis.truth is None:
        return []
    table = residuals.by_motif(analysis.truth, analysis.rows, analysis.residuals)
    if table.empty:
        return []
    return [
        "## Motifs",
        "",
        "The suite is simulated, so it is known which rows hold a site of which motif. Above 0: "
        "rows with the motif are predicted too high.",
        "",
        analysis.picture("motifs", plots.motif_figure(table)),
        "",
        markdown(table),
        "",
    ]


def bin_section(analysis: Analysis) -> Lines:
    """Calibration of the sorting bins, for a network that predicts them."""
    run, title = analysis.run, ["## Calibration of the sorting bins", ""]
    if not inference.has_bins(run):
        return [*title, "No single network predicts probabilities of the sorting bins.", ""]
    try:
        rows = load_validation(run)
    except UserError as error:
        return [*title, f"Not done, for want of the validation rows: {error}", ""]
    total = len(rows)
    rows = rows.take(inference.sample(total))
    probabilities, targets = inference.predict_bins(run, rows, analysis.progress)
    single = rows.labels[:, 0] == np.round(rows.labels[:, 0])
    groups = {"integer labels": single, "other labels": ~single}
    histograms = {
        f"{name} ({np.count_nonzero(chosen):,})": calibration.pit_histogram(
            probabilities[chosen], targets[chosen]
        )
        for name, chosen in groups.items()
        if chosen.any()
    }
    spread = calibration.spread(probabilities, targets)
    reliability = calibration.reliability(probabilities, targets)
    covered = pd.concat(
        [
            calibration.coverage(probabilities[chosen], targets[chosen]).assign(rows=name)
            for name, chosen in groups.items()
            if chosen.any()
        ]
    )
    return [
        *title,
        f"{len(rows):,} of {total:,} validation rows, with the flags that they would be trained "
        "with. What is predicted is compared with the training targets: labels spread over "
        "the bins.",
        "",
        analysis.picture("calibration", plots.calibration_figure(histograms, reliability, spread)),
        "",
        "Share of the outcomes within central intervals:",
        "",
        markdown(covered[["rows", "level", "covered"]]),
        "",
        "Predicted probability and mean target of (row, bin) pairs:",
        "",
        markdown(reliability),
        "",
        "Predicted standard deviation and observed deviation from the predicted mean, in bins:",
        "",
        markdown(spread),
        "",
        "Mean probability of each bin:",
        "",
        markdown(calibration.by_bin(probabilities, targets)),
        "",
    ]


def interval_section(analysis: Analysis) -> Lines:
    """Coverage and width of the prediction intervals by subset."""
    title = ["## Intervals", ""]
    run, suite = analysis.run, analysis.suite
    try:
        found = measure_coverage(run, suite, analysis.part, COVERAGE, analysis.progress)
    except UserError as error:
        return [*title, f"Not done: {error}", ""]
    return [
        *title,
        f"Share of the measurements of the {found.part} part that {COVERAGE:.0%} intervals cover, "
        f"and their mean width. They were calibrated on {found.calibrated_on}; subsets that are "
        "not drawn as those rows were need not reach that share.",
        "",
        markdown(pd.DataFrame([{"subset": k, **v._asdict()} for k, v in found.subsets.items()])),
        "",
    ]


def strand_section(analysis: Analysis) -> Lines:
    """Agreement of the two strands, where they are predicted apart."""
    title = ["## Agreement of the strands", ""]
    if not inference.has_strands(analysis.run):
        return [*title, "Both strands are one input of this network: there is one prediction.", ""]
    rows = analysis.rows[inference.sample(len(analysis.rows))]
    sequences = [analysis.suite.sequences[row] for row in rows]
    strands = inference.predict_strands(analysis.run, sequences, analysis.progress)
    strands, measured = strands[:, :, analysis.task], analysis.suite.measured[rows, analysis.target]
    r = pearson(*strands.T)
    forward, reverse, mean = (
        pearson(values, measured) for values in (*strands.T, strands.mean(axis=1))
    )
    gap = strands[:, 0] - strands[:, 1]
    return [
        *title,
        f"{len(rows):,} of {len(analysis.rows):,} rows, predicted as they are and as their reverse "
        f"complements: r = {r:.4f} between the two. Forward minus reverse has mean "
        f"{gap.mean():.4f} and standard deviation {gap.std():.4f}; that of the predictions is "
        f"{strands.mean(axis=1).std():.4f}. With "
        f"the measured values the forward strand has r = {forward:.4f}, the reverse complement "
        f"{reverse:.4f}, their mean {mean:.4f}.",
        "",
        analysis.picture("strands", plots.strand_figure(strands, r)),
        "",
    ]


def similarity_section(analysis: Analysis) -> tuple[Similarity | None, Lines]:
    """Similarity to the training rows, and the score as a function of it.

    Raises:
        UserError: If a training table was asked for that cannot be read; without the run's own
            there is only no similarity.
    """
    title = ["## Similarity to the training rows", ""]
    settings = analysis.run.experiment.data
    try:
        path = analysis.training or analysis.run.tables()[0]
        split = None if analysis.training else settings.parts
        similarity = similarity_to_training(
            analysis.sequences,
            path,
            Columns(settings.sequence_column, ()),
            None if analysis.training else settings.max_rows,
            analysis.progress,
            split,
        )
    except UserError as error:
        if analysis.training:
            raise
        return None, [*title, f"Not done, for want of the training rows: {error}", ""]
    shared = similarity.shared[analysis.rows]
    table = by_similarity(
        similarity, analysis.rows, analysis.calibrated[analysis.rows], analysis.measured
    )
    lines = [
        *title,
        f"Compared with {similarity.training_rows:,} rows of {path}, adapters left out. "
        f"{np.count_nonzero(shared > 0):,} of {len(shared):,} rows share at least one {K}-mer with "
        "a training row, on either strand.",
        "",
        *_copies(analysis, similarity, path),
        analysis.picture("similarity", plots.similarity_figure(shared, table)),
        "",
        markdown(table),
        "",
    ]
    return similarity, lines


def _copies(analysis: Analysis, similarity: Similarity, path: str | Path) -> Lines:
    """Warn of test rows that were trained on."""
    copies = analysis.rows[similarity.line[analysis.rows] > 0]
    if not len(copies):
        return ["No row is in the training table, nor its reverse complement.", ""]
    named = [f"position {row} is line {similarity.line[row]}" for row in copies[:NAMED]]
    more = f" and {len(copies) - NAMED:,} more" if len(copies) > NAMED else ""
    warning = (
        f"{len(copies):,} of {len(analysis.rows):,} test rows are in the training table {path}, as "
        f"they are or as reverse complements ({', '.join(named)}{more}): scores on them tell "
        "what was remembered, not what was learned."
    )
    if analysis.target == 0:  # the rows of other targets are nearly the same
        log.warning("warning: %s", warning)
    return [f"**Warning: {warning}**", ""]
