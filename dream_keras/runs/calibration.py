"""Prediction intervals: split conformal prediction on the validation rows.

The interval of a prediction is mean +- q * scale, where scale is the standard deviation that the
network or ensemble predicts for the row, and q the quantile of |measured - predicted| / scale over
the validation rows. If these and a new row are exchangeable, and the network was not fitted to
them, the interval covers the new measurement with at least the probability asked for (Vovk et al.,
Algorithmic learning in a random world, 2005; scaled by a predicted spread as in Lei et al., Journal
of the American Statistical Association 113, 2018). Rows from elsewhere (designed sequences, another
experiment) are not exchangeable with them.

The epoch with the best validation score is chosen on the same rows; that makes intervals a little
too narrow, by less the more rows there are.
"""

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from dream_keras.common.errors import UserError
from dream_keras.common.files import replacing, sha256
from dream_keras.runs.prediction import Distribution, predict_distribution, progress_bar
from dream_keras.runs.rows import load_validation
from dream_keras.runs.run import TEST_PART, Run
from dream_keras.scoring.card import Coverage, SubsetCoverage
from dream_keras.scoring.suite import Positions, Suite

FILE = "calibration.npz"
SMALLEST = 1e-6
"""Share of the errors' variance that ``Calibration.noise`` is at least."""
ROUNDING = 1e-9
"""Taken off before rounding up: (n + 1) * coverage may exceed a whole number by its last bit."""
ROWS = 20_000
"""Validation rows that are used, at most: a quantile of 90 % is then exact to .4 %."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What turns predicted variances into intervals.

    Attributes:
        noise: Variance of the measurements that no prediction accounts for, (tasks,).
        slope: What the predicted variance is multiplied by, (tasks,), before ``noise`` is added:
            both are those with which the sum fits the squared errors best (non-negative least
            squares), so predicted variances that are too small, or say nothing, do no harm.
        scores: |measured - predicted| / scale of the validation rows, (rows, tasks), each column
            sorted; NaN, at the end, where a label is missing.
    """

    noise: Floats
    slope: Floats
    scores: Floats

    @classmethod
    def fit(cls, measured: Floats, predicted: Distribution) -> "Calibration":
        """Calibrate on rows that were not trained on.

        Args:
            measured: (rows, tasks); NaN where one is missing.
            predicted: Their predictions.

        Examples:
            >>> predicted = Distribution(np.zeros((1, 4, 1)), None)
            >>> fitted = Calibration.fit(np.array([[1.0], [-1.0], [2.0], [0.0]]), predicted)
            >>> low, high = fitted.bounds(predicted, 0.8)
            >>> high[0].tolist()
            [2.0]
        """
        errors = measured - predicted.mean
        fits = [_fit_variance(e, v) for e, v in zip(errors.T, predicted.variance.T, strict=True)]
        noise, slope = np.array(fits).T
        scale = np.sqrt(noise + slope * predicted.variance)
        return cls(noise, slope, np.sort(np.abs(errors) / scale, axis=0))

    def bounds(self, predicted: Distribution, coverage: float) -> tuple[Floats, Floats]:
        """Return lower and upper bounds of measurements, both (rows, tasks).

        Args:
            predicted: Predictions of the rows.
            coverage: Probability with which an interval covers a measurement, 0 to 1.

        Raises:
            UserError: If there were too few validation rows for such a coverage.
        """
        scale = np.sqrt(self.noise + self.slope * predicted.variance)
        radius = self._quantile(coverage) * scale
        return predicted.mean - radius, predicted.mean + radius

    def _quantile(self, coverage: float) -> Floats:
        """Return the conformal quantile of each task: the ceil((n + 1) * coverage)-th score."""
        if not 0 < coverage < 1:
            raise UserError(f"interval={coverage:g}: expected a share between 0 and 1, such as 0.9")
        rows = np.isfinite(self.scores).sum(axis=0)
        ranks = np.ceil((rows + 1) * coverage - ROUNDING).astype(int)
        if (ranks > rows).any():
            needed = math.ceil(coverage / (1 - coverage))
            raise UserError(
                f"interval={coverage:g} needs {needed:,} validation rows or more; there are "
                f"{rows.min():,}. Ask for a smaller interval, or validate on more rows."
            )
        return self.scores[ranks - 1, np.arange(len(rows))]


def _fit_variance(errors: Floats, variances: Floats) -> tuple[float, float]:
    """Return noise and slope of one task: errors^2 ~ noise + slope * variances, neither below 0."""
    known = np.isfinite(errors)
    squares, variances = np.square(errors[known]), variances[known]
    (noise, slope), _ = nnls(np.stack([np.ones_like(variances), variances], axis=1), squares)
    return max(noise, SMALLEST * squares.mean()), slope


def calibrate(run: Run, progress: bool | None = None) -> Calibration:
    """Return the calibration that a run or ensemble keeps, or make it from its validation rows.

    Raises:
        UserError: If the validation rows are not at hand, or the members of an ensemble were
            validated on different ones.
    """
    file, weights = run.folder.path / FILE, _checksum(run)
    if file.exists():
        try:
            with np.load(file) as saved:
                if str(saved["weights"]) == weights:
                    return Calibration(saved["noise"], saved["slope"], saved["scores"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass  # made anew
    parts, labels = [], []
    for member in run.members:
        rows = load_validation(member)
        if len(rows) > ROWS:
            chosen = np.random.default_rng(0).choice(len(rows), ROWS, replace=False)
            rows = rows.take(np.sort(chosen))
        flags = member.processor.validation_flags(rows.flags)
        with progress_bar(progress, len(rows)) as bar:
            parts.append(predict_distribution(member.steps, rows.tokens, bar.update, flags))
        labels.append(rows.labels.astype(np.float64))
    if any(not np.array_equal(labels[0], others, equal_nan=True) for others in labels[1:]):
        raise UserError(
            f"the members of {run.folder} were validated on different rows, so none are new to all "
            "of them: train members on the same rows (train --members N, or data.split_seed)"
        )
    found = Calibration.fit(labels[0], Distribution.of_members(parts))
    with replacing(file) as temporary, temporary.open("wb") as archive:
        np.savez(archive, weights=weights, **vars(found))
    return found


def _checksum(run: Run) -> str:
    return " ".join(sha256(member.folder.best_weights) for member in run.members)


def measure_coverage(
    run: Run, suite: Suite, part: str, coverage: float, progress: bool | None = None
) -> Coverage:
    """Count how many measurements of a suite its intervals cover, subset by subset.

    The intervals of the run's own test rows are calibrated on the validation rows. Other suites
    measure on scales of their own: there the public part's rows give a line from predictions to
    measurements, and the calibration, and the private part is counted.

    Args:
        run: The run or ensemble.
        suite: The suite.
        part: The part of it that is counted, for the run's own test rows.
        coverage: What the intervals are made for, 0 to 1.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Raises:
        UserError: If the suite is not the run's own and has no public part, or there are too few
            rows to calibrate on.
    """
    own = [member.folder.path.resolve() / TEST_PART for member in run.members]
    if Path(suite.source).resolve() in own:
        calibration, calibrated_on = calibrate(run, progress), "the validation rows"
        rows = suite.rows(part)
        predicted = run.predict_suite_rows(suite, rows, progress)
    elif "public" in suite.parts:
        part, calibrated_on = "private", "the public part of the suite, and brought to its scale"
        known, rows = suite.rows("public"), suite.rows(part)
        both = run.predict_suite_rows(suite, np.concatenate([known, rows]), progress)
        both = _on_scale(both, suite.measured[known])
        calibration = Calibration.fit(suite.measured[known], both.take(slice(len(known))))
        predicted = both.take(slice(len(known), None))
    else:
        raise UserError(
            f"{suite.source} may measure on another scale than the labels that {run.folder} was "
            "trained on, and has no public part to calibrate on: intervals are counted for test "
            "rows of the run's own table (train --test)"
        )
    bounds = np.full((2, *suite.measured.shape), np.nan)
    bounds[:, rows] = calibration.bounds(predicted, coverage)
    return Coverage(coverage, part, calibrated_on, _count(suite, part, rows, bounds))


def _on_scale(predicted: Distribution, measured: Floats) -> Distribution:
    """Bring predictions to the scale of measurements, those of their first rows."""
    lines = []
    for mean, column in zip(predicted.mean[: len(measured)].T, measured.T, strict=True):
        known = np.isfinite(column)
        lines.append(np.polyfit(mean[known], column[known], 1))
    slope, offset = np.array(lines).T
    variances = None if predicted.variances is None else predicted.variances * np.square(slope)
    return Distribution(predicted.values * slope + offset, variances)


def _count(suite: Suite, part: str, rows: Positions, bounds: Floats) -> dict[str, SubsetCoverage]:
    """Return the subsets of a ``Coverage``; bounds are (2, rows of the suite, targets)."""
    subsets = {name: (each.positions[part], each.target) for name, each in suite.subsets.items()}
    for number, name in enumerate(suite.targets):
        subsets[f"all {name}" if len(suite.targets) > 1 else "all"] = (rows, number)
    found = {}
    for name, (positions, target) in subsets.items():
        chosen = np.unique(positions)
        chosen = chosen[np.isfinite(suite.measured[chosen, target])]
        low, high = bounds[:, chosen, target]
        measured = suite.measured[chosen, target]
        within = (low <= measured) & (measured <= high)
        share, width = (
            float(np.mean(x)) if len(chosen) else math.nan for x in (within, high - low)
        )
        found[name] = SubsetCoverage(len(chosen), share, width)
    return found
