"""Correlations of predicted and measured values, and the score card made of them.

Training labels and test measurements are on different scales, so only correlations between
prediction and measurement mean anything. Everything is computed in float64 from all rows.
"""

import math

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.scoring.card import ScoreCard, SubsetScore
from dream_keras.scoring.suite import Suite
from dream_keras.scoring.text_files import refuse

Floats = npt.NDArray[np.float64]


def score(suite: Suite, predictions: npt.ArrayLike, part: str | None = None) -> ScoreCard:
    """Score predictions on every subset of one part of a suite.

    Args:
        suite: The suite.
        predictions: One value per row and target of the suite, shape (rows, targets), on any
            scale, or (rows,) for a suite with one target. Rows that the part does not need may
            hold NaN.
        part: ``"private"``, ``"public"`` or ``"all"``; None is the suite's default: private, or
            all where nothing is public.

    Returns:
        The card. A correlation is undefined (NaN) where the predictions or the measured values
        are constant or there are fewer than two of them; it then counts as 0 in the scores.

    Raises:
        UserError: The suite has no such part, or the predictions have the wrong shape or are
            not all finite where the part needs them.

    Examples:
        >>> from dream_keras.scoring.suite import Subset
        >>> measured = np.array([[1.0], [2.0], [3.0], [5.0]])
        >>> subsets = {"random": Subset(1.0, {"all": np.arange(4)})}
        >>> card = score(Suite("example", ["ACGT"] * 4, measured, subsets), [0.1, 0.2, 0.3, 0.4])
        >>> round(card.pearson_score, 4), round(card.spearman_score, 4)
        (0.9657, 1.0)
    """
    part = suite.default_part if part is None else part
    predicted = checked(suite, predictions, part)
    return ScoreCard(
        part,
        {
            name: score_subset(
                subset.pick(predicted, part), subset.pick(suite.measured, part), subset.weight
            )
            for name, subset in suite.subsets.items()
        },
        suite.formulas,
    )


def checked(suite: Suite, predictions: npt.ArrayLike, part: str) -> Floats:
    """Return predictions as (rows, targets); those that the part needs are finite.

    Raises:
        UserError: What ``score`` raises.
    """
    needed = suite.rows(part)
    predicted = suite.shaped(predictions)
    finite = np.isfinite(predicted[needed]).all(axis=1)
    refuse(
        "predictions that are not finite numbers",
        [f"position {row} ({', '.join(map(str, predicted[row]))})" for row in needed[~finite]],
    )
    return predicted


def score_subset(predicted: Floats, measured: Floats, weight: float = 1.0) -> SubsetScore:
    """Score one subset from its predicted and measured values, shapes (n,).

    Examples:
        >>> subset = score_subset(np.array([0.1, 0.2, 0.4]), np.array([1.0, 2.0, 3.0]))
        >>> subset.n, round(subset.pearson, 4), round(subset.r2, 4)
        (3, 0.982, 0.9643)
    """
    return SubsetScore(
        weight=weight,
        n=len(predicted),
        pearson=pearson(predicted, measured),
        spearman=spearman(predicted, measured),
        undefined=why_undefined(predicted, measured),
    )


def pearson(predicted: npt.ArrayLike, measured: npt.ArrayLike) -> float:
    """Pearson's correlation r of two vectors, shapes (n,); NaN when it is undefined.

    Raises:
        UserError: The shapes differ, are not one-dimensional, or a value is not finite.

    Examples:
        >>> round(pearson([0.1, 0.2, 0.4], [1, 2, 3]), 4)
        0.982
        >>> pearson([1, 1, 1], [1, 2, 3])
        nan
    """
    x, y = _vectors(predicted, measured)
    if why_undefined(x, y):
        return math.nan
    return float(np.clip(centred_unit(x) @ centred_unit(y), -1.0, 1.0))


def spearman(predicted: npt.ArrayLike, measured: npt.ArrayLike) -> float:
    """Spearman's correlation rho: Pearson's r of the ranks, ties sharing their mean rank.

    Shapes (n,); NaN when it is undefined. Raises what ``pearson`` raises.

    Examples:
        >>> round(spearman([0.1, 0.2, 0.4], [1, 10, 100]), 4)
        1.0
    """
    x, y = _vectors(predicted, measured)
    return pearson(_mid_ranks(x), _mid_ranks(y))


def _mid_ranks(values: Floats) -> Floats:
    """Return the rank of each value, the smallest 1; equal ones share their mean rank."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(sizes) - (sizes - 1) / 2)[group]


def why_undefined(predicted: Floats, measured: Floats) -> str:
    """Return why two vectors have no correlation; an empty string when they have one.

    Examples:
        >>> why_undefined(np.array([1.0, 1.0]), np.array([1.0, 2.0]))
        'constant predictions'
    """
    if len(predicted) < 2:
        return "fewer than 2 values"
    if predicted.min() == predicted.max():
        return "constant predictions"
    if measured.min() == measured.max():
        return "constant measured values"
    return ""


def _vectors(predicted: npt.ArrayLike, measured: npt.ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(predicted, np.float64), np.asarray(measured, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise UserError(f"a correlation needs two equally long vectors, not {x.shape}, {y.shape}.")
    for kind, values in ("predicted", x), ("measured", y):
        if not np.isfinite(values).all():
            where = int(np.flatnonzero(~np.isfinite(values))[0])
            raise UserError(
                f"{kind} value {values[where]} at index {where} of {len(values)}: "
                "every value must be a finite number."
            )
    return x, y


def centred_unit(values: Floats) -> Floats:
    """Subtract the mean and divide by the norm, so that r is a dot product."""
    # Scaling by a power of two is exact and keeps the squares from overflowing or underflowing.
    _, exponent = np.frexp(np.abs(values).max())
    scaled = np.ldexp(values, -exponent)
    centred = scaled - scaled.mean()
    # The mean was rounded; for nearly constant values that error is as large as the deviations.
    centred -= centred.mean()
    return centred / np.linalg.norm(centred)
