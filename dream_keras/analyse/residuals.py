"""Residuals: what is left of the measured values once predictions are brought to their scale.

A training label is a mean sorting bin, a test measurement comes from another experiment on another
scale, so a prediction minus a measurement means nothing before one is calibrated to the other. Here
that is a straight line fitted by least squares, which leaves every correlation as it is. A residual
is the calibrated prediction minus the measurement: above 0 where the prediction is too high.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import isotonic_regression

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.kmers import Sequences
from dream_keras.scoring.metrics import score_subset, why_undefined
from dream_keras.scoring.suite import Suite
from dream_keras.simulate.truth import Truth

Floats = npt.NDArray[np.float64]

GROUPS = 10
"""Groups of equal size into which rows are put by a quantity: deciles."""
FEWEST = 10
"""Rows with, and rows without a motif, below which its effect is not reported."""


@dataclass(frozen=True)
class Calibration:
    """The line that brings predictions to the scale of the measurements.

    Attributes:
        slope: Measured units per predicted unit.
        intercept: Measured units.
        linear: r^2 of the line: the share of the measured variance that it explains.
        monotone: The same for the best curve that never falls (isotonic regression).
    """

    slope: float
    intercept: float
    linear: float
    monotone: float

    @classmethod
    def fit(cls, predicted: Floats, measured: Floats) -> "Calibration":
        """Fit the line to rows, shapes (rows,).

        Raises:
            UserError: If predictions or measured values do not differ.

        Examples:
            >>> line = Calibration.fit(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]))
            >>> round(line.slope, 4), round(line.intercept, 4), round(line.linear, 4)
            (2.0, 1.0, 1.0)
        """
        reason = why_undefined(predicted, measured)
        if reason:
            raise UserError(f"nothing to analyse: {reason}")
        slope, intercept = np.polyfit(predicted, measured, 1)
        # A curve has one value where predictions are equal: the mean of what was measured there.
        _, group, count = np.unique(predicted, return_inverse=True, return_counts=True)
        means = np.bincount(group, measured) / count
        curve = isotonic_regression(means, weights=count).x[group]
        explained = [
            1 - np.mean((fitted - measured) ** 2) / measured.var()
            for fitted in (slope * predicted + intercept, curve)
        ]
        return cls(float(slope), float(intercept), *map(float, explained))

    def apply(self, predicted: Floats) -> Floats:
        """Bring predictions, (rows,), to the scale of the measurements."""
        return self.slope * predicted + self.intercept


def gc_content(inserts: Sequences) -> Floats:
    """Return the share of G and C among the known bases, (rows,); NaN where none is known.

    Examples:
        >>> gc_content(Sequences.of(alphabet.encode("GCAN")[None], np.array([4]))).round(3).tolist()
        [0.667]
    """
    strong = np.isin(inserts.tokens, (alphabet.C, alphabet.G)).sum(axis=1)
    known = (inserts.tokens < alphabet.N).sum(axis=1)
    return np.where(known > 0, strong / np.maximum(known, 1), np.nan)


def by_quantity(quantity: Floats, residuals: Floats, groups: int = GROUPS) -> pd.DataFrame:
    """Summarise residuals in groups of about equal size, from low to high values of a quantity.

    Args:
        quantity: (rows,); equal values are in one group, and NaN in none.
        residuals: (rows,).
        groups: How many; there are fewer when many values are equal.

    Returns:
        Columns low, high and centre (mean) of the quantity, n, and bias (mean), spread (standard
        deviation, over n) and rms of the residuals.

    Examples:
        >>> groups = by_quantity(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, -1.0, 0.0]), 2)
        >>> groups[["low", "high", "n", "bias"]].to_numpy().tolist()
        [[1.0, 2.0, 2.0, 2.0], [3.0, 4.0, 2.0, -0.5]]
    """
    known = ~np.isnan(quantity)
    quantity, residuals = quantity[known], residuals[known]
    if not len(quantity):
        return pd.DataFrame(columns=["low", "high", "centre", "n", "bias", "spread", "rms"])
    # Edges are values that occur, so that a group holds its lower edge and not the next one's.
    edges = np.unique(np.quantile(quantity, np.arange(groups) / groups, method="higher"))
    group = np.searchsorted(edges, quantity, side="right")
    return pd.DataFrame(
        [
            {
                "low": quantity[group == number].min(),
                "high": quantity[group == number].max(),
                "centre": quantity[group == number].mean(),
                **_summary(residuals[group == number]),
            }
            for number in np.unique(group)
        ]
    )


def by_subset(suite: Suite, part: str, calibrated: Floats, target: int = 0) -> pd.DataFrame:
    """Summarise the residuals of each subset; those of pairs are residuals of the differences.

    Args:
        suite: The suite.
        part: The part of it.
        calibrated: Calibrated predictions of all rows of the suite, (rows,).
        target: Number of the target that they are of.

    Returns:
        Columns subset, pairs (whether it holds pairs), pearson, spearman, n, bias, spread and rms.
    """
    rows = []
    for name, subset in suite.subsets.items():
        if subset.target != target:
            continue
        values = (calibrated, suite.measured[:, target])
        predicted, measured = (subset.pick(v, part) for v in values)
        score = score_subset(predicted, measured)
        rows.append(
            {
                "subset": name,
                "pairs": subset.is_difference,
                "pearson": score.pearson,
                "spearman": score.spearman,
                **_summary(predicted - measured),
            }
        )
    return pd.DataFrame(rows)


def by_motif(truth: Truth, rows: npt.NDArray[np.int64], residuals: Floats) -> pd.DataFrame:
    """Compare residuals of rows that hold a site of a motif with those of rows that hold none.

    Args:
        truth: Says which motifs a row of the simulated test table holds.
        rows: Positions in the test table, (n,).
        residuals: Theirs, (n,).

    Returns:
        Columns motif, n (rows with a site), bias_with, bias_without, difference, and error: the
        standard error of the difference. Motifs that nearly all or nearly no rows hold are left
        out.
    """
    holds = np.zeros((len(truth.expression), len(truth.names)), bool)
    holds[truth.sites["row"], truth.sites["motif"]] = True
    found = []
    for name, held in zip(truth.names, holds[rows].T, strict=True):
        inside, outside = residuals[held], residuals[~held]
        if min(len(inside), len(outside)) < FEWEST:
            continue
        error = np.sqrt(inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside))
        found.append(
            {
                "motif": name,
                "n": len(inside),
                "bias_with": inside.mean(),
                "bias_without": outside.mean(),
                "difference": inside.mean() - outside.mean(),
                "error": error,
            }
        )
    return pd.DataFrame(found)


def _summary(residuals: Floats) -> dict[str, float]:
    if not len(residuals):
        return {"n": 0, "bias": np.nan, "spread": np.nan, "rms": np.nan}
    return {
        "n": len(residuals),
        "bias": residuals.mean(),
        "spread": residuals.std(),
        "rms": np.sqrt(np.mean(residuals**2)),
    }
