"""The ceiling of a suite against simulated measurements whose true values and noise are known."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dream_keras.common.errors import UserError
from dream_keras.evaluate import evaluate, main
from dream_keras.scoring.ceiling import suite_ceiling
from dream_keras.scoring.formulas import Formulas
from dream_keras.scoring.metrics import pearson
from dream_keras.scoring.neutral_pairs import level_noises
from dream_keras.scoring.noise_shares import NoiseShares
from dream_keras.scoring.resampling import Draws, design
from dream_keras.scoring.submission import read_submission
from dream_keras.scoring.suite import Subset, Suite, load_suite
from dream_keras.simulate import simulate
from dream_keras.simulate.assay import deep_measurement
from dream_keras.simulate.truth import read_truth

PAIRS = 1_000


def make_suite(measured, targets=("expression",), formulas=None, **subsets):
    """A suite with a part "all"; a subset is (weight, positions) or more of Subset's arguments."""
    measured = np.asarray(measured, float).reshape(-1, len(targets))
    made = {
        name: Subset(weight, {"all": np.asarray(positions)}, *rest)
        for name, (weight, positions, *rest) in subsets.items()
    }
    options = {} if formulas is None else {"formulas": formulas}
    return Suite("mine", ["ACGT"] * len(measured), measured, made, "", targets, **options)


class Experiment:
    """References in the first rows, their alternatives in the others, half of these unchanged."""

    def __init__(self, random, pairs=PAIRS):
        self.random = random
        reference = random.normal(size=pairs)
        self.change = np.where(np.arange(pairs) % 2, 0.0, random.normal(size=pairs))
        self.truth = np.concatenate([reference, reference + self.change])
        self.variance = (0.3 - 0.15 * np.tanh(self.truth)) ** 2
        rows = np.arange(2 * pairs)
        self.subsets = {
            "every": (1.0, rows),
            "high": (0.3, np.flatnonzero(self.truth > 0.8)),
            "low": (0.3, np.flatnonzero(self.truth < -0.8)),
            "pairs": (1.25, np.stack([rows[pairs:], rows[:pairs]], axis=1)),
        }

    def measure(self):
        noise = np.sqrt(self.variance) * self.random.normal(size=len(self.truth))
        return make_suite(self.truth + noise, **self.subsets)

    def predict(self):
        """Errors of the level that a pair shares, and of the size of a change, on another scale."""
        error, size, jitter = self.random.normal(size=(3, len(self.change)))
        change = self.change * (1 + 0.3 * size) + 0.01 * jitter
        reference = self.truth[: len(change)] + 0.3 * error
        return 5 + 2 * np.concatenate([reference, reference + change])

    def ceilings(self):
        """The true ones."""
        suite = make_suite(self.truth, **self.subsets)
        found = {}
        for name, subset in suite.subsets.items():
            noise = self.variance[subset.positions["all"]]
            noise = noise.sum(axis=1) if subset.is_pairs else noise
            signal = subset.pick(self.truth, "all").var()
            found[name] = signal / (signal + noise.mean())
        weights = [subset.weight for subset in suite.subsets.values()]
        return found, np.average(list(found.values()), weights=weights)


def test_constant_noise_in_closed_form(random):
    """One bin and pairs without a common row: nothing but two variances is left."""
    truth = np.repeat(random.normal(size=50), 2)
    truth[40:100:2] += 3
    y = truth + random.normal(size=100)
    pairs = np.arange(100).reshape(-1, 2)
    suite = make_suite(y, rows=(1.0, np.arange(0, 100, 3)), pairs=(0.5, pairs))
    found = suite_ceiling(suite, [truth, -7 * truth], share=0.3, resamples=0)
    assert found.pairs == 20
    variance = np.mean((y[:40:2] - y[1:40:2]) ** 2) / 2
    (level,) = found.noise
    assert level.variance.value == pytest.approx(variance)
    rows = 1 - variance / y[::3].var()
    differences = max(1 - 2 * variance / (y[::2] - y[1::2]).var(), 0)
    assert found.r2["rows"].value == pytest.approx(rows)
    assert found.r2["pairs"].value == pytest.approx(differences)
    assert found.pearson_score.value == pytest.approx((rows + 0.5 * differences) / 1.5)
    assert all(map(math.isnan, found.pearson_score.interval))


def test_coverage(random):
    """Most intervals hold the true ceilings, from which the estimates differ in no direction."""
    runs = 30
    held = dict.fromkeys(["every", "high", "low", "pairs", "score"], 0)
    errors = {name: [] for name in held}
    for _ in range(runs):
        experiment = Experiment(random)
        sets = [experiment.predict(), experiment.predict()]
        found = suite_ceiling(experiment.measure(), sets, share=0.4, resamples=100, progress=False)
        truth, score = experiment.ceilings()
        for name, expected in {**truth, "score": score}.items():
            estimate = found.r2.get(name, found.pearson_score)
            held[name] += estimate.interval.low <= expected <= estimate.interval.high
            errors[name].append(estimate.value - expected)
    assert min(held.values()) >= 0.8 * runs, held
    for name, error in errors.items():
        assert abs(np.mean(error)) < 0.6 * np.std(error), name


def test_noise_by_level(random):
    experiment = Experiment(random, 20_000)
    suite, predicted = experiment.measure(), experiment.predict()
    found = suite_ceiling(suite, [predicted], share=0.4, resamples=50, progress=False)
    level = (predicted - predicted.mean()) / predicted.std()
    assert len(found.noise) == 20
    assert found.pairs == 8_000
    for before, after in zip(found.noise, found.noise[1:], strict=False):
        assert before.low < before.high < after.low
    for bin_ in found.noise[1:-1]:
        # The error of the prediction mixes levels; the mean over what is predicted there counts.
        expected = experiment.variance[(level >= bin_.low) & (level <= bin_.high)].mean()
        assert bin_.variance.value == pytest.approx(expected, rel=0.25)
        assert bin_.variance.interval.low < bin_.variance.value < bin_.variance.interval.high


def test_overlooked_changes_lower_the_ceiling_until_another_set_sees_them(random):
    """Sets that each overlook other changes are together as good as one that sees all."""
    experiment = Experiment(random, 4_000)
    suite = experiment.measure()
    overlooked = [np.where(np.arange(4_000) % 4 == k, 0, experiment.change) for k in (0, 2)]
    sets = [np.concatenate([experiment.truth[:4_000]] * 2) for _ in overlooked]
    for values, change in zip(sets, overlooked, strict=True):
        values[4_000:] += change
    truth, _ = experiment.ceilings()

    def estimate(*chosen):
        return suite_ceiling(suite, chosen, share=0.5, resamples=0).r2["pairs"].value

    assert max(estimate(sets[0]), estimate(sets[1])) < truth["pairs"] - 0.15
    assert estimate(*sets) == pytest.approx(truth["pairs"], abs=0.05)


def shared(random, references, pairs=500):
    """Pairs that share a few references, and as many pairs that share none, with equal noise 0.3.

    Returns what measures them, what is true, and the ceiling of the first.
    """
    rows = references + 3 * pairs
    truth = np.zeros(rows)
    truth[:references] = random.normal(size=references)
    reference = np.arange(pairs) % references
    truth[references : references + pairs] = truth[reference] + random.normal(size=pairs)
    subsets = {
        "few": (1.0, np.stack([references + np.arange(pairs), reference], axis=1)),
        "own": (0.0, (references + pairs + np.arange(2 * pairs)).reshape(-1, 2)),
    }
    change = np.var(truth[references : references + pairs] - truth[reference])
    noise = 0.3 * (1 + 1 - 1 / references)

    def measure():
        return make_suite(truth + math.sqrt(0.3) * random.normal(size=rows), **subsets)

    return measure, truth, change / (change + noise)


@pytest.mark.parametrize("references", [1, 3, 40])
def test_references_that_pairs_share(random, references):
    """The estimate is right on average, and the interval holds what the truth itself scores."""
    measure, truth, ceiling = shared(random, references)
    estimates, held = [], 0
    for _ in range(30):
        suite = measure()
        few = suite_ceiling(suite, [truth], share=0.3, resamples=60, progress=False).r2["few"]
        estimates.append(few.value)
        subset = suite.subsets["few"]
        r2 = pearson(subset.pick(truth, "all"), subset.pick(suite.measured[:, 0], "all")) ** 2
        held += few.interval.low <= r2 <= few.interval.high
    assert np.mean(estimates) == pytest.approx(ceiling, abs=0.03)
    assert held >= 25


def brute_force(suite, predictions, share, drawn, first_cluster):
    """The ceilings of one resample, from its members written out; of the subsets of ``Experiment``.

    Args:
        drawn: How often each unit was drawn.
    """
    levels = [(p - p.mean()) / p.std() for p in predictions]
    level = np.mean(levels, axis=0)
    pairs = np.unique(suite.subsets["pairs"].positions["all"], axis=0)
    chosen = []
    for values in levels:
        change = np.abs(values[pairs[:, 0]] - values[pairs[:, 1]])
        chosen.append(change <= np.sort(change)[math.floor(share * (len(pairs) - 1))])
    pairs = pairs[np.all(chosen, axis=0)]
    of_pair = level[pairs].mean(axis=1)
    order = np.sort(of_pair)
    firsts = [part[0] for part in np.array_split(order, len(pairs) // 25)]
    y = suite.measured[:, 0]
    times = drawn[first_cluster : first_cluster + len(pairs)]
    squares = (y[pairs[:, 0]] - y[pairs[:, 1]]) ** 2 / 2
    variances = np.full(len(y), math.nan)
    for low, high in zip(firsts, [*firsts[1:], math.inf], strict=True):
        inside = (of_pair >= low) & (of_pair < high)
        low = -math.inf if low == firsts[0] else low
        variances[(level >= low) & (level < high)] = np.average(
            squares[inside], weights=times[inside]
        )
    found = {}
    _, units = design(suite, "all")
    for name, subset in suite.subsets.items():
        noise = variances[subset.positions["all"]]
        noise = noise.sum(axis=1) if subset.is_pairs else noise
        members = np.repeat(np.arange(len(noise)), drawn[units[name]])
        found[name] = 1 - noise[members].mean() / subset.pick(y, "all")[members].var()
    return found


def test_resamples_are_those_of_their_members_written_out(random):
    experiment = Experiment(random, 301)
    suite, sets = experiment.measure(), [experiment.predict(), experiment.predict()]
    noises = list(level_noises(suite, sets, "all", 0.6))
    shares = NoiseShares(suite, "all", noises)
    counts = Draws(shares.sizes)(5, 0)
    sizes = design(suite, "all")[0]
    np.testing.assert_array_equal(counts[: sum(sizes)], Draws(sizes)(5, 0)[: sum(sizes)])
    found = shares.ceilings(shares(counts))
    assert len(noises[0].bins) > 2
    for column in range(counts.shape[1]):
        drawn = counts[:, column].astype(int)
        expected = brute_force(suite, sets, 0.6, drawn, sum(shares.sizes[:-1]))
        np.testing.assert_allclose(found[1:5, column], list(expected.values()))
    # A factor for each subset of pairs that share rows; here there is none.
    np.testing.assert_array_equal(shares.ceilings(shares(counts), random), found)


def test_clusters_are_pairs_connected_by_rows(random):
    connected = [[0, 1], [2, 1], [6, 0], [4, 3], [4, 5]]
    alone = np.arange(10, 50).reshape(-1, 2)
    suite = make_suite(random.normal(size=50), pairs=(1.0, [*connected, *alone]))
    (noise,) = level_noises(suite, [random.normal(size=50)], "all", 1.0)
    assert noise.clusters == 2 + len(alone)


def test_predictions_of_another_scale_and_direction_give_the_same(random):
    experiment = Experiment(random)
    suite, sets = experiment.measure(), [experiment.predict(), experiment.predict()]
    found, other = (
        suite_ceiling(suite, chosen, share=0.4, resamples=8, progress=False)
        for chosen in (sets, [3 * sets[0] - 8, 0.1 * sets[1][:, None]])
    )
    assert found.pearson_score.value == pytest.approx(other.pearson_score.value)
    assert found.pearson_score.interval == pytest.approx(other.pearson_score.interval)


def test_each_target_has_its_own_noise_and_the_score_its_formula(random):
    """The mean of both strands has half the noise of one, and r has a ceiling of sqrt(r^2)."""
    truth = np.repeat(random.normal(size=4_000), 2)
    y = truth[:, None] + random.normal(size=(8_000, 2)) * np.sqrt([0.1, 0.5])
    pairs = np.arange(8_000).reshape(-1, 2)
    alone = np.stack([pairs[:, 0]] * 2, axis=1)
    suite = make_suite(
        y,
        ("a", "b"),
        Formulas("weighted_mean_r", "weighted_mean_rho"),
        a=(1.0, np.arange(8_000)),
        b=(3.0, np.arange(8_000), 1),
        both=(0.0, pairs, 1, True),
        alone=(0.0, alone, 1, True),
        pairs_a=(0.0, pairs),
        pairs_b=(0.0, pairs, 1),
        same=(0.0, np.concatenate([alone, pairs[:4_000]])),
    )
    found = suite_ceiling(suite, [np.stack([truth, truth], axis=1)], resamples=0)
    r2 = {name: estimate.value for name, estimate in found.r2.items()}
    signal = truth.var()
    assert r2["a"] == pytest.approx(signal / (signal + 0.1), abs=0.01)
    assert r2["b"] == pytest.approx(r2["alone"], abs=0.02)
    assert r2["b"] == pytest.approx(signal / (signal + 0.5), abs=0.02)
    assert r2["both"] == pytest.approx(signal / (signal + 0.25), abs=0.02)
    # Nothing but noise; half of the differences have none and are 0.
    assert max(r2["pairs_a"], r2["pairs_b"], r2["same"]) < 0.06
    expected = (math.sqrt(r2["a"]) + 3 * math.sqrt(r2["b"])) / 4
    assert found.pearson_score.value == pytest.approx(expected)
    assert [level.target for level in found.noise] == ["a"] * 20 + ["b"] * 20


def test_a_subset_without_variance_has_no_ceiling(random):
    truth = np.repeat(random.normal(size=200), 2)
    y = truth + 0.3 * random.normal(size=400)
    y[:30] = y[0]
    pairs = np.arange(400).reshape(-1, 2)
    suite = make_suite(
        y, rows=(1.0, np.arange(400)), constant=(3.0, np.arange(30)), pairs=(0.0, pairs)
    )
    found = suite_ceiling(suite, [truth], resamples=20, progress=False)
    assert math.isnan(found.r2["constant"].value)
    assert found.r2["constant"].to_list() == [None, None, None]
    assert found.pearson_score.value == pytest.approx(found.r2["rows"].value / 4)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = simulate(tmp_path_factory.mktemp("simulated") / "suite", 20, 8_000, seed=0)
    return folder, np.asarray(read_truth(folder).expression, float)


def test_the_simulated_experiment(simulated, random):
    """What its truth scores on average over measurements lies within the interval."""
    folder, truth = simulated
    suite = load_suite(folder)
    measurements = [deep_measurement(truth, random) for _ in range(20)]
    sets = [truth + 0.05 * random.normal(size=len(truth)) for _ in range(2)]
    found = suite_ceiling(suite, sets, resamples=200, progress=False)
    for name, subset in suite.subsets.items():
        predicted = subset.pick(truth, found.part)
        r2 = [pearson(predicted, subset.pick(y, found.part)) ** 2 for y in measurements]
        low, high = found.r2[name].interval
        assert low < np.mean(r2) < high, name


def test_evaluate_gives_the_ceiling_beside_the_score(simulated, random, tmp_path, capsys):
    folder, truth = simulated
    suite = load_suite(folder)
    sets = [truth + 0.5 * random.normal(size=len(truth)) for _ in range(3)]
    files = [str(tmp_path / f"{number}.json") for number in range(3)]
    for file, values in zip(files, sets, strict=True):
        Path(file).write_text(json.dumps(dict(enumerate(values.tolist()))))
    expected = suite_ceiling(suite, sets[1:], "public", resamples=10)
    given = {"predictions": files[0], "suite": folder, "part": "public", "ceiling": files[1:]}
    card = evaluate(**given, bootstrap=10, progress=False)
    assert card.ceiling == expected
    assert replace(card, ceiling=None) == evaluate(**given | {"ceiling": ()}, bootstrap=10)
    found, scores = expected.to_dict(), tmp_path / "scores.json"
    arguments = ["--suite", str(folder), "--part", "public", "--json", str(scores)]
    main(["--predictions", files[0], "--ceiling", *files[1:], *arguments])
    plain = json.loads(scores.read_text())["ceiling"]
    assert plain["pearson_score"] == [found["pearson_score"][0], None, None]
    assert plain["r2"]["SNVs"] == [expected.r2["SNVs"].value, None, None]
    assert sum(level["pairs"] for level in plain["noise"]) == expected.pairs
    said = capsys.readouterr().out
    assert f"r^2 / 4.65; ceiling {expected.pearson_score.value:.4f}\n" in said


@pytest.mark.data
def test_the_real_test_set(real_data):
    """The figures of docs/suites.md."""
    folder = real_data / "dream"
    suite = load_suite(folder)
    winner = read_submission(folder / "autosome_submission.json", suite)
    found = suite_ceiling(suite, [winner], "private", resamples=0)
    assert found.pairs == 8_998
    assert {name: round(estimate.value, 3) for name, estimate in found.r2.items()} == {
        **{"all": 0.991, "high": 0.73, "low": 0.606, "yeast": 0.99, "random": 0.986},
        **{"challenging": 0.994, "SNVs": 0.799, "motif_perturbation": 0.967, "motif_tiling": 0.898},
    }
    assert round(found.pearson_score.value, 3) == 0.888


@pytest.mark.parametrize(
    ("sets", "share", "said"),
    [
        ([], 0.2, "at least one set is needed"),
        ([np.zeros(100)], 0.2, "constant predictions call every pair unchanged"),
        ([np.arange(99)], 0.2, "the suite mine needs one value for each row"),
        ([np.full(100, np.nan)], 0.2, "predictions that are not finite numbers: position 0"),
        ([np.arange(100.0) ** 2], 0, "share=0: a share above 0 and at most 1 is needed"),
        ([np.arange(100.0) ** 2], 1.1, r"share=1\.1: a share above 0"),
        (
            [np.arange(100.0) ** 2],
            0.2,
            "call only 10 pairs of expression in the all part of mine unchanged, and a noise "
            "ceiling needs at least 20. Give fewer sets, or a part with more pairs",
        ),
    ],
)
def test_refused(random, sets, share, said):
    suite = make_suite(random.normal(size=100), pairs=(1.0, np.arange(100).reshape(-1, 2)))
    with pytest.raises(UserError, match=said):
        suite_ceiling(suite, sets, share=share, resamples=0)


@pytest.mark.parametrize(
    "subsets", [{}, {"same": (1.0, [[3, 3]])}, {"strands": (1.0, [[3, 4]], 0, True)}]
)
def test_a_suite_without_pairs(random, subsets):
    suite = make_suite(random.normal(size=100), rows=(1.0, np.arange(100)), **subsets)
    with pytest.raises(UserError, match="the suite mine has no pairs of rows of expression in its"):
        suite_ceiling(suite, [np.arange(100.0)])


@pytest.mark.parametrize("number", ["resamples", "seed"])
def test_numbers_below_0(number):
    with pytest.raises(UserError, match=f"{number}=-1: at least 0 is needed"):
        suite_ceiling(make_suite([1.0, 2.0], pairs=(1, [[0, 1]])), [[1, 2]], **{number: -1})
