"""The score card of a set of predictions: correlations, the two scores, intervals and ceilings."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dream_keras.scoring.formulas import FORMULAS, OFFICIAL, Formulas


@dataclass(frozen=True)
class SubsetScore:
    """Scores of one subset.

    Attributes:
        weight: Weight of the subset in both scores.
        n: Number of rows, or of pairs.
        pearson: Pearson's r; NaN when it is undefined.
        spearman: Spearman's rho; NaN when it is undefined.
        undefined: Why the correlations are undefined; empty when they are defined.
    """

    weight: float
    n: int
    pearson: float
    spearman: float
    undefined: str = ""

    @property
    def r2(self) -> float:
        """Square of Pearson's r."""
        return self.pearson**2


class Interval(NamedTuple):
    """Two ends; NaN where there are none."""

    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Bootstrap intervals of the numbers of a card, see ``dream_keras.scoring.bootstrap``.

    Attributes:
        level: Their level, 0.95 for 95 %.
        resamples: How many resamples they are made of.
        seed: Seed of the resamples.
        scores: Of ``pearson_score`` and ``spearman_score``.
        subsets: Of ``pearson``, ``r2`` and ``spearman`` of each subset.
        undefined: Share of the resamples in which a subset has no correlation.
    """

    level: float
    resamples: int
    seed: int
    scores: Mapping[str, Interval]
    subsets: Mapping[str, Mapping[str, Interval]]
    undefined: Mapping[str, float]

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON: [low, high], or None where there is no interval."""
        return {
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
            **{name: _ends(interval) for name, interval in self.scores.items()},
            "subsets": {
                name: {kind: _ends(interval) for kind, interval in kinds.items()}
                | {"undefined": self.undefined[name]}
                for name, kinds in self.subsets.items()
            },
        }


class Estimate(NamedTuple):
    """A number and its bootstrap interval."""

    value: float
    interval: Interval

    def to_list(self) -> list[float | None]:
        """Return [value, low, high] for JSON, None for what is NaN."""
        return [_none_if_nan(number) for number in (self.value, *self.interval)]


class NoiseLevel(NamedTuple):
    """The noise of measurements at one level of predicted expression.

    Attributes:
        target: Name of the target.
        low: The lowest level, in standard deviations from the mean over the part's rows.
        high: The highest level.
        pairs: Number of neutral pairs with levels from low to high.
        variance: Variance of the noise of one row, in squared units of the measured values.
    """

    target: str
    low: float
    high: float
    pairs: int
    variance: Estimate


@dataclass(frozen=True)
class SuiteCeiling:
    """What a perfect predictor is expected to reach, see ``dream_keras.scoring.ceiling``.

    Attributes:
        part: The part of the suite.
        pearson_score: Ceiling of the Pearson Score; a subset without one counts as 0.
        r2: Ceiling of r^2 of each subset; NaN where the measured values are constant.
        noise: The noise from the lowest level to the highest, of one target after the other.
    """

    part: str
    pearson_score: Estimate
    r2: Mapping[str, Estimate]
    noise: tuple[NoiseLevel, ...]

    @property
    def pairs(self) -> int:
        """Number of neutral pairs."""
        return sum(level.pairs for level in self.noise)

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON: [value, low, high], with None for what is undefined."""
        return {
            "pearson_score": self.pearson_score.to_list(),
            "r2": {name: estimate.to_list() for name, estimate in self.r2.items()},
            "noise": [
                {**level._asdict(), "variance": level.variance.to_list()} for level in self.noise
            ],
        }


class SubsetCoverage(NamedTuple):
    """How often intervals cover the measurements of a subset.

    Attributes:
        rows: Number of rows; those of pairs count once each.
        coverage: Share of them whose measurement is covered; NaN without any.
        width: Mean of upper minus lower bound, in the suite's units; NaN without any.
    """

    rows: int
    coverage: float
    width: float


@dataclass(frozen=True)
class Coverage:
    """How often prediction intervals cover the measurements of a suite.

    Attributes:
        level: The share that they are made to cover, 0 to 1.
        part: The part of the suite.
        calibrated_on: The rows that the intervals were calibrated on.
        subsets: Of each subset, and of ``all`` rows of the part (of each target, ``all TARGET``).
    """

    level: float
    part: str
    calibrated_on: str
    subsets: Mapping[str, SubsetCoverage]

    def to_dict(self) -> dict[str, object]:
        """Return plain data for JSON; None for what is undefined."""
        subsets = {
            name: {
                "rows": each.rows,
                "coverage": _none_if_nan(each.coverage),
                "width": _none_if_nan(each.width),
            }
            for name, each in self.subsets.items()
        }
        return {"level": self.level, "calibrated_on": self.calibrated_on, "subsets": subsets}


@dataclass(frozen=True)
class ScoreCard:
    """The scores of one set of predictions on one part of a suite.

    Attributes:
        part: The part that was scored.
        subsets: The score of each subset, in the suite's order.
        formulas: How the two scores are made of them.
        intervals: Bootstrap intervals of all of these; None when there was no bootstrap.
        ceiling: What a perfect predictor is expected to reach; None when it was not estimated.
        coverage: How often prediction intervals cover the measurements; None when not counted.
    """

    part: str
    subsets: Mapping[str, SubsetScore]
    formulas: Formulas = OFFICIAL
    intervals: Intervals | None = None
    ceiling: SuiteCeiling | None = None
    coverage: Coverage | None = None

    @property
    def total_weight(self) -> float:
        """Sum of the weights: 4.65 in the official suite."""
        return math.fsum(subset.weight for subset in self.subsets.values())

    @property
    def pearson_score(self) -> float:
        """Weighted mean over the subsets, of r^2 officially; an undefined r counts as 0."""
        return self._weighted_mean(self.formulas.pearson)

    @property
    def spearman_score(self) -> float:
        """Weighted mean of rho over the subsets; an undefined rho counts as 0."""
        return self._weighted_mean(self.formulas.spearman)

    def _weighted_mean(self, formula: str) -> float:
        value = FORMULAS[formula].value
        defined = [subset for subset in self.subsets.values() if not subset.undefined]
        terms = [s.weight * value(s.pearson, s.spearman) for s in defined]
        return math.fsum(terms) / self.total_weight

    def to_dict(self) -> dict[str, object]:
        """Return the card as plain data for JSON; undefined correlations are None."""
        plain: dict[str, object] = {
            "part": self.part,
            "pearson_score": self.pearson_score,
            "spearman_score": self.spearman_score,
            "subsets": {
                name: {
                    "n": subset.n,
                    "pearson": _none_if_nan(subset.pearson),
                    "r2": _none_if_nan(subset.r2),
                    "spearman": _none_if_nan(subset.spearman),
                }
                for name, subset in self.subsets.items()
            },
        }
        if self.intervals is not None:
            plain["bootstrap"] = self.intervals.to_dict()
        if self.ceiling is not None:
            plain["ceiling"] = self.ceiling.to_dict()
        if self.coverage is not None:
            plain["coverage"] = self.coverage.to_dict()
        return plain


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def _ends(interval: Interval) -> list[float] | None:
    return None if math.isnan(interval.low) else list(interval)
