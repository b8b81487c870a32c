"""The bootstrap against resamples written out, closed forms, and its symmetries."""

import hashlib
import itertools
import math
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dream_keras.common.errors import UserError
from dream_keras.scoring.bootstrap import Sampled, bootstrap, compare, difference, ranks
from dream_keras.scoring.correlator import WIDTH, Correlator, Paired
from dream_keras.scoring.metrics import score, score_subset
from dream_keras.scoring.resampling import Draws, design
from dream_keras.scoring.suite import Subset, Suite, load_suite

NORMAL_95 = 1.959964
GOLDEN = Path(__file__).parents[1] / "golden" / "resamples.npz"
GOLDEN_DRAWS = "011a7846605654d2310d8f7766b94cee9301ede18315433e7a8e5541d55f9ed6"


def make_suite(measured, singles=None, pairs=None, weight=1.0):
    """A suite in memory with only the part "all"."""
    members = (singles or {}) | (pairs or {})
    subsets = {name: Subset(weight, {"all": np.array(p)}) for name, p in members.items()}
    return Suite("memory", [""] * len(measured), np.asarray(measured, float)[:, None], subsets)


def draw_counts(sizes, seed, resample):
    """How often each unit is drawn, by numpy's own generator."""
    random = np.random.default_rng((seed, resample))
    drawn = [random.integers(size, size=size) for size in sizes if size]
    pairs = zip(drawn, [size for size in sizes if size], strict=True)
    return np.concatenate([np.bincount(units, minlength=size) for units, size in pairs])


def correlate(x, y, counts):
    """r and rho of members that are drawn ``counts`` times."""
    padded = np.zeros((len(x) + 1, WIDTH), np.uint8)
    padded[:-1] = np.asarray(counts)[:, None]
    found = Correlator({"": Paired(x, y, np.arange(len(x)))}, len(x))(padded)
    return found[:, 0, WIDTH - 1]


def written_out(suite, part, seed, resample):
    """The same suite, each member repeated as often as it was drawn."""
    sizes, units = design(suite, part)
    counts = draw_counts(sizes, seed, resample)
    subsets = {
        name: replace(
            subset,
            positions=subset.positions
            | {part: np.repeat(subset.positions[part], counts[units[name]], axis=0)},
        )
        for name, subset in suite.subsets.items()
    }
    return replace(suite, subsets=subsets)


def assert_same_as_written_out(suite, predictions, part, resamples, seed=3):
    found = bootstrap(suite, predictions, part, resamples, seed)
    for resample in range(resamples):
        card = score(written_out(suite, part, seed, resample), predictions, part)
        for name, sampled in found.scores.items():
            assert sampled.values[resample] == pytest.approx(getattr(card, name), abs=1e-12)
        for name, subset in card.subsets.items():
            for kind, sampled in found.subsets[name].items():
                expected = pytest.approx(getattr(subset, kind), abs=1e-12, nan_ok=True)
                assert sampled.values[resample] == expected, (name, kind)
    return found


@pytest.mark.parametrize("part", ["private", "public", "all"])
@pytest.mark.parametrize("decimals", [6, 0])
def test_each_resample_is_scored_like_the_rows_written_out(suite_files, part, decimals):
    """With whole numbers both predictions and differences tie often."""
    suite = load_suite(suite_files.folder)
    assert_same_as_written_out(suite, suite_files.predictions.round(decimals), part, 11)


def test_tied_measured_values_and_undefined_resamples(random):
    measured = random.integers(0, 3, 12).astype(float)
    predictions = random.integers(0, 2, 12).astype(float)
    singles = {"all": range(12), "three": [0, 1, 2], "two": [3, 4]}
    pairs = {"pairs": [(0, 5), (1, 6), (2, 7)]}
    suite = make_suite(measured, singles, pairs)
    found = assert_same_as_written_out(suite, predictions, "all", 60)
    undefined = [np.isnan(found.subsets[name]["r2"].values).sum() for name in suite.subsets]
    assert max(undefined) > 0
    assert min(undefined) < 60


def test_several_targets(random):
    measured = random.normal(size=(40, 2))
    subsets = {
        name: Subset(1.0, {"all": np.arange(target, 40)}, target=target)
        for target, name in enumerate(["first", "second"])
    }
    suite = Suite("memory", [""] * 40, measured, subsets, targets=("one", "two"))
    assert_same_as_written_out(suite, measured + random.normal(size=(40, 2)), "all", 9)


@given(st.data())
def test_correlations_of_weighted_members(data):
    n = data.draw(st.integers(1, 12))
    numbers = st.lists(st.integers(-3, 3), min_size=n, max_size=n)
    x, y = (np.array(data.draw(numbers), float) for _ in range(2))
    counts = np.array(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
    r, rho = correlate(x, y, counts)
    expected = score_subset(np.repeat(x, counts), np.repeat(y, counts))
    assert r == pytest.approx(expected.pearson, abs=1e-12, nan_ok=True)
    assert rho == pytest.approx(expected.spearman, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("most", [3, 255])
@pytest.mark.parametrize("n", [63, 64, 65, 5000])
@pytest.mark.parametrize("values", [2, 40, 10**6])
def test_columns_chunks_and_large_counts(random, values, n, most):
    """Members around the height of the table and more than a chunk; a count fills its byte."""
    x, y = random.integers(0, values, (2, n)).astype(float)
    counts = random.integers(0, most + 1, n)
    counts[:2] = most
    r, rho = correlate(x, y, counts)
    expected = score_subset(np.repeat(x, counts), np.repeat(y, counts))
    assert r == pytest.approx(expected.pearson, abs=1e-12)
    assert rho == pytest.approx(expected.spearman, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e150])
@pytest.mark.parametrize("gap", [1e-3, 1e-9, 1e-13])
def test_an_outlier_that_is_not_drawn(scale, gap):
    """Without it the rest is all but constant next to what it was centred on."""
    x = scale * np.array([1, 1 + gap, 1 + 3 * gap, 1e6])
    y = np.array([0.0, 2, 1, 5])
    counts = np.array([2, 1, 1, 0])
    r, _ = correlate(x, y, counts)
    expected = score_subset(np.repeat(x, counts), np.repeat(y, counts))
    assert r == pytest.approx(expected.pearson, abs=1e-12)


def test_what_is_drawn(suite_files):
    suite = load_suite(suite_files.folder)
    for part in suite.parts:
        sizes, units = design(suite, part)
        firsts = np.cumsum((0, *sizes)).tolist()
        singles = [s.positions[part] for s in suite.subsets.values() if not s.is_pairs]
        rows = sorted({row for positions in singles for row in positions.tolist()})
        pairs = [s.positions[part] for s in suite.subsets.values() if s.is_pairs]
        assert sizes == (len(rows), *map(len, pairs))
        ranges = [list(range(*edges)) for edges in itertools.pairwise(firsts)]
        for name, subset in suite.subsets.items():
            if subset.is_pairs:
                assert units[name].tolist() == ranges.pop(1)
            else:
                drawn = [rows[unit] for unit in units[name]]
                assert drawn == subset.positions[part].tolist()
        assert len(ranges) == 1


# Above 2^16 units numpy refuses a number now and then, of a million hundreds.
@pytest.mark.parametrize("sizes", [(500, 0, 1, 200), (0, 3), (62_058, 39_670), (1_000_003, 7)])
def test_draws_are_those_of_numpy(sizes):
    draws = Draws(sizes)
    for start in 0, 9, 0:
        counts = draws(4, start)
        assert not counts[-1].any()
        for column in 0, WIDTH - 1:
            expected = draw_counts(sizes, 4, start + column)
            np.testing.assert_array_equal(counts[:-1, column], expected)


def test_draws_stay_as_they_are():
    """What leaderboards have stored was drawn like this, whatever numpy does next."""
    counts = Draws((62_058, 39_670, 2_959, 2_361))(0, 8)
    assert hashlib.sha256(counts.tobytes()).hexdigest() == GOLDEN_DRAWS


def test_draws_are_multinomial():
    """Mean 1, variance 1 - 1/n, covariance -1/n, here over 4,000 resamples of 20."""
    draws = Draws((20,))
    many = np.concatenate([draws(0, start)[:-1].T.copy() for start in range(0, 4000, WIDTH)])
    assert (many.sum(axis=1) == 20).all()
    covariance = np.cov(many.T)
    np.testing.assert_allclose(many.mean(0), 1, atol=0.06)
    np.testing.assert_allclose(np.diag(covariance), 0.95, atol=0.12)
    assert covariance[np.triu_indices(20, 1)].mean() == pytest.approx(-1 / 20, abs=0.005)
    for other in draws(1, 0), draws(0, WIDTH):
        assert (many[:WIDTH] != other[:-1].T).any()


@pytest.mark.parametrize("part", ["private", "public"])
def test_resamples_of_earlier_versions(suite_files, part):
    """Leaderboards hold such values, in float32, and compare them with new ones."""
    suite = load_suite(suite_files.folder)
    found = bootstrap(suite, suite_files.predictions, part, 20)
    with np.load(GOLDEN) as golden:
        for name, sampled in found.scores.items():
            np.testing.assert_allclose(sampled.values, golden[f"{part}/{name}"], rtol=2e-7)
        for name, kinds in found.subsets.items():
            for kind in "r2", "spearman":
                expected = golden[f"{part}/{name}/{kind}"]
                np.testing.assert_allclose(kinds[kind].values, expected, rtol=2e-7, atol=1e-9)


def test_resamples_depend_on_the_seed_alone(suite_files):
    suite = load_suite(suite_files.folder)
    one = bootstrap(suite, suite_files.predictions, resamples=37, threads=1)
    many = bootstrap(suite, suite_files.predictions, resamples=37, threads=5)
    longer = bootstrap(suite, suite_files.predictions, resamples=48)
    other = bootstrap(suite, suite_files.predictions, resamples=37, seed=1)
    for name, sampled in one.scores.items():
        np.testing.assert_array_equal(sampled.values, many.scores[name].values)
        np.testing.assert_array_equal(sampled.values, longer.scores[name].values[:37])
        assert (other.scores[name].values != sampled.values).all()


def bivariate_normal(random, rho, n):
    x, noise = random.normal(size=(2, n))
    return x, rho * x + math.sqrt(1 - rho**2) * noise


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.95])
def test_fisher_intervals(rho):
    """tanh(atanh(r) +- z / sqrt(n - 3)); for Spearman's rho Bonett and Wright (2000)."""
    n = 2000
    x, y = bivariate_normal(np.random.default_rng(8), rho, n)
    found = bootstrap(make_suite(y, {"all": range(n)}), x, resamples=2000).subsets["all"]
    for kind, factor in ("pearson", 1.0), ("spearman", 1 + found["spearman"].estimate ** 2 / 2):
        estimate, half = found[kind].estimate, NORMAL_95 * math.sqrt(factor / (n - 3))
        low, high = (math.tanh(math.atanh(estimate) + sign * half) for sign in (-1, 1))
        interval = found[kind].interval()
        assert interval.high - interval.low == pytest.approx(high - low, rel=0.1)
        assert interval.low == pytest.approx(low, abs=0.1 * (high - low))
        assert interval.high == pytest.approx(high, abs=0.1 * (high - low))


@pytest.mark.parametrize("of_pairs", [False, True])
def test_coverage(of_pairs):
    """200 data sets of 60 rows or pairs each: about 95 % of the intervals hold the truth."""
    random, sets, n = np.random.default_rng(5), 200, 60
    x, y = bivariate_normal(random, 0.5, sets * n)
    members = {str(k): range(k * n, k * n + n) for k in range(sets)}
    if of_pairs:
        # Differences from a row of zeros at the end, the same for all, are the values themselves.
        members = {name: [(row, sets * n) for row in rows] for name, rows in members.items()}
    suite = make_suite(np.append(y, 0), **{"pairs" if of_pairs else "singles": members})
    found = bootstrap(suite, np.append(x, 0), resamples=240).subsets
    truth = {"pearson": 0.5, "r2": 0.25, "spearman": 6 / math.pi * math.asin(0.25)}
    for kind, value in truth.items():
        intervals = [kinds[kind].interval() for kinds in found.values()]
        assert np.mean([low <= value <= high for low, high in intervals]) == pytest.approx(
            0.945, abs=0.03
        ), kind


def test_interval_is_made_of_percentiles():
    sampled = Sampled(0.5, np.array([math.nan, *np.random.default_rng(1).permutation(101) / 100]))
    assert sampled.interval(0.9) == pytest.approx((0.05, 0.95))
    assert sampled.interval(0.5) == pytest.approx((0.25, 0.75))
    assert all(map(math.isnan, Sampled(math.nan, np.full(5, math.nan)).interval()))
    for level in 0, 1, 95, math.nan:
        with pytest.raises(UserError, match=r"level=.*: a share between 0 and 1"):
            sampled.interval(level)


def test_constant_predictions_and_empty_subsets(random):
    suite = make_suite(
        random.normal(size=9), {"all": range(9), "one": [3], "none": []}, {"pairs": [(1, 2)]}
    )
    suite = replace(
        suite,
        subsets=dict(suite.subsets) | {"none": Subset(1.0, {"all": np.zeros(0, np.int64)})},
    )
    found = bootstrap(suite, np.full(9, 0.1), resamples=20)
    for sampled in found.scores.values():
        assert sampled.estimate == 0
        assert not sampled.values.any()
        assert sampled.interval() == (0, 0)
    for kinds in found.subsets.values():
        assert np.isnan(kinds["pearson"].values).all()
        assert np.isnan(kinds["spearman"].values).all()
    card = found.card_with_intervals()
    assert set(card.intervals.undefined.values()) == {1.0}
    plain = card.to_dict()["bootstrap"]
    assert plain["subsets"]["none"]["r2"] is None
    assert plain["pearson_score"] == [0, 0]


@pytest.mark.parametrize(
    ("members", "share"),
    [
        # Of n pairs the same one n times: n / n^n.
        ({"pairs": {"few": [(0, 1), (2, 3)]}}, 1 / 2),
        ({"pairs": {"few": [(0, 1), (2, 3), (4, 5)]}}, 1 / 9),
        # Of 2 rows among 40 not both: by inclusion and exclusion.
        (
            {"singles": {"all": range(40), "few": [7, 9]}},
            2 * (1 - 1 / 40) ** 40 - (1 - 2 / 40) ** 40,
        ),
    ],
)
def test_share_of_undefined_resamples_of_tiny_subsets(random, members, share):
    suite = make_suite(random.normal(size=40), **members)
    predictions = random.normal(size=40)
    found = bootstrap(suite, predictions, resamples=3000)
    undefined = found.card_with_intervals().intervals.undefined
    assert undefined["few"] == pytest.approx(share, abs=0.03)
    assert undefined.get("all", 0) == 0
    r2 = found.subsets["few"]["r2"]
    assert np.isfinite(r2.interval()).all()
    # They count as 0 in the score.
    total = np.nan_to_num(r2.values)
    if "all" in suite.subsets:
        total = (total + found.subsets["all"]["r2"].values) / 2
    np.testing.assert_allclose(found.scores["pearson_score"].values, total, atol=1e-15)


def test_two_rows_correlate_perfectly_or_not_at_all():
    suite = make_suite([1.0, 2.0, 3.0, 5.0], pairs={"few": [(1, 0), (3, 2)]})
    values = bootstrap(suite, [0.0, 4.0, 2.0, 3.0], resamples=50).subsets["few"]
    assert set(values["pearson"].values[~np.isnan(values["pearson"].values)]) == {-1}
    assert values["spearman"].interval() == (-1, -1)
    assert values["r2"].interval() == (1, 1)


def both(suite_files, change, part="private"):
    suite, before = load_suite(suite_files.folder), suite_files.predictions
    return [bootstrap(suite, values, part, 30) for values in (before, change(before))]


def test_flipping_the_sign(suite_files):
    before, after = both(suite_files, np.negative)
    for name, kinds in before.subsets.items():
        flipped = after.subsets[name]
        for kind, sign in ("pearson", -1), ("spearman", -1), ("r2", 1):
            np.testing.assert_allclose(flipped[kind].values, sign * kinds[kind].values, atol=1e-13)
        low, high = kinds["spearman"].interval()
        assert flipped["spearman"].interval() == pytest.approx((-high, -low), abs=1e-13)
    kind = "pearson_score"
    np.testing.assert_allclose(before.scores[kind].values, after.scores[kind].values, atol=1e-13)


def test_affine_predictions_leave_pearson(suite_files):
    before, after = both(suite_files, lambda values: 4 * values - 1000)
    for name, kinds in before.subsets.items():
        np.testing.assert_allclose(
            kinds["pearson"].values, after.subsets[name]["pearson"].values, atol=1e-12
        )


def test_increasing_predictions_leave_spearman_of_rows(suite_files):
    before, after = both(suite_files, np.exp)
    for name in ("all", "high", "low", "yeast", "random", "challenging"):
        np.testing.assert_array_equal(
            before.subsets[name]["spearman"].values, after.subsets[name]["spearman"].values
        )
        assert (
            before.subsets[name]["pearson"].values != after.subsets[name]["pearson"].values
        ).all()


def test_identical_predictions(suite_files):
    same, again = both(suite_files, np.copy)
    comparison = compare(same, again)
    for found in comparison.scores.values():
        assert found == (0, 0, 0, 0, 0, 1)
    for kinds in comparison.subsets.values():
        for found in kinds.values():
            assert found == (0, 0, 0, 0, 0, 1)


def test_swapping_the_two(suite_files):
    a, b = both(suite_files, lambda values: values + np.random.default_rng(2).normal(0, 1, 300))
    forth, back = compare(a, b), compare(b, a)
    assert forth.scores["pearson_score"].estimate > 0
    for name, there in forth.scores.items():
        here = back.scores[name]
        expected = (-there.estimate, -there.high, -there.low, there.losses, there.wins, there.ties)
        assert here == pytest.approx(expected, abs=1e-15)
        assert there.wins + there.losses + there.ties == pytest.approx(1)
        assert there.wins > there.losses
        assert there.wins == np.mean(a.scores[name].values > b.scores[name].values)
        assert there.estimate == a.scores[name].estimate - b.scores[name].estimate


def test_paired_intervals_are_narrower(suite_files):
    a, b = both(suite_files, lambda values: values + np.random.default_rng(2).normal(0, 0.1, 300))
    for name, found in compare(a, b).scores.items():
        low, high = a.scores[name].interval()
        assert found.high - found.low < (high - low) / 3


def test_undefined_resamples_are_nobodys():
    a, b = Sampled(0.5, np.array([0.1, math.nan, 0.3, 0.3])), Sampled(0.2, np.full(4, 0.2))
    found = difference(a, b, level=0.5)
    assert (found.wins, found.losses, found.ties) == (0.5, 0.25, 0)
    assert found.estimate == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0, 0.1))


@pytest.mark.parametrize("other", [{"seed": 1}, {"part": "public"}, {"resamples": 29}])
def test_only_the_same_resamples_are_compared(suite_files, other):
    suite, predictions = load_suite(suite_files.folder), suite_files.predictions
    alike = {"part": "private", "resamples": 30, "seed": 0}
    a, b = (bootstrap(suite, predictions, **given) for given in (alike, alike | other))
    with pytest.raises(UserError, match="suite, part, seed and number of resamples are the same"):
        compare(a, b)


def test_ranks():
    sampled = {
        "b": Sampled(0.5, np.array([0.1, 0.2, 0.3, 0.9])),
        "a": Sampled(0.7, np.array([0.2, 0.3, 0.3, 0.5])),
        "none": Sampled(math.nan, np.full(4, math.nan)),
    }
    found = ranks(sampled)
    assert list(found) == ["b", "a", "none"]
    assert found["b"][:4] == (2, 1, 2, 1.5)
    assert found["a"][:4] == (1, 1, 2, 1.25)
    assert found["none"][:4] == (3, 3, 3, 3.0)
    assert found["b"].shares.tolist() == [0.5, 0.5, 0]
    assert found["a"].shares.tolist() == [0.75, 0.25, 0]
    # The middle half of the places 1 1 2 2 of b.
    assert ranks(sampled, level=0.5)["b"][1:3] == (1, 2)
    with pytest.raises(UserError, match="level=2"):
        ranks(sampled, level=2)


def test_ranks_of_submissions(suite_files, random):
    suite = load_suite(suite_files.folder)
    noise = random.normal(size=300)
    found = {
        str(spread): bootstrap(suite, suite.measured[:, 0] + spread * noise, resamples=40)
        for spread in (3.0, 0.1, 3.01)
    }
    spreads = ranks({name: one.scores["pearson_score"] for name, one in found.items()})
    assert [spreads[name].rank for name in ("0.1", "3.0", "3.01")] == [1, 2, 3]
    assert spreads["0.1"].shares[0] == 1
    for name, spread in spreads.items():
        assert spread.low <= spread.rank <= spread.high
        assert spread.shares.sum() == pytest.approx(1)
        assert spread.mean == pytest.approx(spread.shares @ [1, 2, 3]), name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"resamples": 0}, "resamples=0: at least 1"),
        ({"seed": -1}, "seed=-1: at least 0"),
        ({"part": "privat"}, 'unknown part "privat"'),
    ],
)
def test_refused_arguments(suite_files, given, said):
    with pytest.raises(UserError, match=said):
        bootstrap(load_suite(suite_files.folder), suite_files.predictions, **given)


def test_predictions_are_checked(suite_files):
    with pytest.raises(UserError, match="predictions have shape"):
        bootstrap(load_suite(suite_files.folder), suite_files.predictions[:-1], resamples=2)


def test_progress_is_named(suite_files, capsys, monkeypatch):
    suite = load_suite(suite_files.folder)
    bootstrap(suite, suite_files.predictions, "public", resamples=20)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    bootstrap(suite, suite_files.predictions, "public", resamples=20)
    shown = capsys.readouterr().err
    assert "resampling, public: 100%" in shown
    assert "20/20" in shown
    bootstrap(suite, suite_files.predictions, "public", resamples=20, progress=False)
    assert capsys.readouterr().err == ""


def test_memory_of_the_official_sizes(random):
    rows = 71_103
    measured = random.normal(size=rows)
    sizes = {"high": 968, "low": 997, "yeast": 578, "random": 6_349, "challenging": 1_953}
    singles = {name: random.choice(rows, size, replace=False) for name, size in sizes.items()}
    pairs = {"SNVs": 44_340, "motif_perturbation": 3_287, "motif_tiling": 2_624}
    suite = make_suite(
        measured,
        {"all": range(rows)} | singles,
        {name: random.integers(rows, size=(size, 2)) for name, size in pairs.items()},
    )
    predictions = measured + random.normal(size=rows)
    tracemalloc.start()
    try:
        bootstrap(suite, predictions, resamples=32, threads=2)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


@pytest.mark.data
def test_intervals_of_the_winner(real_data):
    from dream_keras.scoring.submission import read_submission

    suite = load_suite(real_data / "dream")
    predictions = read_submission(real_data / "dream" / "autosome_submission.json", suite)
    found = bootstrap(suite, predictions, "public", resamples=300)
    assert found.scores["pearson_score"].estimate == pytest.approx(0.829027, abs=5e-7)
    for sampled in found.scores.values():
        low, high = sampled.interval()
        assert low < sampled.estimate < high
        assert high - low < 0.06
    assert_same_as_written_out(suite, predictions, "public", 2)
