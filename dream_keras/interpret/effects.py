"""Predicted effects of variants: alternative minus reference, and how unusual they are."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dream_keras.interpret.choices import Strand
from dream_keras.interpret.predictor import Floats, Predictor, View, distinct
from dream_keras.interpret.shuffle import dinucleotide_shuffle
from dream_keras.interpret.windows import OK, Placed, Window
from dream_keras.scoring.profiles import jensen_shannon

KNOWN = 200_000
"""Predictions of reference windows that are remembered, so that each is predicted once."""
PROFILE_COLUMNS = ("log2_fold_change", "jsd", "abs_log2_fold_change_x_jsd")
"""Effects on counts and on their profile, for runs that predict profiles."""
ROUNDING = 1e-6
"""Part of a prediction by which two equal effects may differ in float32."""


@dataclass(frozen=True)
class Effects:
    """Predictions for variants; NaN for those that cannot be scored.

    Attributes:
        reference: With the reference allele, (variants, tasks).
        alternative: With the alternative allele, (variants, tasks).
        null_p: Share of neutral surroundings with an effect at least as large, (variants, tasks);
            None if none were asked for.
        spread: Standard deviation of the effect between the members of an ensemble (over n - 1),
            (variants, tasks); None for a single network.
        distance: Jensen-Shannon distance between the predicted profiles of counts of the alleles,
            the mean over windows, (variants, tasks); None where the run predicts none.
    """

    reference: Floats
    alternative: Floats
    null_p: Floats | None = None
    spread: Floats | None = None
    distance: Floats | None = None

    @property
    def delta(self) -> Floats:
        """Alternative minus reference, (variants, tasks)."""
        return self.alternative - self.reference

    @property
    def of_profiles(self) -> list[Floats]:
        """What ``PROFILE_COLUMNS`` are called, each (variants, tasks); none without profiles."""
        if self.distance is None:
            return []
        fold_change = self.delta / np.log(2)  # of predicted counts, whose logarithms these are
        return [fold_change, self.distance, np.abs(fold_change) * self.distance]


class Scorer:
    """Scores variants; each distinct reference window is predicted once, if it has no profile.

    Args:
        predictor: Predicts the windows.
        strand: The strand whose windows are predicted, or both.
        null: Neutral surroundings for each variant: the bases around the alleles, shuffled with
            their dinucleotides kept.
        seed: Seed of the shuffles. Those of a variant depend on this and its number alone.
    """

    def __init__(self, predictor: Predictor, strand: Strand = "+", null: int = 0, seed: int = 0):
        self.predictor = predictor
        self.strand = strand
        self.null = null
        self.seed = seed
        self._known: dict[View, Floats] = {}

    def __call__(self, windows: Sequence[Window], first: int = 0) -> Effects:
        """Score variants.

        Args:
            windows: The variants with their windows.
            first: Number of the first of them among all.
        """
        usable = [number for number, window in enumerate(windows) if window.status == OK]
        views = {number: self._views(windows[number]) for number in usable}
        values, profiles = self._predict(list(views.values()))
        members = len(self.predictor.members) or 1
        each = np.full((2, len(windows), members, len(self.predictor.tasks)), np.nan)
        if usable:
            # (variants, alleles, views, members, tasks): all variants have equally many windows.
            found = [[[values[v] for v in allele] for allele in pair] for pair in views.values()]
            each[:, usable] = np.mean(found, axis=2).swapaxes(0, 1)
        reference, alternative = both = each.mean(axis=2)
        spread = (each[1] - each[0]).std(axis=1, ddof=1) if members > 1 else None
        distance = _distances(views, profiles, reference.shape)
        if not self.null:
            return Effects(reference, alternative, spread=spread, distance=distance)
        p = np.full(reference.shape, np.nan)
        for number in usable:
            neutral = np.abs(self._neutral(windows[number], first + number))
            rounding = ROUNDING * np.abs(both[:, number]).max(axis=0)
            delta = np.abs(alternative[number] - reference[number]) - rounding
            p[number] = (1 + (neutral >= delta).sum(axis=0)) / (1 + self.null)
        p[np.isnan(alternative - reference)] = np.nan
        return Effects(reference, alternative, p, spread, distance)

    def _views(self, window: Window) -> tuple[list[View], list[View]]:
        """Return what is predicted with the reference and with the alternative allele."""
        variant, mark = window.variant, self.predictor.reverse_mark
        marked = bool(mark) and mark in (variant.id + variant.chrom)
        reference, alternative = (
            [
                (sequence, turned != marked)
                for sequence, turned in window.views(allele, self.strand, self.predictor.kept)
            ]
            for allele in (variant.ref, variant.alt)
        )
        return reference, alternative

    def _predict(
        self, views: Sequence[tuple[list[View], list[View]]]
    ) -> tuple[dict[View, Floats], dict[View, Floats] | None]:
        """Predict all windows; those with the reference allele are remembered.

        Returns:
            Values, (members, tasks), and profiles, (tasks, positions), of each window; None where
            there are none. Windows are not remembered with their profiles, which are large.
        """
        references = distinct(view for reference, _ in views for view in reference)
        alternatives = (view for _, alternative in views for view in alternative)
        wanted = distinct([*references, *alternatives])
        if self.predictor.profiles is not None:
            return self._predict_profiles(wanted)
        new = [view for view in wanted if view not in self._known]
        values = dict(zip(new, self.predictor.each(new), strict=True))
        values |= {view: self._known[view] for view in wanted if view in self._known}
        if len(self._known) + len(references) > KNOWN:
            self._known = {}
        self._known |= {view: values[view] for view in references}
        return values, None

    def _predict_profiles(
        self, wanted: list[View]
    ) -> tuple[dict[View, Floats], dict[View, Floats]]:
        """Predict windows with their profiles, the latter as the mean over the members."""
        if not wanted:
            return {}, {}
        members = self.predictor.members or (self.predictor,)
        sequences = [sequence for sequence, _ in wanted]
        each = [member.profiles(sequences) for member in members if member.profiles is not None]
        values = np.stack([values for values, _ in each], axis=1)
        profiles = np.mean([profiles for _, profiles in each], axis=0)
        return (
            dict(zip(wanted, values, strict=True)),
            dict(zip(wanted, profiles, strict=True)),
        )

    def _neutral(self, window: Window, number: int) -> Floats:
        """Return effects of the alleles in shuffled surroundings, (null, tasks)."""
        source = random.Random(f"{self.seed} {number}")
        # Windows that were moved lie in one stretch, which is shuffled as a whole.
        left = max((place.left for place in window.placed), key=len)
        right = max((place.right for place in window.placed), key=len)
        first, last = self.predictor.kept
        first, last = min(first, len(left)), max(len(right) - last, 0)
        groups = []
        for _ in range(self.null):
            before = left[:first] + dinucleotide_shuffle(left[first:], source)
            behind = dinucleotide_shuffle(right[:last], source) + right[last:]
            places = tuple(
                Placed(
                    before[len(before) - len(place.left) :],
                    behind[: len(place.right)],
                    place.length,
                )
                for place in window.placed
            )
            groups.append(self._views(replace(window, placed=places)))
        every = [view for group in groups for allele in group for view in allele]
        values = self.predictor.views(every)
        means = values.reshape(self.null, 2, -1, values.shape[1]).mean(axis=2)
        return means[:, 1] - means[:, 0]


def _distances(
    views: Mapping[int, tuple[list[View], list[View]]],
    profiles: Mapping[View, Floats] | None,
    shape: tuple[int, ...],
) -> Floats | None:
    """Return the mean distance between the alleles' profiles, (variants, tasks), if there are any.

    It is over windows: positions of moved or turned ones are not those of the others.
    """
    if profiles is None:
        return None
    found = np.full(shape, np.nan)
    for number, pair in views.items():
        both = (np.stack([profiles[view] for view in allele]) for allele in pair)
        found[number] = jensen_shannon(*both).mean(axis=0)
    return found


def quantiles(deltas: Floats) -> Floats:
    """Return for each effect the share of all effects that are not larger, (variants, tasks).

    Absolute values count; NaN stays.

    Examples:
        >>> quantiles(np.array([[0.5], [-2.0], [np.nan], [1.0]]))[:, 0].round(2).tolist()
        [0.33, 1.0, nan, 0.67]
    """
    found = np.full(deltas.shape, np.nan)
    for task, column in enumerate(np.abs(deltas).T):
        known = np.isfinite(column)
        ordered = np.sort(column[known])
        found[known, task] = np.searchsorted(ordered, column[known], side="right") / len(ordered)
    return found
