"""The noise ceiling: the expected score of a perfect predictor.

From replicates (``noise_ceiling``). Take a measurement as the true value plus noise that is
independent of it and of the noise of the other replicate, with the same variance in both (if it
differs, what is called the ceiling with one replicate is the geometric mean of the two). Then the
correlation of the replicates is the reliability, the share of the variance that is not noise. A
prediction of the true values correlates with a measurement as the square root of its reliability
(Spearman, The proof and measurement of association between two things, American Journal of
Psychology 15, 1904), and the mean of two replicates has reliability 2 r / (1 + r) (Spearman,
Correlation calculated from faulty data, and Brown, Some experimental results in the correlation of
mental abilities, both British Journal of Psychology 3, 1910). None of this holds for rank
correlations.

From neutral pairs (``suite_ceiling``), for a suite with pairs and one measurement of each row.
Differences between rows that are truly equal give the variance of the noise by level (see
``dream_keras.scoring.neutral_pairs``), and

    reliability of a subset = 1 - variance of the noise / variance of the measured values

is its ceiling of r^2; for pairs both are those of the difference, with the noise of both members.
The ceiling of the Pearson Score is made of these as the score is.

Limits of both: noise that replicates, or the members of a pair, share (the library, the strains,
the sequencing run) counts as signal here, and the true ceiling is then lower.

Limits of neutral pairs: where true values differ although all sets of predictions call the pair
unchanged, the difference counts as noise, and the true ceiling is higher. A smaller share of pairs
does not help against changes that all sets overlook; predictions of unlike models do. Rows are
taken to have the noise of neutral pairs at their predicted level, whichever subset they are in.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import at_least
from dream_keras.scoring.bootstrap import RESAMPLES, Sampled, percentile_interval
from dream_keras.scoring.card import Estimate, NoiseLevel, SuiteCeiling
from dream_keras.scoring.correlator import Correlator, Paired
from dream_keras.scoring.metrics import pearson, why_undefined
from dream_keras.scoring.neutral_pairs import SHARE, level_noises
from dream_keras.scoring.noise_shares import NoiseShares
from dream_keras.scoring.resampling import correlate_resamples, each_resample
from dream_keras.scoring.suite import Suite


class NoiseCeiling(NamedTuple):
    """The correlations with the measurements that a perfect predictor is expected to reach.

    The two ceilings are increasing functions of the reliability, and so are their intervals'
    ends. Squared, they are the ceilings of r^2.

    Attributes:
        n: Number of rows or pairs.
        reliability: Pearson's r of the two replicates: the ceiling of r^2 with one of them.
        single: Ceiling of r with one replicate, sqrt(r).
        mean: Ceiling of r with the mean of both, sqrt(2 r / (1 + r)).
        undefined: Why there is no ceiling; empty when there is one.
    """

    n: int
    reliability: Sampled
    single: Sampled
    mean: Sampled
    undefined: str = ""


def noise_ceiling(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: bool | None = None,
) -> NoiseCeiling:
    """Estimate the noise ceiling from two replicates of each measurement.

    Args:
        first: Measured values of one replicate, shape (n,); differences for pairs.
        second: Those of the other.
        resamples: Number of bootstrap resamples of the rows; each Sampled gives the intervals:
            ``noise_ceiling(...).mean.interval()``.
        seed: Seed of the resamples.
        progress: False shows no progress, see ``dream_keras.common.progress``.

    Returns:
        The ceilings. They are NaN when the replicates have no correlation, or none above 0; in a
        resample with one below 0 they are 0.

    Raises:
        UserError: The replicates are not equally long vectors of finite numbers.

    Examples:
        >>> ceiling = noise_ceiling([1, 2, 3, 4], [1, 3, 2, 4], resamples=10)
        >>> round(ceiling.reliability.estimate, 4), round(ceiling.single.estimate, 4)
        (0.8, 0.8944)
    """
    at_least(1, resamples=resamples)
    at_least(0, seed=seed)
    r = pearson(first, second)
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    correlator = Correlator({"": Paired(x, y, np.arange(len(x)))}, len(x))
    drawn, _ = correlate_resamples(correlator, (len(x),), resamples, seed, progress)[""]
    undefined = why_undefined(x, y).replace("predictions", "measured values")
    if r <= 0:
        undefined = "the replicates do not correlate positively"
    positive = np.clip(drawn, 0.0, None)
    r_positive = math.nan if undefined else r
    return NoiseCeiling(
        len(x),
        Sampled(r, drawn),
        Sampled(math.sqrt(r_positive), np.sqrt(positive)),
        Sampled(
            math.sqrt(2 * r_positive / (1 + r_positive)), np.sqrt(2 * positive / (1 + positive))
        ),
        undefined,
    )


def suite_ceiling(
    suite: Suite,
    predictions: Sequence[npt.ArrayLike],
    part: str | None = None,
    share: float = SHARE,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: bool | None = None,
) -> SuiteCeiling:
    """Estimate the noise ceiling of a suite from pairs that predictions call unchanged.

    In a resample the rows and pairs of the suite are those of ``dream_keras.scoring.bootstrap``,
    and the neutral pairs are drawn apart from them, in clusters that share no row. Where pairs
    share rows, such as three references in a thousand pairs, the variance of the few rows' noise
    is drawn too, from a chi-squared distribution: with it a perfect predictor does better or worse
    than expected.

    Args:
        suite: The suite; each of its targets needs a subset of pairs.
        predictions: Sets of predictions, each as in ``dream_keras.scoring.metrics.score``. Two or
            more of unlike models are advised.
        part: ``"private"``, ``"public"`` or ``"all"``; None is the suite's default.
        share: Share of the pairs that each set calls unchanged, above 0 and at most 1.
        resamples: Number of bootstrap resamples, 0 for no intervals.
        seed: Seed of the resamples.
        progress: False shows no progress, see ``dream_keras.common.progress``.

    Returns:
        The ceilings, with 95 % intervals; their ends are NaN without resamples.

    Raises:
        UserError: There is no set, one is constant or what ``score`` refuses, a target has no
            pairs or too few neutral ones, or a number is out of range.

    Examples:
        >>> from dream_keras.scoring.suite import Subset
        >>> random = np.random.default_rng(0)
        >>> truth = np.repeat(random.normal(size=5_000), 2)  # each alt equals its ref
        >>> measured = truth[:, None] + 0.5 * random.normal(size=(10_000, 1))
        >>> subsets = {
        ...     "all": Subset(1.0, {"all": np.arange(10_000)}),
        ...     "pairs": Subset(0.0, {"all": np.arange(10_000).reshape(-1, 2)}),
        ... }
        >>> suite = Suite("example", ["ACGT"] * 10_000, measured, subsets)
        >>> found = suite_ceiling(suite, [truth], resamples=0)
        >>> round(found.r2["all"].value, 2), round(1 / 1.25, 2)
        (0.8, 0.8)
    """
    at_least(0, resamples=resamples, seed=seed)
    part = suite.choose_part(part)
    noises = list(level_noises(suite, predictions, part, share))
    shares = NoiseShares(suite, part, noises)
    found = shares(np.ones((shares.units, 1)))
    shown = progress if resamples else False
    drawn = each_resample(
        shares, (len(found),), shares.sizes, resamples, seed, shown, label="noise ceiling"
    )
    numbers = zip(
        shares.ceilings(found), shares.ceilings(drawn, np.random.default_rng(seed)), strict=True
    )
    score, *others = (Estimate(float(one), percentile_interval(many)) for (one,), many in numbers)
    variances = iter(others[len(suite.subsets) :])
    return SuiteCeiling(
        part,
        score,
        dict(zip(suite.subsets, others, strict=False)),
        tuple(
            NoiseLevel(suite.targets[noise.target], *level, next(variances))
            for noise in noises
            for level in noise.bins
        ),
    )
