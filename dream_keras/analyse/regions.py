"""The analysis of a run that predicts profiles of regions, as one page with tables and pictures."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import softmax

from dream_keras.analyse import region_plots, residuals
from dream_keras.analyse.analysis import write_picture
from dream_keras.common.files import write_text
from dream_keras.common.tables import markdown
from dream_keras.data.kmers import Sequences
from dream_keras.data.region_rows import RegionRows
from dream_keras.runs.model_card import region_score
from dream_keras.runs.prediction import predict_profiles
from dream_keras.runs.region_scores import Peaks, score_peaks
from dream_keras.runs.report import RESAMPLES
from dream_keras.runs.run import Run
from dream_keras.scoring.bootstrap import difference
from dream_keras.scoring.profiles import RegionScores
from dream_keras.scoring.region_card import METRICS, RegionCard, resample_regions
from dream_keras.simulate.truth import SIMULATED, is_simulated

PERCENTILES = (5, 50, 95)
"""Of the distances, at which regions are drawn."""
LOG_COUNT = "measured log(1 + total count)"
GC = "GC content of the window"

Floats = npt.NDArray[np.float64]
Lines = list[str]


@dataclasses.dataclass(frozen=True)
class RegionAnalysis:
    """A run and regions, what is found of them, and where it goes.

    Attributes:
        run: The run, or an ensemble.
        peaks: The regions.
        card: The scores.
        found: Scores of each region, by who predicts: ``"joint"`` if there is a bias model, and
            ``"network"``.
    """

    run: Run
    peaks: Peaks
    card: RegionCard
    found: Mapping[str, RegionScores]

    @classmethod
    def of(cls, run: Run, peaks: Peaks, progress: bool | None = None) -> "RegionAnalysis":
        """Predict and score peaks.

        Args:
            run: The run, or an ensemble.
            peaks: Those of its test part.
            progress: Whether to show a progress bar; None shows one on a terminal.

        Raises:
            UserError: If members of an ensemble were trained on them.
        """
        card, found, _ = score_peaks(run, peaks, RESAMPLES, progress)
        return cls(run, peaks, card, found)

    @property
    def rows(self) -> RegionRows:
        """The regions."""
        return self.peaks.rows

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return self.run.folder.path / "analysis"

    @property
    def simulated(self) -> bool:
        """Whether the regions are simulated."""
        return is_simulated(self.peaks.source)

    @property
    def first(self) -> RegionScores:
        """Scores of the joint prediction, or of the network where there is no bias model."""
        return next(iter(self.found.values()))

    @property
    def gc(self) -> Floats:
        """Share of G and C in the windows, (regions,)."""
        lengths = np.full(len(self.rows), self.rows.tokens.shape[1])
        return residuals.gc_content(Sequences.of(self.rows.tokens, lengths))

    def picture(self, name: str, figure: "region_plots.Figure") -> str:
        """Write a picture; return the line that shows it."""
        return write_picture(self.folder, name, figure, self.simulated)


def write_region_analysis(analysis: RegionAnalysis) -> Path:
    """Write the page; return it, ``analysis.md`` beside its pictures."""
    analysis.folder.mkdir(parents=True, exist_ok=True)
    name = analysis.run.folder.path.name
    lines = [f"# Analysis of {name}{SIMULATED if analysis.simulated else ''}", ""]
    lines += ["How each number is made: docs/analysis.md.", "", "## Scores", ""]
    lines += [*region_score(analysis.card.to_dict()), ""]
    for section in (_counts, _distances, _dependence, _comparison, _profiles):
        lines += section(analysis)
    page = analysis.folder / "analysis.md"
    write_text(page, "\n".join(lines))
    return page


def _counts(analysis: RegionAnalysis) -> Lines:
    """Measured against predicted log counts."""
    first = analysis.first
    error = first.predicted - first.log_counts
    return [
        "## Log counts",
        "",
        f"Natural logarithms. Predicted minus measured has mean {error.mean():.4f} and standard "
        f"deviation {error.std():.4f}; the measured ones have standard deviation "
        f"{first.log_counts.std():.4f}.",
        "",
        analysis.picture("counts", region_plots.count_figure(analysis.found)),
        "",
    ]


def _distances(analysis: RegionAnalysis) -> Lines:
    """The distribution of the profiles' distances."""
    card = analysis.card
    rows = {
        who: np.nanpercentile(scores.distances, PERCENTILES)
        for who, scores in analysis.found.items()
    }
    table = pd.DataFrame(rows, index=[f"{p}th percentile" for p in PERCENTILES]).T
    table.insert(0, "prediction", table.index)
    without = np.count_nonzero(~np.isfinite(analysis.first.distances))
    return [
        "## Distances of profiles",
        "",
        "Jensen-Shannon distance of measured and predicted profile, 0 to .8326. Lines: medians."
        + (f" Regions without counts, which have none: {without:,}." if without else ""),
        "",
        analysis.picture("distances", region_plots.distance_figure(analysis.found, card.baselines)),
        "",
        markdown(table),
        "",
    ]


def _dependence(analysis: RegionAnalysis) -> Lines:
    """Distances and errors by total count and by GC content."""
    first, known = analysis.first, np.isfinite(analysis.first.distances)
    quantities = {LOG_COUNT: first.log_counts[known], GC: analysis.gc[known]}
    values = {
        "Jensen-Shannon distance": first.distances[known],
        "log count, predicted − measured": (first.predicted - first.log_counts)[known],
    }
    groups = [residuals.by_quantity(q, v) for v in values.values() for q in quantities.values()]
    who = next(iter(analysis.found))
    lines = [
        "## By total count and GC content",
        "",
        f"Of the {who} prediction, in ten groups of equal size. Few counts make a profile noisy, "
        "so distances fall with the total even where predictions are equally good.",
        "",
        analysis.picture("dependence", region_plots.dependence_figure(quantities, values, groups)),
        "",
    ]
    names = [f"{value} by {quantity}" for value in values for quantity in quantities]
    for name, table in zip(names, groups, strict=True):
        lines += [
            f"{name}:",
            "",
            markdown(table.drop(columns="rms").rename(columns={"bias": "mean"})),
            "",
        ]
    return lines


def _comparison(analysis: RegionAnalysis) -> Lines:
    """What the bias model adds to the network."""
    if "joint" not in analysis.found:
        return []
    joint, network = (analysis.found[who] for who in ("joint", "network"))
    both = [resample_regions(scores, RESAMPLES) for scores in (joint, network)]
    rows = []
    for metric, label in METRICS.items():
        found = difference(both[0][metric], both[1][metric])
        interval = f"{found.low:+.4f} to {found.high:+.4f}"
        rows.append({"metric": label, "joint − network": found.estimate, "95 % interval": interval})
    closer = np.count_nonzero(joint.distances < network.distances)
    return [
        "## Joint prediction and network",
        "",
        "The joint prediction has the bias model's part, which the network is not to learn. It "
        f"is closer to the measured profile in {closer:,} of {len(analysis.rows):,} regions. "
        "Intervals of the differences are over the same resamples of the regions.",
        "",
        analysis.picture(
            "comparison", region_plots.comparison_figure(joint.distances, network.distances)
        ),
        "",
        markdown(pd.DataFrame(rows)),
        "",
    ]


def _profiles(analysis: RegionAnalysis) -> Lines:
    """Profiles of regions that are predicted well, as most are, and badly."""
    distances = analysis.first.distances
    order = np.argsort(distances, kind="stable")[: np.count_nonzero(np.isfinite(distances))]
    if not len(order):
        return []
    chosen = order[[round(p / 100 * (len(order) - 1)) for p in PERCENTILES]]
    members = [member.steps for member in analysis.run.members]
    rows = analysis.rows.take(chosen)
    shares = {}
    for who in analysis.found:
        logits, _ = predict_profiles(members, rows.tokens, joint=who == "joint")
        shares[who] = softmax(logits[:, 0].astype(np.float64), axis=-1)
    examples = []
    for n, percentile in enumerate(PERCENTILES):
        measured = rows.profiles[n, 0]
        title = (
            f"{rows.regions.chroms[n]}:{rows.regions.centres[n] + 1:,}   "
            f"{percentile}th percentile of the distance: {distances[chosen[n]]:.4f}   "
            f"total count {measured.sum(dtype=np.int64):,}"
        )
        predicted = {who: found[n] for who, found in shares.items()}
        examples.append(region_plots.Example(title, measured, predicted))
    return [
        "## Profiles",
        "",
        f"Regions at the {', '.join(f'{p}th' for p in PERCENTILES)} percentile of the distance. "
        "Predicted profiles are scaled to the measured total.",
        "",
        analysis.picture("profiles", region_plots.profile_figure(examples)),
        "",
    ]
