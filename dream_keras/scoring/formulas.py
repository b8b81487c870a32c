"""The formulas that turn the correlations of weighted subsets into one score, by name."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Formula(NamedTuple):
    """A weighted mean over the subsets: sum of weight * value / sum of weight.

    Attributes:
        text: The formula as text.
        value: The value from a subset's Pearson r and Spearman rho, numbers or arrays.
    """

    text: str
    value: Callable[[Any, Any], Any]


FORMULAS: Mapping[str, Formula] = {
    "weighted_mean_r2": Formula("r^2", lambda r, rho: r**2),
    "weighted_mean_r": Formula("r", lambda r, rho: r),
    "weighted_mean_rho": Formula("rho", lambda r, rho: rho),
}
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "pearson": ("weighted_mean_r2", "weighted_mean_r"),
    "spearman": ("weighted_mean_rho",),
}
"""The formulas allowed for each of a suite's two scores."""


class Formulas(NamedTuple):
    """The names of the formulas of a suite's two scores."""

    pearson: str
    spearman: str


OFFICIAL = Formulas("weighted_mean_r2", "weighted_mean_rho")
"""The challenge's."""
