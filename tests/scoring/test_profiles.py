"""Metrics of profiles, against the published numbers and scipy."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from dream_keras.scoring.profiles import jensen_shannon, multinomial_losses, score_regions
from dream_keras.scoring.region_card import baselines, bootstrap_regions


def scores(arrays):
    return score_regions(arrays["true_counts"], arrays["logits"], arrays["logcounts_pred"][:, 0])


def test_scores_equal_the_published_ones(golden):
    arrays, _ = golden("loss_atac")
    found = scores(arrays)
    np.testing.assert_allclose(found.losses, arrays["nll_rows"], rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(found.distances, arrays["jsd_rows"], rtol=1e-6)
    np.testing.assert_allclose(found.normalised, arrays["jsd_norm_rows"], rtol=1e-5, atol=1e-9)
    summary = found.summary()
    assert summary["jsd"] == pytest.approx(float(arrays["jsd_median"]), rel=1e-6)
    assert summary["normalised_jsd"] == pytest.approx(float(arrays["jsd_norm_median"]), rel=1e-5)
    assert summary["pearson"] == pytest.approx(float(arrays["counts_pearson"]), rel=1e-6)
    assert summary["spearman"] == pytest.approx(float(arrays["counts_spearman"]))
    assert summary["mse"] == pytest.approx(float(arrays["mse"]), rel=1e-6)
    for weight, total in zip(arrays["counts_weight"], arrays["total"], strict=True):
        assert found.loss(float(weight)) == pytest.approx(float(total), rel=1e-6)


def test_distances_are_scipys(random):
    first, second = random.random((5, 8)), random.random((5, 8))
    want = [jensenshannon(p, q) for p, q in zip(first, second, strict=True)]
    np.testing.assert_allclose(jensen_shannon(first, second), want)
    np.testing.assert_allclose(jensen_shannon(second, first), want)
    np.testing.assert_allclose(jensen_shannon(first, 3 * first), 0, atol=1e-7)


def test_regions_without_counts_have_no_distance():
    counts = np.array([[0, 0], [3, 1]], np.uint16)
    found = score_regions(counts, np.zeros((2, 2)), np.zeros(2))
    assert np.isnan(found.distances[0])
    assert found.losses[0] == 0
    assert found.summary()["jsd"] == found.distances[1]
    assert found.take(np.array([0])).summary()["jsd"] != found.distances[1]


def test_a_perfect_profile_is_the_most_likely(random):
    counts = random.poisson(5, (4, 10)) + 1
    best = multinomial_losses(counts, np.log(counts))
    assert (
        best < multinomial_losses(counts, np.log(counts) + random.normal(0, 0.3, (4, 10)))
    ).all()
    assert (score_regions(counts, np.log(counts), np.zeros(4)).normalised > 0.999).all()


def test_intervals_and_baselines_of_regions(random):
    rates = random.uniform(1, 9, (60, 30))
    first, second = random.poisson(rates), random.poisson(rates)
    counts = first + second
    scores = score_regions(counts, np.log(rates), np.log1p(counts.sum(axis=1)))
    intervals = bootstrap_regions(scores, 200, seed=1)
    draws = [
        np.median(scores.distances[np.random.default_rng(seed).integers(0, 60, 60)])
        for seed in range(200)
    ]
    np.testing.assert_allclose(intervals["jsd"], np.percentile(draws, [2.5, 97.5]), atol=0.004)
    assert intervals["mse"] == (0, 0)
    found = baselines(counts, (first, second))
    assert found["shuffled_jsd"] > found["replicate_jsd"] > scores.summary()["jsd"]
    assert set(baselines(counts, None)) == {"shuffled_jsd"}
    want = np.corrcoef(*(np.log1p(each.sum(axis=1)) for each in (first, second)))[0, 1]
    assert found["replicate_pearson"] == pytest.approx(want)
