"""Predicted against measured effects of variants."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from dream_keras.common.errors import UserError
from dream_keras.common.text import align
from dream_keras.data.columns import is_missing
from dream_keras.data.delimited import to_float
from dream_keras.data.variants import PAIRS, read_header, read_rows
from dream_keras.interpret.predictor import Predictor, distinct
from dream_keras.scoring.bootstrap import percentile_interval
from dream_keras.scoring.card import Interval
from dream_keras.scoring.metrics import pearson, spearman

Floats = npt.NDArray[np.float64]
EFFECT = "effect"
"""Name of the column of measured effects, and the end of its name with several tasks."""
LARGE = 0.1
"""Share of the variants that count as having a large effect."""


@dataclass(frozen=True)
class EffectScore:
    """How well predicted effects agree with measured ones.

    Attributes:
        n: How many variants there are.
        values: ``pearson``, ``spearman``, ``sign_accuracy`` (share of the variants with a measured
            effect other than 0 whose predicted effect has its sign) and ``auroc_large`` (whether
            the size of the prediction tells the tenth with the largest measured effects).
        intervals: Their 95 % bootstrap intervals, over variants.
    """

    n: int
    values: Mapping[str, float]
    intervals: Mapping[str, Interval]


def score_effects(
    predicted: Floats, measured: Floats, resamples: int = 1000, seed: int = 0
) -> EffectScore:
    """Score predicted effects, (variants,); those that are missing on either side do not count.

    Raises:
        UserError: If fewer than 3 are left.

    Examples:
        >>> score = score_effects(np.array([1.0, -2, 3, 4]), np.array([0.5, -1, 2, 1.5]))
        >>> score.n, score.values["sign_accuracy"]
        (4, 1.0)
    """
    known = np.isfinite(predicted) & np.isfinite(measured)
    predicted, measured = predicted[known], measured[known]
    if len(predicted) < 3:
        raise UserError(f"{len(predicted)} variants have both effects: too few to score")
    large = np.abs(measured) >= np.quantile(np.abs(measured), 1 - LARGE)
    scores: dict[str, Callable[[npt.NDArray[np.int64]], float]] = {
        "pearson": lambda rows: pearson(predicted[rows], measured[rows]),
        "spearman": lambda rows: spearman(predicted[rows], measured[rows]),
        "sign_accuracy": lambda rows: _sign_accuracy(predicted[rows], measured[rows]),
        "auroc_large": lambda rows: auroc(np.abs(predicted[rows]), large[rows]),
    }
    random, size = np.random.default_rng(seed), len(predicted)
    draws = [
        [score(rows) for score in scores.values()]
        for rows in (random.integers(0, size, size) for _ in range(resamples))
    ]
    everything = np.arange(size)
    return EffectScore(
        size,
        {name: score(everything) for name, score in scores.items()},
        {
            name: percentile_interval(np.array(values))
            for name, values in zip(scores, zip(*draws, strict=True), strict=True)
        },
    )


def score_table(path: str | Path, predictor: Predictor | None) -> dict[str, EffectScore]:
    """Score the effects in a table, task by task.

    Args:
        path: A table of ``variants`` with another column, ``effect``; or, with a predictor, a table
            of pairs (columns ``ref`` and ``alt``) with that column. With several tasks the columns
            are called ``TASK.effect`` and ``TASK.delta``; one of them is enough.
        predictor: Predicts pairs; None takes the column ``delta``.

    Returns:
        The scores by task; that of a single task is called ``expression`` or as in the run.

    Raises:
        UserError: If a column is missing, or a cell is no number.
    """
    header = [name.lower() for name in read_header(path)]
    measured = [name for name in header if name == EFFECT or name.endswith(f".{EFFECT}")]
    if not measured:
        raise UserError(f"{path} has no column {EFFECT} (or TASK.{EFFECT}) of measured effects")
    columns = {name: (name,) for name in measured}
    if predictor is None:
        columns |= {_delta(name): (_delta(name),) for name in measured}
        lines, rows = _rows(path, columns)
        deltas = {name: _numbers(path, lines, rows, _delta(name)) for name in measured}
    else:
        lines, rows = _rows(path, {**columns, **PAIRS})
        pairs = [[row[allele].upper() for row in rows] for allele in ("ref", "alt")]
        predictor.check(pairs[0])
        known = distinct([*pairs[0], *pairs[1]])
        values = dict(zip(known, predictor(known), strict=True))
        effects = np.array([values[a] - values[r] for r, a in zip(*pairs, strict=True)])
        deltas = {name: effects[:, _task(path, name, predictor.tasks)] for name in measured}
    return {
        name.removesuffix(EFFECT).rstrip(".")
        or (predictor.tasks[0] if predictor else "expression"): score_effects(
            deltas[name], _numbers(path, lines, rows, name)
        )
        for name in measured
    }


def _delta(name: str) -> str:
    return name.removesuffix(EFFECT) + "delta"


def _task(path: str | Path, column: str, tasks: Sequence[str]) -> int:
    """Return the number of the task that a column of effects belongs to."""
    name = column.removesuffix(EFFECT).rstrip(".")
    lower = [task.lower() for task in tasks]
    if not name and len(tasks) == 1:
        return 0
    if name not in lower:
        raise UserError(
            f"{path}: the column {column} belongs to no task of the run. Call the columns "
            f"{', '.join(f'{task}.{EFFECT}' for task in tasks)}."
        )
    return lower.index(name)


def _rows(
    path: str | Path, columns: Mapping[str, Sequence[str]]
) -> tuple[list[int], list[dict[str, str]]]:
    found = list(read_rows(path, columns))
    return [line for line, _ in found], [row for _, row in found]


def _numbers(
    path: str | Path, lines: Sequence[int], rows: Sequence[Mapping[str, str]], column: str
) -> Floats:
    """Return a column, (rows,); NaN for empty cells and NA."""
    values = np.array([to_float(row[column]) for row in rows], np.float64)
    for line, row, value in zip(lines, rows, values, strict=True):
        if np.isnan(value) and not is_missing(row[column]):
            raise UserError(f'{path}:{line}: "{row[column][:40]}" in column {column} is no number')
    return values


def text(scores: Mapping[str, EffectScore]) -> str:
    """Return scores as aligned plain text, without a final line break."""
    names = ("pearson", "spearman", "sign_accuracy", "auroc_large")
    lines = [["task", "n", *(f"{name} [95 % interval]" for name in names)]]
    for task, score in scores.items():
        cells = (
            f"{score.values[name]:.4f} [{score.intervals[name].low:.4f}, "
            f"{score.intervals[name].high:.4f}]"
            for name in names
        )
        lines.append([task, f"{score.n:,}", *cells])
    return "\n".join(align(lines))


def to_dict(scores: Mapping[str, EffectScore]) -> dict[str, object]:
    """Return scores as plain data for JSON: each number as [value, low, high], None for NaN."""
    return {
        task: {
            "n": score.n,
            **{
                name: [
                    None if np.isnan(number) else float(number)
                    for number in (value, *score.intervals[name])
                ]
                for name, value in score.values.items()
            },
        }
        for task, score in scores.items()
    }


def _sign_accuracy(predicted: Floats, measured: Floats) -> float:
    moved = measured != 0
    if not moved.any():
        return float("nan")
    return float((np.sign(predicted[moved]) == np.sign(measured[moved])).mean())


def auroc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve, ties counted half; NaN if a class is empty.

    Examples:
        >>> auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
        0.75
    """
    ones = int(positive.sum())
    zeros = len(positive) - ones
    if not ones or not zeros:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
