"""Effects of the choices on the score: an additive fit to the trials."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dream_keras.search.space import Answers, Choose

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """Effects of the answers to one question on the score.

    Attributes:
        question: The question.
        labels: Its answers.
        change: (labels,): what each adds to the mean; they sum to zero over the answers that were
            tried. NaN where the trials do not determine it.
        spread: (labels,): standard deviation of ``change`` over the repeats; NaN with one.
        trials: (labels,): trials with each answer.
    """

    question: Choose
    labels: list[str]
    change: Floats
    spread: Floats
    trials: npt.NDArray[np.int64]


def main_effects(
    questions: Sequence[Choose], answers: Sequence[Answers], scores: npt.ArrayLike
) -> tuple[float, list[Effect]]:
    """Fit score = mean + one term per answer, by least squares.

    When every combination was run this is the mean of an answer's trials minus the mean of all.
    When some are missing it still adjusts for the other choices, as far as the trials allow. A
    question that is asked under one choice only adds nothing elsewhere.

    Args:
        questions: Those with a list of answers.
        answers: One per trial.
        scores: (trials, repeats).

    Returns:
        The mean, and one effect per question.

    Examples:
        >>> first = Choose("first", (), (), {"bhi": "bhi", "autosome": "autosome"}, False, ())
        >>> answers = [{"first": "bhi"}, {"first": "autosome"}]
        >>> mean, (effect,) = main_effects([first], answers, [[0.8], [0.6]])
        >>> round(mean, 4), effect.change.round(4).tolist()
        (0.7, [0.1, -0.1])
    """
    values = np.atleast_2d(np.asarray(scores, np.float64))
    codes = [_codes(question, answers) for question in questions]
    design = np.hstack([np.ones((len(answers), 1)), *(rows for rows, _, _ in codes)])
    inverse = np.linalg.pinv(design)
    fitted = inverse @ values
    # A combination of coefficients is estimable if it lies in the row space of the design.
    told = inverse @ design
    effects = []
    column = 1
    for question, (rows, contrast, counts) in zip(questions, codes, strict=True):
        width = rows.shape[1]
        combinations = np.zeros((len(contrast), design.shape[1]))
        combinations[:, column : column + width] = contrast
        column += width
        known = np.abs(combinations @ told - combinations).max(axis=1) < 1e-8
        per_repeat = np.where(known[:, None], combinations @ fitted, np.nan)
        change = np.full(len(counts), np.nan)
        spread = np.full(len(counts), np.nan)
        change[counts > 0] = per_repeat.mean(axis=1)
        if values.shape[1] > 1:
            spread[counts > 0] = per_repeat.std(axis=1, ddof=1)
        effects.append(Effect(question, list(question.options), change, spread, counts))
    return float(fitted[0].mean()), effects


def _codes(
    question: Choose, answers: Sequence[Answers]
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Code a question's answers so that their terms sum to zero.

    Returns:
        The trials' rows of the design (zeros where it was not asked), what each answer that was
        tried makes of the coefficients, and how many trials each answer has.
    """
    labels = list(question.options)
    given = np.array(
        [labels.index(a[question.name]) if question.name in a else -1 for a in answers]
    )
    counts = np.bincount(given[given >= 0], minlength=len(labels))
    tried = np.flatnonzero(counts)
    width = max(len(tried) - 1, 0)
    contrast = np.vstack([np.eye(width), np.full((1, width), -1.0)])[: len(tried)]
    place = np.full(len(labels) + 1, -1)
    place[tried] = np.arange(len(tried))
    rows = (
        np.where((given >= 0)[:, None], contrast[place[given]], 0.0)
        if len(tried)
        else (np.zeros((len(answers), 0)))
    )
    return rows, contrast, counts
