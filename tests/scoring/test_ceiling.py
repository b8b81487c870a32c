"""The noise ceiling against simulated replicates whose signal and noise are known."""

import math

import numpy as np
import pytest

from dream_keras.common.errors import UserError
from dream_keras.scoring.ceiling import noise_ceiling
from dream_keras.scoring.metrics import pearson

ROWS = 20_000


def simulated(random, noise, rows=ROWS):
    """The true values, variance 1, and two replicates with noise of this variance."""
    truth = random.normal(size=rows)
    return truth, *(truth + math.sqrt(noise) * random.normal(size=(2, rows)))


@pytest.mark.parametrize("noise", [0.1, 0.5, 4.0])
def test_known_signal_and_noise(random, noise):
    truth, first, second = simulated(random, noise)
    found = noise_ceiling(first, second, resamples=50)
    reliability = 1 / (1 + noise)
    assert found.n == ROWS
    assert found.undefined == ""
    assert found.reliability.estimate == pytest.approx(reliability, abs=0.015)
    assert found.single.estimate == pytest.approx(math.sqrt(reliability), abs=0.02)
    # The mean of two has half the noise.
    assert found.mean.estimate == pytest.approx(1 / math.sqrt(1 + noise / 2), abs=0.02)
    # What a perfect predictor reaches on these very rows, and no other does.
    for replicate in first, second:
        assert pearson(truth, replicate) == pytest.approx(found.single.estimate, abs=0.02)
    assert pearson(truth, first + second) == pytest.approx(found.mean.estimate, abs=0.02)


def test_formulas_and_their_intervals(random):
    _, first, second = simulated(random, 0.5, rows=400)
    found = noise_ceiling(first, second, resamples=300, seed=2)
    r = pearson(first, second)
    assert found.reliability.estimate == r
    assert found.single.estimate**2 == pytest.approx(r)
    assert found.mean.estimate**2 == pytest.approx(2 * r / (1 + r))
    low, high = found.reliability.interval()
    assert low < r < high
    assert found.single.interval() == pytest.approx((math.sqrt(low), math.sqrt(high)), rel=1e-3)
    ends = [math.sqrt(2 * end / (1 + end)) for end in (low, high)]
    assert found.mean.interval() == pytest.approx(ends, rel=1e-3)
    # Fisher's interval of r.
    fisher = [math.tanh(math.atanh(r) + sign * 1.96 / math.sqrt(397)) for sign in (-1, 1)]
    assert (low, high) == pytest.approx(fisher, abs=0.1 * (fisher[1] - fisher[0]))


def test_coverage(random):
    """Most of 60 intervals of the ceiling hold the true one."""
    truth = math.sqrt(1 / 1.5)
    held = 0
    for _ in range(60):
        _, first, second = simulated(random, 0.5, rows=80)
        low, high = noise_ceiling(first, second, resamples=200).single.interval()
        held += low <= truth <= high
    assert held >= 52


def test_replicates_may_change_places_and_scales(random):
    _, first, second = simulated(random, 0.5, rows=300)
    found = noise_ceiling(first, second, resamples=20)
    other = noise_ceiling(5 - 2 * second, 1 - first, resamples=20)
    assert other.mean.estimate == pytest.approx(found.mean.estimate)
    np.testing.assert_allclose(other.mean.values, found.mean.values)


def test_equal_replicates_have_no_noise(random):
    x = random.normal(size=50)
    found = noise_ceiling(x, x, resamples=20)
    for sampled in found.reliability, found.single, found.mean:
        assert sampled.estimate == pytest.approx(1)
        assert sampled.interval() == pytest.approx((1, 1))


def test_opposite_replicates_have_no_ceiling(random):
    x = random.normal(size=50)
    found = noise_ceiling(x, -x, resamples=20)
    assert found.undefined == "the replicates do not correlate positively"
    assert found.reliability.estimate == pytest.approx(-1)
    assert math.isnan(found.single.estimate)
    assert math.isnan(found.mean.estimate)
    assert found.mean.interval() == (0, 0)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ([], [], "fewer than 2 values"),
        ([1], [1], "fewer than 2 values"),
        ([1, 1, 1], [1, 2, 3], "constant measured values"),
        ([1, 2, 3], [2, 2, 2], "constant measured values"),
    ],
)
def test_undefined(first, second, reason):
    found = noise_ceiling(first, second, resamples=4)
    assert found.undefined == reason
    for sampled in found.reliability, found.single, found.mean:
        assert math.isnan(sampled.estimate)
        assert all(map(math.isnan, sampled.interval()))


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ([1, 2], [1, 2, 3], "two equally long vectors"),
        ([1, math.nan], [1, 2], "nan at index 1 of 2"),
    ],
)
def test_refused(first, second, said):
    with pytest.raises(UserError, match=said):
        noise_ceiling(first, second)
