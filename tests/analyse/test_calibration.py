"""Calibration of predicted distributions against simulated outcomes and closed forms."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm

from dream_keras.analyse.calibration import (
    LEVELS,
    PROBABILITIES,
    by_bin,
    coverage,
    pit_distribution,
    pit_histogram,
    reliability,
    spread,
)

BINS = 18


def distributions(centres, widths):
    """Normal distributions over the bins, (rows, bins)."""
    edges = np.arange(BINS + 1) - 0.5
    edges[0], edges[-1] = -np.inf, np.inf
    points = (edges - np.reshape(centres, (-1, 1))) / np.reshape(widths, (-1, 1))
    return np.diff(norm.cdf(points), axis=1)


def one_hot(outcomes):
    return np.eye(BINS)[outcomes]


def draw(random, probabilities):
    """Draw an outcome of each row."""
    below = np.cumsum(probabilities, axis=1)
    return (random.random((len(below), 1)) > below[:, :-1]).sum(axis=1)


@pytest.fixture
def forecast(random):
    return distributions(random.uniform(4, 13, 300), random.uniform(0.5, 3, 300))


def test_pit_is_the_mean_of_the_randomised_one(random, forecast):
    targets = random.dirichlet(np.ones(BINS), 300)
    at = np.array([0, 0.05, 0.3, 0.5, 0.9, 0.95])
    # The randomised transform: an outcome drawn from the target, a uniform point in its step.
    transformed = []
    for _ in range(300):
        outcome = draw(random, targets)
        rows = np.arange(300)
        below = np.cumsum(forecast, axis=1)[rows, outcome] - forecast[rows, outcome]
        transformed.append(below + random.random(300) * forecast[rows, outcome])
    drawn = np.mean(np.ravel(transformed)[:, None] <= at, axis=0)
    assert pit_distribution(forecast, targets, at) == pytest.approx(drawn, abs=0.01)


def test_pit_of_one_row_by_hand():
    probabilities = np.array([[0.2, 0.5, 0.3]])
    targets = np.array([[0.0, 0.5, 0.5]])
    at = [0.1, 0.2, 0.45, 0.7, 0.85, 1]
    expected = [0, 0, 0.25, 0.5, 0.75, 1]
    assert pit_distribution(probabilities, targets, at) == pytest.approx(expected)


def test_targets_that_are_the_prediction_are_calibrated_exactly(forecast):
    assert pit_histogram(forecast, forecast) == pytest.approx(np.full(10, 0.1))
    covered = coverage(forecast, forecast)
    assert covered["covered"].to_numpy() == pytest.approx(np.array(LEVELS))
    for table in (reliability(forecast, forecast), spread(forecast, forecast)):
        np.testing.assert_allclose(table["predicted"], table["observed"])


def test_outcomes_drawn_from_the_prediction_are_calibrated(random):
    probabilities = distributions(random.uniform(3, 14, 20_000), random.uniform(0.5, 3, 20_000))
    targets = one_hot(draw(random, probabilities))
    assert pit_histogram(probabilities, targets) == pytest.approx(np.full(10, 0.1), abs=0.008)
    covered = coverage(probabilities, targets)["covered"].to_numpy()
    assert covered == pytest.approx(np.array(LEVELS), abs=0.012)
    groups = reliability(probabilities, targets)
    assert groups["observed"].to_numpy() == pytest.approx(groups["predicted"].to_numpy(), abs=0.015)


@pytest.mark.parametrize(
    ("shift", "width", "shape"),
    [(0, 1, "hump"), (0, 4, "ends"), (2, 2, "slope"), (-2, 2, "slope")],
)
def test_faults_have_the_shapes_they_are_said_to_have(random, shift, width, shape):
    """Outcomes of another place or width than predicted, with standard deviation 2."""
    centres = random.uniform(6, 11, 4_000)
    predicted = distributions(centres, np.full(4_000, 2.0))
    came_true = distributions(centres + shift, np.full(4_000, width))
    histogram = pit_histogram(predicted, came_true)
    assert histogram.sum() == pytest.approx(1)
    middle, ends = histogram[4:6].mean(), histogram[[0, -1]].mean()
    covered = coverage(predicted, came_true)
    if shape == "hump":
        assert ends < 0.05 < 0.15 < middle
        assert (covered["covered"] > covered["level"]).all()
    elif shape == "ends":
        assert middle < 0.08 < 0.15 < ends
        assert (covered["covered"] < covered["level"]).all()
    else:  # Outcomes above the prediction have a transform near 1.
        assert (np.diff(histogram) * shift > 0).all()
    groups = spread(predicted, came_true)
    wider = groups["observed"] > groups["predicted"]
    assert wider.all() if shape != "hump" else not wider.any()


def test_bins_of_no_probability_are_surprises():
    probabilities = np.array([[0.0, 1, 0], [0, 1, 0]])
    targets = np.array([[1.0, 0, 0], [0, 0, 1]])
    histogram = pit_histogram(probabilities, targets)
    assert histogram == pytest.approx([0.5, *[0] * 8, 0.5], abs=1e-9)
    assert np.isfinite(histogram).all()


def test_reliability_against_a_loop(random, forecast):
    targets = random.dirichlet(np.ones(BINS), 300)
    expected = []
    for low, high in pairwise(PROBABILITIES):
        inside = (forecast >= low) & ((forecast < high) | (high == 1))
        if inside.any():
            expected.append((forecast[inside].mean(), targets[inside].mean(), inside.sum()))
    table = reliability(forecast, targets)
    np.testing.assert_allclose(table[["predicted", "observed", "n"]].to_numpy(), expected)
    assert table["n"].sum() == forecast.size


def test_spread_against_a_loop(random):
    probabilities = distributions(random.uniform(4, 13, 95), random.uniform(0.5, 3, 95))
    targets = random.dirichlet(np.ones(BINS), 95)
    variances = []
    for predicted, target in zip(probabilities, targets, strict=True):
        mean = sum(p * k for k, p in enumerate(predicted))
        variances.append(
            [sum(p * (k - mean) ** 2 for k, p in enumerate(row)) for row in (predicted, target)]
        )
    variances.sort()
    table = spread(probabilities, targets)
    assert table["n"].tolist() == [10] * 5 + [9] * 5
    first = np.sqrt(np.mean(variances[:10], axis=0))
    assert table.loc[0, ["predicted", "observed"]].to_numpy(float) == pytest.approx(first)
    assert (np.diff(table["predicted"]) > 0).all()


def test_spread_of_fewer_rows_than_groups():
    assert spread(np.full((3, 2), 0.5), np.eye(2)[[0, 1, 1]])["n"].tolist() == [1, 1, 1]


def test_by_bin_is_the_mean(random, forecast):
    targets = random.dirichlet(np.ones(BINS), 300)
    table = by_bin(forecast, targets)
    assert table["bin"].tolist() == list(range(BINS))
    assert table["predicted"].to_numpy() == pytest.approx(forecast.sum(axis=0) / 300)
    assert table["observed"].to_numpy() == pytest.approx(targets.sum(axis=0) / 300)
