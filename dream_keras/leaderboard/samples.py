"""The bootstrap resamples of one submission, stored with it, and their comparison with others."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dream_keras.leaderboard.entry import Estimate, Scores
from dream_keras.scoring.bootstrap import PairedDifference, Resampled, Sampled, difference

Arrays = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class PairedDifferences:
    """Differences of A and B, in the same groups as ``Scores``; estimates are NaN if undefined."""

    totals: Mapping[str, PairedDifference]
    r2: Mapping[str, PairedDifference]
    rho: Mapping[str, PairedDifference]


@dataclass(frozen=True)
class Samples:
    """The numbers of ``Scores``, each with its value in every resample."""

    totals: Mapping[str, Sampled]
    r2: Mapping[str, Sampled]
    rho: Mapping[str, Sampled]

    @classmethod
    def of(cls, resampled: Resampled) -> "Samples":
        """Take what a leaderboard stores of a bootstrap."""
        subsets = resampled.subsets.items()
        return cls(
            resampled.scores,
            {name: kinds["r2"] for name, kinds in subsets},
            {name: kinds["spearman"] for name, kinds in subsets},
        )

    @classmethod
    def load(cls, scores: Scores, arrays: Arrays) -> "Samples":
        """Put together what ``scores`` and ``arrays`` gave."""
        return cls(
            **{
                kind: {
                    name: Sampled(
                        math.nan if estimate.value is None else estimate.value,
                        arrays[f"{kind}/{name}"],
                    )
                    for name, estimate in estimates.items()
                }
                for kind, estimates in vars(scores).items()
            }
        )

    def scores(self) -> Scores:
        """Return the numbers and their intervals."""
        return Scores(
            **{
                kind: {name: _estimate(sampled) for name, sampled in group.items()}
                for kind, group in vars(self).items()
            }
        )

    def arrays(self) -> Arrays:
        """Return the values of all resamples, shape (resamples,) each; float32 is exact enough."""
        return {
            f"{kind}/{name}": sampled.values.astype(np.float32)
            for kind, group in vars(self).items()
            for name, sampled in group.items()
        }

    @property
    def resamples(self) -> int:
        """How many resamples there are."""
        return len(next(iter(self.totals.values())).values)

    def against(self, other: "Samples") -> PairedDifferences:
        """Compare with another set of predictions of the same suite and part.

        Resample k is the same for all predictions, so that of two unequal numbers of resamples the
        smaller one is used.
        """
        resamples = min(self.resamples, other.resamples)
        ours, theirs = self.first(resamples), other.first(resamples)
        return PairedDifferences(
            **{
                kind: {
                    name: difference(sampled, getattr(theirs, kind)[name])
                    for name, sampled in group.items()
                }
                for kind, group in vars(ours).items()
            }
        )

    def first(self, resamples: int) -> "Samples":
        """Keep only the first resamples, in float32 like those that were stored."""
        return Samples(
            **{
                kind: {
                    name: Sampled(sampled.estimate, sampled.values[:resamples].astype(np.float32))
                    for name, sampled in group.items()
                }
                for kind, group in vars(self).items()
            }
        )


def _estimate(sampled: Sampled) -> Estimate:
    numbers = (sampled.estimate, *sampled.interval())
    return Estimate(*(None if math.isnan(number) else float(number) for number in numbers))
