"""The library of random promoters and the two ways to measure it."""

import numpy as np
import pytest

from dream_keras.data import alphabet, yeast
from dream_keras.simulate import assay
from dream_keras.simulate.expression import HIGHEST, LOWEST, noise_free_expression

ROWS = 20_000


@pytest.fixture(scope="module")
def library():
    return assay.random_library(ROWS, assay.generator(5, 0))


@pytest.fixture(scope="module")
def expression(library):
    return noise_free_expression(library[0])


def labels_of(expression, seed=7, weights=None):
    rng = np.random.default_rng(seed)
    weights = assay.bin_weights(rng) if weights is None else weights
    return assay.sorted_labels(expression, weights, rng)


def test_streams_differ_and_repeat():
    first = assay.generator(1, 0, 3).random(4)
    np.testing.assert_array_equal(assay.generator(1, 0, 3).random(4), first)
    for other in ((1, 0, 4), (1, 1, 3), (2, 0, 3)):
        assert (assay.generator(*other).random(4) != first).any()


def test_library_stands_between_the_adapters(library):
    tokens, lengths = library
    left, right = alphabet.encode(yeast.LEFT_ADAPTER), alphabet.encode(yeast.RIGHT_ADAPTER)
    assert (tokens[:, -13:] == right).all()
    for row in range(0, ROWS, 97):
        sequence = tokens[row, tokens.shape[1] - lengths[row] :]
        assert (sequence[:17] == left).all()
        assert (tokens[row, : tokens.shape[1] - lengths[row]] == alphabet.N).all()


def test_insert_lengths_are_the_official_ones(library):
    inserts = library[1] - 30
    assert inserts.min() >= 48
    assert 100 <= inserts.max() <= 112
    assert np.mean(inserts == 80) == pytest.approx(0.82, abs=0.012)
    assert np.mean(inserts == 79) == pytest.approx(0.127, abs=0.01)


def test_base_composition_and_unread_bases(library):
    tokens, lengths = library
    usual = tokens[lengths == 110][:, 49:129]
    shares = np.bincount(usual.ravel(), minlength=5) / usual.size
    np.testing.assert_allclose(shares[:4], assay.BASE_SHARES, atol=0.003)
    rows = (usual == alphabet.N).any(axis=1)
    assert np.mean(rows) == pytest.approx(assay.UNREAD_SHARE, abs=0.0015)
    assert (usual[rows] == alphabet.N).sum(axis=1).mean() == pytest.approx(15.6, abs=1.5)


def test_label_distribution(expression):
    labels = labels_of(expression)
    assert np.mean(labels == np.rint(labels)) == pytest.approx(0.58, abs=0.015)
    assert labels.min() >= 0
    assert labels.max() <= 17
    assert {0, 17} <= set(labels)
    assert labels.mean() == pytest.approx(expression.mean(), abs=0.15)
    assert 2.15 < labels.std() < 2.5  # Official sample: 2.35.
    assert 0.75 < np.corrcoef(labels, expression)[0, 1] < 0.88


def test_singletons_are_noisier_than_the_others():
    expression = np.full(30_000, 11.0)
    labels = labels_of(expression)
    whole = labels == np.rint(labels)
    assert labels[whole].std() > 1.1 * labels[~whole].std()
    assert labels.mean() == pytest.approx(11, abs=0.1)


def test_labels_are_the_weighted_mean_of_bins_by_hand(monkeypatch):
    """With two cells per row, one read each, the label is known from the two bins."""
    monkeypatch.setattr(assay, "_cell_shares", lambda: np.array([0.0]))
    monkeypatch.setattr(assay, "EXTRA_READS", 0.0)
    monkeypatch.setattr(assay, "STRAY_CELLS", 0.0)
    monkeypatch.setattr(assay, "CELL_SD", 0.0)
    weights = np.linspace(0.7, 1.4, 18)
    np.testing.assert_array_equal(labels_of(np.array([3.2, 9.0]), weights=weights), [3, 9])
    monkeypatch.setattr(assay, "CELL_SD", 2.0)
    labels = labels_of(np.full(2000, 8.0), weights=weights)
    pairs = {
        round((a * weights[a] + b * weights[b]) / (weights[a] + weights[b]), 9)
        for a in range(18)
        for b in range(18)
    }
    assert {round(float(label), 9) for label in labels} <= pairs
    assert len(set(labels)) > 40
    monkeypatch.setattr(assay, "EXTRA_READS", 2.0)
    labels = labels_of(np.full(2000, 8.0), weights=weights)
    assert not {round(float(label), 9) for label in labels} <= pairs


def test_deep_measurement_is_another_scale_with_little_noise(expression):
    assert assay.deep_scale(np.array([LOWEST, HIGHEST])) == pytest.approx([-1.40, 1.66])
    measured = assay.deep_measurement(expression, np.random.default_rng(3))
    error = measured - assay.deep_scale(expression)
    assert error.mean() == pytest.approx(0, abs=0.003)
    expected = np.hypot(assay.DEEP_SLOPE * assay.CELL_SD / 10, assay.DEEP_FLOOR)
    assert error.std() == pytest.approx(expected, rel=0.03)
    assert np.corrcoef(measured, expression)[0, 1] > 0.99
