"""Correlations against scipy, closed forms and their symmetries; the scores by hand."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from dream_keras.common.errors import UserError
from dream_keras.scoring.card import Interval, Intervals, ScoreCard, SubsetScore
from dream_keras.scoring.metrics import pearson, score, score_subset, spearman
from dream_keras.scoring.suite import Subset, Suite, load_suite

CORRELATIONS = [pearson, spearman]
EXPECTED = {pearson: scipy.stats.pearsonr, spearman: scipy.stats.spearmanr}


@st.composite
def two_vectors(draw):
    """Two vectors of small whole numbers, many of them tied, neither constant."""
    n = draw(st.integers(2, 30))
    vector = st.lists(st.integers(-20, 20), min_size=n, max_size=n).filter(lambda v: len({*v}) > 1)
    return np.array(draw(vector), float), np.array(draw(vector), float)


@pytest.mark.parametrize("correlation", CORRELATIONS)
@given(vectors=two_vectors())
def test_agrees_with_scipy(correlation, vectors):
    expected = EXPECTED[correlation](*vectors).statistic
    assert correlation(*vectors) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_agrees_with_scipy_on_many_rows(correlation, random):
    x = random.normal(size=20_000)
    y = np.round(x + random.normal(size=20_000), 1)
    expected = EXPECTED[correlation](x, y).statistic
    assert correlation(x, y) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize(
    ("x", "y", "r", "rho"),
    [
        ([1, 2, 3], [10, 20, 30], 1, 1),
        ([1, 2, 3], [3, 2, 1], -1, -1),
        ([0, 1], [5, 7], 1, 1),
        ([1, 2, 3], [1, 3, 2], 1 / 2, 1 / 2),
        ([-1, 0, 1], [1, 0, 1], 0, 0),
        ([0, 0, 1, 1], [0, 1, 0, 1], 0, 0),
        # Centred: (-1, -1, 2) . (-1, 0, 1) = 3, norms sqrt(6) and sqrt(2); so are the ranks.
        ([0, 0, 3], [1, 2, 3], 3 / math.sqrt(12), 3 / math.sqrt(12)),
        # 1, 4, 9 against 1, 2, 3: centred dot product 8, squared norms 98 / 3 and 2.
        ([1, 4, 9], [1, 2, 3], 8 / math.sqrt(196 / 3), 1),
        # Ranks 1.5, 1.5, 3.5, 3.5 against 1, 2, 3, 4: 4 / sqrt(4 * 5).
        ([7, 7, 8, 8], [1, 2, 3, 4], 2 / math.sqrt(5), 2 / math.sqrt(5)),
    ],
)
def test_closed_forms(x, y, r, rho):
    assert pearson(x, y) == pytest.approx(r, abs=1e-15)
    assert spearman(x, y) == pytest.approx(rho, abs=1e-15)


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize(
    ("predicted", "measured", "reason"),
    [
        ([], [], "fewer than 2 values"),
        ([1], [1], "fewer than 2 values"),
        ([0.1] * 7, range(7), "constant predictions"),
        (range(7), [0.1] * 7, "constant measured values"),
    ],
)
def test_undefined(correlation, predicted, measured, reason):
    predicted, measured = np.array(predicted, float), np.array(measured, float)
    assert math.isnan(correlation(predicted, measured))
    card = score_subset(predicted, measured)
    assert card.undefined == reason
    assert card.n == len(predicted)
    assert math.isnan(card.pearson)
    assert math.isnan(card.r2)
    assert math.isnan(card.spearman)


@given(two_vectors(), st.integers(1, 9), st.integers(-9, 9))
def test_pearson_ignores_scale_and_shift(vectors, scale, shift):
    x, y = vectors
    assert pearson(scale * x + shift, y) == pytest.approx(pearson(x, y), abs=1e-12)
    assert pearson(x, scale * y + shift) == pytest.approx(pearson(x, y), abs=1e-12)


@given(two_vectors())
def test_spearman_ignores_increasing_functions(vectors):
    x, y = vectors
    assert spearman(np.exp(x), y**3) == spearman(x, y)


@pytest.mark.parametrize("correlation", CORRELATIONS)
@given(vectors=two_vectors())
def test_symmetries(correlation, vectors):
    x, y = vectors
    value = correlation(x, y)
    assert -1 <= value <= 1
    assert correlation(x, x) == pytest.approx(1, abs=1e-15)
    assert correlation(y, x) == pytest.approx(value, abs=1e-15)
    assert correlation(-x, y) == pytest.approx(-value, abs=1e-14)
    assert correlation(x[::-1], y[::-1]) == pytest.approx(value, abs=1e-14)


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e-160, 1e160, 1e307])
def test_tiny_and_huge_values(scale):
    assert pearson(scale * np.array([1, 2, 4]), [1, 2, 4]) == pytest.approx(1, abs=1e-15)


def test_neighbouring_floats():
    """The mean of 1 and the next float is not a float."""
    assert pearson([1, np.nextafter(1, 2)], [0, 1]) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize(
    ("predicted", "measured", "said"),
    [
        ([1, 2], [1, 2, 3], "two equally long vectors"),
        ([[1, 2]], [[1, 2]], "two equally long vectors"),
        ([1, math.nan, math.inf], [1, 2, 3], "predicted value nan at index 1 of 3"),
        ([1, 2, 3], [1, 2, -math.inf], "measured value -inf at index 2 of 3"),
    ],
)
def test_correlations_refuse(correlation, predicted, measured, said):
    with pytest.raises(UserError, match=said):
        correlation(predicted, measured)


def test_scores_by_hand():
    card = ScoreCard(
        "all",
        {
            "one": SubsetScore(1.0, 5, pearson=-0.5, spearman=-0.6),
            "two": SubsetScore(0.25, 5, pearson=0.8, spearman=0.4),
            "none": SubsetScore(0.75, 1, math.nan, math.nan, "fewer than 2 values"),
        },
    )
    assert card.total_weight == 2
    assert card.pearson_score == pytest.approx((1 * 0.25 + 0.25 * 0.64) / 2)
    assert card.spearman_score == pytest.approx((1 * -0.6 + 0.25 * 0.4) / 2)
    assert card.to_dict() == {
        "part": "all",
        "pearson_score": card.pearson_score,
        "spearman_score": card.spearman_score,
        "subsets": {
            "one": {"n": 5, "pearson": -0.5, "r2": 0.25, "spearman": -0.6},
            "two": {"n": 5, "pearson": 0.8, "r2": pytest.approx(0.64), "spearman": 0.4},
            "none": {"n": 1, "pearson": None, "r2": None, "spearman": None},
        },
    }


def test_intervals_as_plain_data():
    kinds = {"pearson": Interval(-1, 1), "r2": Interval(0, 1), "spearman": Interval(-0.5, 0.5)}
    nothing = dict.fromkeys(kinds, Interval(math.nan, math.nan))
    subsets = {"one": SubsetScore(1.0, 5, 0.5, 0.25), "none": SubsetScore(1.0, 0, 0, 0, "no")}
    scores = {"pearson_score": Interval(0.1, 0.2), "spearman_score": Interval(0.3, 0.4)}
    undefined = {"one": 0.25, "none": 1.0}
    intervals = Intervals(0.9, 50, 7, scores, {"one": kinds, "none": nothing}, undefined)
    assert "bootstrap" not in ScoreCard("all", subsets).to_dict()
    assert ScoreCard("all", subsets, intervals=intervals).to_dict()["bootstrap"] == {
        "level": 0.9,
        "resamples": 50,
        "seed": 7,
        "pearson_score": [0.1, 0.2],
        "spearman_score": [0.3, 0.4],
        "subsets": {
            "one": {"pearson": [-1, 1], "r2": [0, 1], "spearman": [-0.5, 0.5], "undefined": 0.25},
            "none": {"pearson": None, "r2": None, "spearman": None, "undefined": 1.0},
        },
    }


def changed_subsets(suite, predictions, rows, part):
    """The subsets whose scores change when the predictions of some rows do."""
    changed = predictions.copy()
    changed[rows] = np.random.default_rng(0).normal(size=len(rows))
    before, after = (score(suite, values, part).subsets for values in (predictions, changed))
    return {name for name in before if before[name] != after[name]}


def test_public_rows_in_the_private_part(suite_files):
    """No single subset has any; pair subsets may, as only the public pairs are dropped."""
    suite = load_suite(suite_files.folder)
    public, private = suite.rows("public"), suite.subsets["all"].positions["private"]
    assert not set(public) & set(private)
    assert changed_subsets(suite, suite_files.predictions, public, "private") == {
        "SNVs",
        "motif_perturbation",
        "motif_tiling",
    }
    assert changed_subsets(suite, suite_files.predictions, private, "public") == set()
    for subset in suite.subsets.values():
        entries = [{*map(str, subset.positions[part])} for part in ("private", "public")]
        assert not entries[0] & entries[1]


@pytest.mark.parametrize("part", ["private", "public", "all"])
def test_score_of_a_suite(suite_files, part):
    suite = load_suite(suite_files.folder)
    card = score(suite, suite_files.predictions, part)
    weights = {name: subset.weight for name, subset in card.subsets.items()}
    assert weights == {
        "all": 1,
        "high": 0.3,
        "low": 0.3,
        "yeast": 0.3,
        "random": 0.3,
        "challenging": 0.5,
        "SNVs": 1.25,
        "motif_perturbation": 0.3,
        "motif_tiling": 0.4,
    }
    assert card.total_weight == pytest.approx(4.65, abs=1e-15)
    r = {name: subset.pearson for name, subset in card.subsets.items()}
    rho = {name: subset.spearman for name, subset in card.subsets.items()}
    fifth = r["high"] ** 2 + r["low"] ** 2 + r["yeast"] ** 2 + r["random"] ** 2
    fifth += r["motif_perturbation"] ** 2
    by_hand = r["all"] ** 2 + 0.3 * fifth + 0.5 * r["challenging"] ** 2
    by_hand += 1.25 * r["SNVs"] ** 2 + 0.4 * r["motif_tiling"] ** 2
    assert card.pearson_score == pytest.approx(by_hand / 4.65, abs=1e-14)
    by_hand = sum(weights[name] * rho[name] for name in weights)
    assert card.spearman_score == pytest.approx(by_hand / 4.65, abs=1e-14)


def test_perfect_and_opposite_predictions(suite_files):
    suite = load_suite(suite_files.folder)
    perfect = score(suite, 3 * suite.measured + 7)
    opposite = score(suite, -suite.measured)
    assert (perfect.pearson_score, perfect.spearman_score) == pytest.approx((1, 1))
    assert (opposite.pearson_score, opposite.spearman_score) == pytest.approx((1, -1))


def test_constant_predictions_score_zero(suite_files):
    card = score(load_suite(suite_files.folder), np.full(300, 0.1))
    assert (card.pearson_score, card.spearman_score) == (0, 0)
    assert {subset.undefined for subset in card.subsets.values()} == {"constant predictions"}


def test_swapping_alt_and_ref_leaves_pair_correlations(suite_files):
    suite = load_suite(suite_files.folder)
    swapped = Suite(
        suite.source,
        suite.sequences,
        suite.measured,
        {
            name: Subset(s.weight, {part: p[:, ::-1] for part, p in s.positions.items()})
            for name, s in suite.subsets.items()
            if s.is_pairs
        },
    )
    before = score(suite, suite_files.predictions).subsets
    after = score(swapped, suite_files.predictions).subsets
    assert len(after) == 3
    for name, subset in after.items():
        assert subset.pearson == pytest.approx(before[name].pearson, abs=1e-14)
        assert subset.spearman == pytest.approx(before[name].spearman, abs=1e-14)
    values = suite_files.predictions
    assert (swapped.subsets["SNVs"].pick(values, "all") < 0).any()
    np.testing.assert_array_equal(
        swapped.subsets["SNVs"].pick(values, "all"), -suite.subsets["SNVs"].pick(values, "all")
    )


@pytest.mark.parametrize("part", ["private", "public"])
def test_rows_that_the_part_does_not_need_may_be_nan(suite_files, part):
    suite = load_suite(suite_files.folder)
    needed = suite.rows(part)
    assert 0 < len(needed) < 300
    sparse = np.full(300, np.nan)
    sparse[needed] = suite_files.predictions[needed]
    assert score(suite, sparse, part) == score(suite, suite_files.predictions, part)
    for row in needed:
        broken = sparse.copy()
        broken[row] = np.inf
        with pytest.raises(UserError, match=rf"not finite numbers: position {row} \(inf\)\.$"):
            score(suite, broken, part)


def test_first_rows_that_are_not_finite_are_named(suite_files):
    suite = load_suite(suite_files.folder)
    predictions = suite_files.predictions.copy()
    predictions[[3, 5, 8, 13, 21]] = np.nan
    with pytest.raises(
        UserError, match=r"position 3 \(nan\), position 5 \(nan\), position 8 \(nan\) and 2 more\."
    ):
        score(suite, predictions, "all")


@pytest.mark.parametrize("shape", [(299,), (300, 2), ()])
def test_wrong_shape(suite_files, shape):
    with pytest.raises(UserError, match=r"predictions have shape .*\(300, 1\)"):
        score(load_suite(suite_files.folder), np.zeros(shape))


def test_unknown_part(suite_files):
    with pytest.raises(UserError, match=r'unknown part "privat"\. Did you mean "private"'):
        score(load_suite(suite_files.folder), suite_files.predictions, "privat")
