"""Predicted effects of variants: alternative minus reference, and how unusual they are."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dream_keras.interpret.predictor import Floats, Predictor, distinct
from dream_keras.interpret.shuffle import dinucleotide_shuffle
from dream_keras.interpret.windows import OK, Placed, Strand, Window

KNOWN = 200_000
"""Predictions of reference windows that are remembered, so that each is predicted once."""


@dataclass(frozen=True)
class Effects:
    """Predictions for variants; NaN for those that cannot be scored.

    Attributes:
        reference: With the reference allele, (variants, tasks).
        alternative: With the alternative allele, (variants, tasks).
        null_p: Share of neutral surroundings with an effect at least as large, (variants, tasks);
            None if none were asked for.
    """

    reference: Floats
    alternative: Floats
    null_p: Floats | None = None

    @property
    def delta(self) -> Floats:
        """Alternative minus reference, (variants, tasks)."""
        return self.alternative - self.reference


class Scorer:
    """Scores variants; each distinct reference window is predicted once.

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
        self._known: dict[str, Floats] = {}

    def __call__(self, windows: Sequence[Window], first: int = 0) -> Effects:
        """Score variants.

        Args:
            windows: The variants with their windows.
            first: Number of the first of them among all.
        """
        usable = [number for number, window in enumerate(windows) if window.status == OK]
        views = {
            number: (
                windows[number].sequences(windows[number].variant.ref, self.strand),
                windows[number].sequences(windows[number].variant.alt, self.strand),
            )
            for number in usable
        }
        values = self._predict(views.values())
        shape = (len(windows), len(self.predictor.tasks))
        both = np.full((2, *shape), np.nan)
        for number in usable:
            for allele in (0, 1):
                both[allele, number] = np.mean([values[s] for s in views[number][allele]], axis=0)
        reference, alternative = both
        if not self.null:
            return Effects(reference, alternative)
        larger = np.full(shape, np.nan)
        for number in usable:
            effects = np.abs(self._neutral(windows[number], first + number))
            delta = np.abs(alternative[number] - reference[number])
            larger[number] = (effects >= delta).sum(axis=0)
        return Effects(reference, alternative, (larger + 1) / (self.null + 1))

    def _predict(self, views: Iterable[tuple[list[str], list[str]]]) -> dict[str, Floats]:
        """Predict all windows, remembering those with the reference allele."""
        views = list(views)
        references = distinct(sequence for reference, _ in views for sequence in reference)
        wanted = distinct(
            [*references, *(sequence for _, alternative in views for sequence in alternative)]
        )
        new = [sequence for sequence in wanted if sequence not in self._known]
        found = dict(zip(new, self.predictor(new), strict=True))
        if len(self._known) + len(references) > KNOWN:
            kept = {s: self._known[s] for s in wanted if s in self._known}
            self._known = kept
        values = {s: found[s] if s in found else self._known[s] for s in wanted}
        self._known |= {sequence: values[sequence] for sequence in references}
        return values

    def _neutral(self, window: Window, number: int) -> Floats:
        """Return effects of the alleles in shuffled surroundings, (null, tasks)."""
        source = random.Random(f"{self.seed} {number}")
        place = window.placed[len(window.placed) // 2]
        first, last = self.predictor.ends
        left = len(first) if place.left.startswith(first) else 0
        right = len(place.right) - (len(last) if place.right.endswith(last) else 0)
        shuffled = [
            replace(
                window,
                placed=(
                    Placed(
                        place.left[:left] + dinucleotide_shuffle(place.left[left:], source),
                        dinucleotide_shuffle(place.right[:right], source) + place.right[right:],
                        place.length,
                    ),
                ),
            )
            for _ in range(self.null)
        ]
        sequences = [
            each.sequences(allele, self.strand)
            for allele in (window.variant.ref, window.variant.alt)
            for each in shuffled
        ]
        views = len(sequences[0])
        values = self.predictor([sequence for group in sequences for sequence in group])
        means = values.reshape(2, self.null, views, -1).mean(axis=2)
        return means[1] - means[0]


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
