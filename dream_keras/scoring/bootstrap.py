"""Bootstrap of the test set: intervals of scores, paired differences, spread of ranks.

Scheme. A resample draws as many units as there are, with replacement (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993). For the single subsets the units are the rows that any of them
holds: they are drawn once for the whole test set, so that subsets that share rows move together and
a subset has a varying number of rows, as in another experiment of this kind. In a pair subset the
unit is the pair, drawn apart from the rows and from the other pair subsets: a difference is a
measurement of its own, and alt and ref may change places. Intervals are percentile intervals
(chapter 13 there).

What the intervals tell is how scores vary with the rows and pairs that happened to be measured.
Three things they do not: how scores vary with the seed of the training; the bias of r^2, which is
at least 0 and in a resample a little high where r is near 0; and the choice of references, which
many pairs share. On the challenge's private part, resampling the references instead of the pairs
makes the standard deviation of the winner's Pearson Score .0090 instead of .0088 and of its
Spearman Score .0029 instead of .0025; giving each pair the number of times its alt row was drawn
changes neither.

The paper of the challenge ranked "with bootstraps of the test set"; its exact rule is not known.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError, at_least
from dream_keras.scoring.card import Interval, Intervals, ScoreCard
from dream_keras.scoring.correlator import Correlator, Paired
from dream_keras.scoring.formulas import FORMULAS
from dream_keras.scoring.metrics import Floats, score
from dream_keras.scoring.resampling import correlate_resamples, design
from dream_keras.scoring.suite import Suite

RESAMPLES = 10_000
LEVEL = 0.95


class Sampled(NamedTuple):
    """A number and its value in each resample.

    Attributes:
        estimate: The number for the rows as they are; NaN where it is undefined.
        values: Shape (resamples,); NaN where it is undefined.
    """

    estimate: float
    values: npt.NDArray[np.floating]

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the percentile interval over the resamples in which the number is defined.

        Raises:
            UserError: The level is not between 0 and 1.
        """
        return percentile_interval(self.values, level)


@dataclass(frozen=True, eq=False)
class Resampled:
    """The scores of one set of predictions in every resample.

    Attributes:
        card: The scores of the rows as they are.
        seed: Seed of the resamples.
        scores: ``pearson_score`` and ``spearman_score``. A correlation that is undefined in a
            resample counts as 0 there, as in ``score``.
        subsets: ``pearson``, ``r2`` and ``spearman`` of each subset.
    """

    card: ScoreCard
    seed: int
    scores: Mapping[str, Sampled]
    subsets: Mapping[str, Mapping[str, Sampled]]

    @property
    def resamples(self) -> int:
        """Number of resamples."""
        return len(self.scores["pearson_score"].values)

    def card_with_intervals(self, level: float = LEVEL) -> ScoreCard:
        """Return the card with the interval of each of its numbers."""
        intervals = Intervals(
            level,
            self.resamples,
            self.seed,
            {name: sampled.interval(level) for name, sampled in self.scores.items()},
            {
                name: {kind: sampled.interval(level) for kind, sampled in kinds.items()}
                for name, kinds in self.subsets.items()
            },
            {
                name: float(np.isnan(kinds["spearman"].values).mean())
                for name, kinds in self.subsets.items()
            },
        )
        return replace(self.card, intervals=intervals)


class PairedDifference(NamedTuple):
    """Difference of A and B, on the same resamples.

    Attributes:
        estimate: The difference for the rows as they are; NaN where one is undefined.
        low: Lower end of the percentile interval of the difference.
        high: Upper end.
        wins: Share of the resamples in which A has more.
        losses: Share of the resamples in which B has more.
        ties: Share of the resamples in which both have exactly as much. In the rest one of them
            is undefined.
    """

    estimate: float
    low: float
    high: float
    wins: float
    losses: float
    ties: float


class Comparison(NamedTuple):
    """Two sets of predictions compared.

    Attributes:
        scores: ``pearson_score`` and ``spearman_score``.
        subsets: ``pearson``, ``r2`` and ``spearman`` of each subset.
    """

    scores: Mapping[str, PairedDifference]
    subsets: Mapping[str, Mapping[str, PairedDifference]]


class RankSpread(NamedTuple):
    """The rank of one of several, 1 for the largest; ties share the better rank.

    Attributes:
        rank: Place for the rows as they are.
        low: Best place within the percentile interval.
        high: Worst place within it.
        mean: Mean place over the resamples.
        shares: Share of the resamples in each place, shape (how many there are,).
    """

    rank: int
    low: int
    high: int
    mean: float
    shares: Floats


def bootstrap(
    suite: Suite,
    predictions: npt.ArrayLike,
    part: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: bool | None = None,
    threads: int | None = None,
) -> Resampled:
    """Score predictions on resamples of the test set.

    Resample k of a seed is the same for all predictions, so that they can be compared, and for any
    number of resamples. The correlations are those of ``dream_keras.scoring.metrics.score`` on the
    resampled rows; where a resample holds fewer than two members of a subset, or makes it
    constant, they are undefined.

    Args:
        suite: The suite.
        predictions: One value per row of the suite, as in ``score``.
        part: ``"private"``, ``"public"`` or ``"all"``; None is the suite's default.
        resamples: How many.
        seed: Seed of the resamples, at least 0.
        progress: False shows no progress, see ``dream_keras.common.progress``.
        threads: Threads to use, None for one per processor; the results do not depend on it.

    Raises:
        UserError: What ``score`` raises, or a number is too small.
    """
    at_least(1, resamples=resamples)
    at_least(0, seed=seed)
    card = score(suite, predictions, part)
    predicted = suite.shaped(predictions)
    sizes, units = design(suite, card.part)
    subsets = {
        name: Paired(
            subset.pick(predicted, card.part), subset.pick(suite.measured, card.part), units[name]
        )
        for name, subset in suite.subsets.items()
    }
    label = f"resampling, {card.part}"
    correlator = Correlator(subsets, sum(sizes))
    found = correlate_resamples(correlator, sizes, resamples, seed, progress, threads, label)
    return Resampled(
        card,
        seed,
        {
            "pearson_score": Sampled(
                card.pearson_score, _weighted_mean(card, found, card.formulas.pearson)
            ),
            "spearman_score": Sampled(
                card.spearman_score, _weighted_mean(card, found, card.formulas.spearman)
            ),
        },
        {
            name: {
                "pearson": Sampled(subset.pearson, found[name][0]),
                "r2": Sampled(subset.r2, found[name][0] ** 2),
                "spearman": Sampled(subset.spearman, found[name][1]),
            }
            for name, subset in card.subsets.items()
        },
    )


def compare(a: Resampled, b: Resampled, level: float = LEVEL) -> Comparison:
    """Compare two sets of predictions on the same resamples.

    Raises:
        UserError: The two were not resampled alike, or the level is not between 0 and 1.
    """
    alike = [(x.card.part, x.seed, x.resamples, _sizes(x.card)) for x in (a, b)]
    if alike[0] != alike[1]:
        raise UserError(
            "two sets of predictions can be compared when suite, part, seed and number of "
            f"resamples are the same; here they are {alike[0]} and {alike[1]}."
        )
    return Comparison(
        {name: difference(a.scores[name], b.scores[name], level) for name in a.scores},
        {
            name: {kind: difference(kinds[kind], b.subsets[name][kind], level) for kind in kinds}
            for name, kinds in a.subsets.items()
        },
    )


def difference(a: Sampled, b: Sampled, level: float = LEVEL) -> PairedDifference:
    """Compare one number of two sets of predictions, from the same resamples.

    Raises:
        UserError: The level is not between 0 and 1.
    """
    values = np.asarray(a.values, np.float64) - b.values
    low, high = percentile_interval(values, level)
    shares = [float(np.mean(sign)) for sign in (values > 0, values < 0, values == 0)]
    return PairedDifference(a.estimate - b.estimate, low, high, *shares)


def ranks(sampled: Mapping[str, Sampled], level: float = LEVEL) -> dict[str, RankSpread]:
    """Rank one number of several sets of predictions, from the same resamples.

    Args:
        sampled: The number of each, for instance its Pearson Score; an undefined one ranks last.
        level: Level of the percentile interval of the places.

    Raises:
        UserError: The level is not between 0 and 1.
    """
    from scipy.stats import rankdata  # takes a second to load and is not needed for scoring alone

    _check(level)
    table = np.array([[one.estimate, *one.values] for one in sampled.values()], np.float64)
    places = rankdata(-np.nan_to_num(table, nan=-np.inf), method="min", axis=0).astype(np.int64)
    tails = ((1 - level) / 2, (1 + level) / 2)
    spreads = {}
    for name, (rank, *drawn) in zip(sampled, places.tolist(), strict=True):
        low, high = np.quantile(drawn, tails, method="inverted_cdf")
        shares = np.bincount(drawn, minlength=len(sampled) + 1)[1:] / len(drawn)
        spreads[name] = RankSpread(rank, int(low), int(high), float(np.mean(drawn)), shares)
    return spreads


def percentile_interval(values: npt.NDArray[np.floating], level: float = LEVEL) -> Interval:
    """Return the interval that holds the middle of the defined values; NaN if there are none.

    Raises:
        UserError: The level is not between 0 and 1.
    """
    _check(level)
    defined = values[~np.isnan(values)].astype(np.float64)
    if not len(defined):
        return Interval(math.nan, math.nan)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _check(level: float) -> None:
    if not 0 < level < 1:
        raise UserError(f"level={level}: a share between 0 and 1 is needed, such as 0.95.")


def _weighted_mean(card: ScoreCard, found: Mapping[str, Floats], formula: str) -> Floats:
    value = FORMULAS[formula].value
    terms = [
        subset.weight * np.nan_to_num(value(*found[name]), nan=0.0)
        for name, subset in card.subsets.items()
    ]
    return np.sum(terms, axis=0) / card.total_weight


def _sizes(card: ScoreCard) -> dict[str, int]:
    return {name: subset.n for name, subset in card.subsets.items()}
