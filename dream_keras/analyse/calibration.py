"""Whether a predicted distribution over the sorting bins is as wide as it should be.

A network trained on the bins gives, for each row, probabilities of the 18 bins. What it was trained
to match is not the label but the label spread over the bins, so that is what it is compared with
here: a calibrated network's probabilities are, among rows for which it predicts the same, the mean
of these targets. All targets of a row count, each with its weight.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

PIT_BINS = 10
LEVELS = (0.5, 0.8, 0.9)
"""Central intervals whose coverage is reported."""
PROBABILITIES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
"""Edges of the groups of predicted probabilities; most are small."""
GROUPS = 10
"""Groups of equal size into which rows are put by the width of their prediction."""


def pit_distribution(probabilities: Floats, targets: Floats, at: npt.ArrayLike) -> Floats:
    """Return the mean distribution function of the probability integral transform.

    The version for discrete outcomes (Czado, Gneiting and Held, Predictive model assessment for
    count data, Biometrics 65:1254, 2009): outcome i counts as uniform between the predicted
    probability of less than i and that of at most i. A calibrated prediction gives F(u) = u.

    Args:
        probabilities: Predicted, (rows, bins).
        targets: Distribution of the outcome of each row, (rows, bins).
        at: Values u between 0 and 1, (n,).

    Returns:
        F(u), (n,).
    """
    below = np.cumsum(probabilities, axis=1) - probabilities
    width = np.where(probabilities > 0, probabilities, np.finfo(float).tiny)
    return np.array(
        [
            np.sum(targets * np.clip((u - below) / width, 0, 1), axis=1).mean()
            for u in np.atleast_1d(np.asarray(at, np.float64))
        ]
    )


def pit_histogram(probabilities: Floats, targets: Floats, bins: int = PIT_BINS) -> Floats:
    """Return the share of the outcomes in each bin of the transform, (bins,); 1 / bins is ideal.

    A hump in the middle tells of predictions that are too wide, one at both ends of predictions
    that are too narrow, a slope of a bias.

    Examples:
        >>> probabilities, outcome = np.array([[0.25, 0.5, 0.25]]), np.array([[0.0, 1.0, 0.0]])
        >>> pit_histogram(probabilities, outcome, bins=4).tolist()  # too wide: a hump
        [0.0, 0.5, 0.5, 0.0]
    """
    inner = pit_distribution(probabilities, targets, np.arange(1, bins) / bins)
    return np.diff(np.concatenate([[0.0], inner, [1.0]]))


def coverage(probabilities: Floats, targets: Floats) -> pd.DataFrame:
    """Return the share of the outcomes within central intervals; columns level and covered.

    Examples:
        >>> probabilities, outcome = np.array([[0.25, 0.5, 0.25]]), np.array([[0.0, 1.0, 0.0]])
        >>> coverage(probabilities, outcome).covered.round(2).tolist()
        [1.0, 1.0, 1.0]
    """
    levels = np.array(LEVELS)
    ends = [pit_distribution(probabilities, targets, (1 + sign * levels) / 2) for sign in (1, -1)]
    return pd.DataFrame({"level": levels, "covered": ends[0] - ends[1]})


def reliability(probabilities: Floats, targets: Floats) -> pd.DataFrame:
    """Compare predicted probabilities with what came true, over all rows and bins.

    Returns:
        A row for each group of predicted probabilities that occurs: their mean, predicted; the mean
        of the targets there, observed; and the number of (row, bin) pairs, n.
    """
    group = np.searchsorted(PROBABILITIES[1:-1], probabilities.ravel(), side="right")
    pairs = pd.DataFrame({"predicted": probabilities.ravel(), "observed": targets.ravel()})
    groups = pairs.groupby(group)
    return groups.mean().assign(n=groups.size()).reset_index(drop=True)


def spread(probabilities: Floats, targets: Floats, groups: int = GROUPS) -> pd.DataFrame:
    """Compare the predicted standard deviation with the outcomes' deviation from the mean bin.

    Returns:
        A row for each group of rows, from narrow to wide predictions: predicted and observed, the
        root of the mean predicted variance and of the mean squared deviation, in bins; and n.
    """
    bins = np.arange(probabilities.shape[1])
    mean = probabilities @ bins
    squares = (bins - mean[:, None]) ** 2
    predicted, observed = ((p * squares).sum(axis=1) for p in (probabilities, targets))
    order = np.argsort(predicted, kind="stable")
    return pd.DataFrame(
        [
            {
                "predicted": np.sqrt(predicted[rows].mean()),
                "observed": np.sqrt(observed[rows].mean()),
                "n": len(rows),
            }
            for rows in np.array_split(order, min(groups, len(order)))
        ]
    )


def by_bin(probabilities: Floats, targets: Floats) -> pd.DataFrame:
    """Return the mean predicted and the mean target probability of each bin; columns bin, ..."""
    return pd.DataFrame(
        {
            "bin": np.arange(probabilities.shape[1]),
            "predicted": probabilities.mean(axis=0),
            "observed": targets.mean(axis=0),
        }
    )
