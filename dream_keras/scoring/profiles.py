"""Metrics of predicted count profiles, in float64."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from dream_keras.scoring.metrics import pearson, spearman

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.number]
"""Counts at each position, (regions, positions), of any numeric type."""
CHUNK = 4_096
"""Regions that are computed at a time."""


def multinomial_losses(counts: Counts, logits: Floats) -> Floats:
    """Return -log of the multinomial probability of each region's counts, (regions,).

    Args:
        counts: (regions, positions).
        logits: Likewise.

    Examples:
        >>> float(multinomial_losses(np.array([[1, 1]]), np.zeros((1, 2))).round(4)[0])
        0.6931
    """
    k, logits = (np.asarray(each, np.float64) for each in (counts, logits))
    likelihood = (k * special.log_softmax(logits, axis=-1)).sum(axis=-1)
    factorials = special.gammaln(k.sum(axis=-1) + 1) - special.gammaln(k + 1).sum(axis=-1)
    return -(factorials + likelihood)


def jensen_shannon(first: Floats, second: Floats) -> Floats:
    """Return the Jensen-Shannon distance (natural logarithm) of rows of two arrays, (rows,).

    Rows are scaled to a sum of 1; NaN where one is 0 everywhere.

    Args:
        first: Numbers of 0 or more, (rows, positions).
        second: Likewise, or (positions,).

    Examples:
        >>> one, other = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
        >>> jensen_shannon(one, other).round(4).tolist() == [round(np.log(2) ** 0.5, 4)]
        True
    """
    with np.errstate(invalid="ignore"):
        p, q = (each / each.sum(axis=-1, keepdims=True) for each in (first, second))
    mean = (p + q) / 2
    divergence = special.rel_entr(p, mean).sum(axis=-1) + special.rel_entr(q, mean).sum(axis=-1)
    return np.sqrt(np.maximum(divergence, 0) / 2)


@dataclass(frozen=True)
class RegionScores:
    """Scores of each region, from which those of all are made.

    Attributes:
        log_counts: Measured log(1 + total), (regions,).
        predicted: Predicted, (regions,).
        losses: -log of the multinomial probability of the profile, (regions,).
        distances: Jensen-Shannon distance of the measured from the predicted profile, (regions,);
            NaN where there are no counts.
        uniform: Distance of the measured from a uniform profile, (regions,).
    """

    log_counts: Floats
    predicted: Floats
    losses: Floats
    distances: Floats
    uniform: Floats

    @property
    def normalised(self) -> Floats:
        """1 - distance / distance of a uniform profile, from 0 to 1, (regions,)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.clip(1 - self.distances / self.uniform, 0, 1)

    def take(self, rows: npt.NDArray[np.int64]) -> "RegionScores":
        """Return the scores of some regions."""
        return RegionScores(*(column[rows] for column in vars(self).values()))

    def loss(self, counts_weight: float) -> float:
        """Return the mean loss that networks are trained with."""
        squares = np.square(self.log_counts - self.predicted)
        return float(np.mean(self.losses + counts_weight * squares))

    def summary(self, metrics: Collection[str] | None = None) -> dict[str, float]:
        """Return the scores of all regions; those without counts have no distance.

        Args:
            metrics: Those wanted; None for all.

        Returns:
            ``pearson``, ``spearman`` and ``mse`` of the log counts; medians ``jsd`` and
            ``normalised_jsd`` of the profiles.
        """
        chosen = _METRICS if metrics is None else metrics
        return {metric: _METRICS[metric](self) for metric in chosen}


def known_median(values: Floats) -> float:
    """Return the median of all values that are finite; NaN without any."""
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")


_METRICS: dict[str, Callable[[RegionScores], float]] = {
    "pearson": lambda scores: pearson(scores.predicted, scores.log_counts),
    "spearman": lambda scores: spearman(scores.predicted, scores.log_counts),
    "mse": lambda scores: float(np.mean(np.square(scores.log_counts - scores.predicted))),
    "jsd": lambda scores: known_median(scores.distances),
    "normalised_jsd": lambda scores: known_median(scores.normalised),
}


def score_regions(counts: Counts, logits: Counts, log_counts: Floats) -> RegionScores:
    """Compare predictions with the counts of regions.

    Args:
        counts: (regions, positions).
        logits: Predicted, (regions, positions).
        log_counts: Predicted, (regions,).
    """
    parts = []
    for start in range(0, len(counts), CHUNK):
        here = counts[start : start + CHUNK].astype(np.float64)
        said = logits[start : start + CHUNK].astype(np.float64)
        shares = special.softmax(said, axis=-1)
        uniform = np.ones(here.shape[-1])
        parts.append(
            (
                multinomial_losses(here, said),
                jensen_shannon(here, shares),
                jensen_shannon(here, uniform),
            )
        )
    losses, distances, flat = map(np.concatenate, zip(*parts, strict=True))
    totals = counts.sum(axis=-1, dtype=np.float64)
    return RegionScores(np.log1p(totals), log_counts.astype(np.float64), losses, distances, flat)
