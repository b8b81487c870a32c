"""The noise ceiling: the expected score of a perfect predictor, from replicate measurements.

Take a measurement as the true value plus noise that is independent of it and of the noise of the
other replicate, with the same variance in both (if it differs, what is called the ceiling with one
replicate is the geometric mean of the two). Then the correlation of the replicates is the
reliability, the share of the variance that is not noise. A prediction of the true values
correlates with a measurement as the square root of its reliability (Spearman, The proof and
measurement of association between two things, American Journal of Psychology 15, 1904), and the
mean of two replicates has reliability 2 r / (1 + r) (Spearman, Correlation calculated from faulty
data, and Brown, Some experimental results in the correlation of mental abilities, both British
Journal of Psychology 3, 1910). None of this holds for rank correlations.

Noise that both replicates share (the library, the strains, the sequencing run) counts as signal
here, and the true ceiling is then lower.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import at_least
from dream_keras.scoring.bootstrap import RESAMPLES, Sampled
from dream_keras.scoring.correlator import Correlator, Paired
from dream_keras.scoring.metrics import pearson, why_undefined
from dream_keras.scoring.resampling import correlate_resamples


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
