"""Scores of predicted count profiles on regions, with intervals and baselines."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dream_keras.common.text import align
from dream_keras.scoring.bootstrap import Sampled
from dream_keras.scoring.card import Interval
from dream_keras.scoring.profiles import Counts, RegionScores, jensen_shannon, known_median

METRICS = {
    "pearson": "Pearson r of log counts",
    "spearman": "Spearman rho of log counts",
    "mse": "mean squared error of log counts",
    "jsd": "median Jensen-Shannon distance of profiles",
    "normalised_jsd": "median normalised distance (1: perfect, 0: as a uniform profile)",
}
SHUFFLE_SEED = 0


@dataclass(frozen=True)
class RegionCard:
    """Scores on some regions.

    Attributes:
        source: The regions file.
        part: Parts of the fold that the regions are of.
        regions: Their number.
        scores: Metrics of what was predicted: by ``"joint"``, the network with the bias model where
            there is one, and by ``"network"`` alone.
        intervals: 95 % intervals of these metrics over resampled regions, if they were asked for.
        baselines: What profiles of replicates, and shuffled ones, are away from what was measured.
    """

    source: str
    part: str
    regions: int
    scores: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    baselines: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return everything as JSON holds it; numbers that are not defined are None."""

        def plain(value: object) -> object:
            if isinstance(value, Mapping):
                return {key: plain(each) for key, each in value.items()}
            if isinstance(value, tuple | list):
                return [plain(each) for each in value]
            return None if isinstance(value, float) and not np.isfinite(value) else value

        return {name: plain(value) for name, value in vars(self).items()}

    def table(self) -> str:
        """Return the scores as text."""
        rows = [("metric", *self.scores)]
        for metric in METRICS:
            cells = []
            for who, scores in self.scores.items():
                cell = f"{scores[metric]:.4f}"
                if who in self.intervals:
                    low, high = self.intervals[who][metric]
                    cell += f" [{low:.4f}, {high:.4f}]"
                cells.append(cell)
            rows.append((METRICS[metric], *cells))
        lines = [f"{self.source}, part {self.part}: {self.regions:,} regions", ""]
        lines += align(rows)
        if self.baselines:
            named = [(name.replace("_", " "), f"{v:.4f}") for name, v in self.baselines.items()]
            lines += ["", *align([("baseline", ""), *named])]
        return "\n".join(lines)


def resample_regions(
    scores: RegionScores, resamples: int, seed: int = 0, metrics: Collection[str] | None = None
) -> dict[str, Sampled]:
    """Return the metrics, each with its value in every resample of the regions.

    Resample k of a seed is the same for all predictions of the same regions, so that they can be
    compared.

    Args:
        scores: Of each region.
        resamples: How often regions are drawn with replacement, as many as there are.
        seed: Of the draws.
        metrics: Those wanted; None for all.
    """
    random = np.random.default_rng(seed)
    count = len(scores.log_counts)
    drawn = [
        scores.take(random.integers(0, count, count)).summary(metrics) for _ in range(resamples)
    ]
    return {
        metric: Sampled(estimate, np.array([each[metric] for each in drawn]))
        for metric, estimate in scores.summary(metrics).items()
    }


def bootstrap_regions(scores: RegionScores, resamples: int, seed: int = 0) -> dict[str, Interval]:
    """Return 95 % intervals of the metrics; arguments are those of ``resample_regions``."""
    found = resample_regions(scores, resamples, seed)
    return {metric: sampled.interval() for metric, sampled in found.items()}


def baselines(counts: Counts, replicates: tuple[Counts, Counts] | None) -> dict[str, float]:
    """Return what a prediction's distances are compared with.

    Args:
        counts: At each position, (regions, positions).
        replicates: Counts of one replicate and of the others, likewise, if there are several.

    Returns:
        ``shuffled_jsd``: median distance of profiles from themselves with their positions
        shuffled. With replicates also ``replicate_jsd``, between theirs, and
        ``replicate_pearson`` of their log counts.
    """
    from dream_keras.scoring.metrics import pearson

    random = np.random.default_rng(SHUFFLE_SEED)
    shuffled = random.permuted(counts, axis=1)
    found = {"shuffled_jsd": _median(counts, shuffled)}
    if replicates is not None:
        found["replicate_jsd"] = _median(*replicates)
        totals = (np.log1p(each.sum(axis=1, dtype=np.float64)) for each in replicates)
        found["replicate_pearson"] = pearson(*totals)
    return found


def _median(first: Counts, second: Counts) -> float:
    both: list[npt.NDArray[np.float64]] = [each.astype(np.float64) for each in (first, second)]
    return known_median(jensen_shannon(*both))
