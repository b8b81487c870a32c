"""Prediction intervals: coverage on exchangeable rows, closed forms, and use from a run."""

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import load_experiment
from dream_keras.runs.calibration import Calibration, calibrate, measure_coverage
from dream_keras.runs.folder import RunFolder
from dream_keras.runs.prediction import Distribution
from dream_keras.runs.rows import load_data
from dream_keras.runs.run import Run
from dream_keras.scoring.report import table as table_of
from dream_keras.scoring.suite import load_suite
from dream_keras.simulate import simulate

LEFT, RIGHT = "TGCATTTTTTTCACATC", "GGTTACGGCTGTT"
SLIM = ["model.first.out_channels=4", "model.core.widths=[4]", "model.core.out_channels=4"]
GAUSSIAN = ["model.final={name: gaussian, features: 4}", "data.target_columns=[y]"]


def rows(random, count, members):
    """Measurements with noise that grows with the row's spread, predicted imperfectly."""
    spread = random.uniform(0.2, 3, (count, 1))
    truth = random.normal(size=(count, 1))
    measured = truth + spread * random.standard_t(5, (count, 1))
    values = truth + 0.3 * random.normal(size=(members, count, 1))
    return measured, values, np.tile(np.square(0.5 * spread), (members, 1, 1))


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("heads", [True, False])
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_new_rows_are_covered_as_often_as_asked(random, members, heads, coverage):
    """Of 200 calibrations on 60 rows; the mean coverage is (k / (n + 1)) in theory."""
    covered, widths = [], []
    for _ in range(200):
        parts = [rows(random, count, members) for count in (60, 100)]
        known, new = (Distribution(values, own if heads else None) for _, values, own in parts)
        low, high = Calibration.fit(parts[0][0], known).bounds(new, coverage)
        covered.append(np.mean((low <= parts[1][0]) & (parts[1][0] <= high)))
        widths.append(high - low)
    expected = np.ceil(61 * coverage) / 61
    assert np.mean(covered) == pytest.approx(expected, abs=4 * np.std(covered) / np.sqrt(200))
    assert (np.std(widths) > 0.3 * np.mean(widths)) == heads  # only a head knows the spread


def test_the_variance_of_a_mixture():
    """Members at 0 and 2 with the variances 1 and 3: 2 between (over n - 1), 2 within."""
    predicted = Distribution(np.array([[[0.0]], [[2.0]]]), np.array([[[1.0]], [[3.0]]]))
    assert predicted.mean == predicted.values.mean()
    assert predicted.between == pytest.approx(np.sqrt(2))
    assert predicted.variance == pytest.approx(4)


def test_missing_labels_and_tasks_are_apart():
    measured = np.array([[1.0, 10.0], [-1.0, np.nan], [1.0, -20.0]])
    predicted = Distribution(np.zeros((1, 3, 2)), None)
    low, high = Calibration.fit(measured, predicted).bounds(predicted, 0.66)
    np.testing.assert_allclose(high[0], [1, 20], rtol=1e-5)
    np.testing.assert_allclose(low, -high)


@pytest.mark.parametrize(
    ("coverage", "said"),
    [(0.99, "needs 99 validation rows or more; there are 40"), (90, "a share")],
)
def test_coverages_that_cannot_be_had(coverage, said):
    predicted = Distribution(np.zeros((1, 40, 1)), None)
    fitted = Calibration.fit(np.arange(40.0)[:, None], predicted)
    with pytest.raises(UserError, match=said):
        fitted.bounds(predicted, coverage)


@pytest.fixture(scope="module")
def table(official_rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "rows.csv"
    sequences, labels = official_rows(np.random.default_rng(5), 400)
    part = np.array(["train"] * 150 + ["val"] * 50 + ["test"] * 200)
    pd.DataFrame({"seq": sequences, "y": labels, "part": part}).to_csv(path, index=False)
    return path


def untrained(folder, config, table, *overrides, seed=0):
    """Make a run with slim, untrained weights."""
    settings = [*SLIM, f"data.train={table}", "data.split_column=part", "scoring.part=all"]
    experiment = load_experiment(config, [*settings, "data.sequence_column=seq", *overrides])
    run = Run(RunFolder(folder), experiment)
    run.folder.create(experiment)
    keras.utils.set_random_seed(seed)
    run.folder.save_weights(run.untrained_network(), run.folder.best_weights)
    return dream_keras.load_run(folder)


@pytest.fixture(scope="module")
def gaussian(table, tmp_path_factory):
    scaled = "model.processor={name: plain, length: 110, standardize: true, label_mean: [7], "
    overrides = [*GAUSSIAN, scaled + "label_std: [3]}"]
    return untrained(tmp_path_factory.mktemp("runs") / "run", "any_dream_cnn", table, *overrides)


@pytest.fixture(scope="module")
def bins(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return untrained(folder, "dream_cnn", table, "data.target_columns=[y]")


def by_hand(run, sequence):
    """Mean and variance of a sequence's label from the network's outputs for both strands."""
    tokens = run._encoded([sequence])
    flags, outputs = np.zeros(1, np.uint8), []
    for strand in (0, 1):
        channels = run.processor.make_channels(tokens, np.full(1, strand), flags)
        outputs.append(keras.tree.map_structure(np.array, run.network(channels)))
    if isinstance(outputs[0], dict):
        means = np.array([7 + 3 * float(out["mean"][0, 0]) for out in outputs])
        variances = np.array([9 * np.exp(float(out["log_variance"][0, 0])) for out in outputs])
    else:
        means = np.array([float(out[0] @ np.arange(18)) for out in outputs])
        squares = [float(out[0] @ np.arange(18) ** 2) for out in outputs]
        variances = np.array(squares) - means**2
    return means.mean(), variances.mean() + means.var()


@pytest.mark.parametrize("kind", ["gaussian", "bins"])
def test_variances_are_those_of_the_heads_and_between_strands(kind, request):
    run = request.getfixturevalue(kind)
    sequence = LEFT + "ACGTTGCAAC" * 8 + RIGHT
    predicted = run.predict_distribution([sequence])
    mean, variance = by_hand(run, sequence)
    assert predicted.mean[0, 0] == pytest.approx(mean, rel=1e-5)
    assert predicted.variance[0, 0] == pytest.approx(variance, rel=1e-4)


@pytest.mark.parametrize("kind", ["gaussian", "bins"])
def test_a_run_keeps_its_calibration_and_writes_intervals(kind, request, tmp_path):
    run = request.getfixturevalue(kind)
    validation = load_data(run)[1]
    assert len(validation) == 50
    sequences = [LEFT + "ACGTTGCAAC" * 8 + RIGHT, LEFT + "GGGTTGCAAC" * 8 + RIGHT]
    mean, low, high = dream_keras.predict_interval(run, sequences, 0.8)
    assert (low < mean).all()
    assert (mean < high).all()
    (tmp_path / "in.txt").write_text("\n".join(sequences))
    dream_keras.predict(run.folder.path, tmp_path / "in.txt", tmp_path / "out.tsv", interval=0.8)
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t")
    task = run.task_names[0]
    assert list(table.columns) == ["sequence", task, f"{task}_low", f"{task}_high"]
    for name, values in ((task, mean), (f"{task}_low", low), (f"{task}_high", high)):
        np.testing.assert_allclose(table[name], values, atol=2e-6)
    found = calibrate(run)
    moved = dataclasses.replace(run.experiment.data, train="gone.csv")
    later = Run(run.folder, dataclasses.replace(run.experiment, data=moved))
    np.testing.assert_array_equal(calibrate(later).scores, found.scores)
    # Other weights are calibrated anew, for which the rows are gone.
    weights = run.folder.best_weights.read_bytes()
    try:
        run.folder.best_weights.write_bytes(weights + b" ")
        with pytest.raises(UserError, match="gone"):
            calibrate(later)
    finally:
        run.folder.best_weights.write_bytes(weights)


def test_coverage_of_the_runs_own_test_rows_and_of_no_other(bins, table, tmp_path):
    rows = pd.read_csv(table)[lambda rows: rows["part"] == "test"]
    folder = bins.folder.path / "test"
    for place in (folder, tmp_path / "elsewhere"):
        place.mkdir()
        rows[["seq", "y"]].to_csv(place / "rows.tsv", sep="\t", index=False)
        (place / "suite.yaml").write_text(
            "name: test\ntable: rows.tsv\ncolumns: {sequence: seq, targets: {y: y}}\n"
            "scores: {pearson: weighted_mean_r, spearman: weighted_mean_rho}\n"
            "subsets: {y: {weight: 1, target: y}}\n"
        )
    found = measure_coverage(bins, load_suite(folder), "all", 0.9, progress=False)
    low, high = dream_keras.predict_interval(bins, rows["seq"].tolist(), 0.9)[1:]
    share = np.mean((low <= rows["y"]) & (rows["y"] <= high))
    width = pytest.approx(np.mean(high - low))
    assert found.subsets == {"y": (200, share, width), "all": (200, share, width)}
    assert found.calibrated_on == "the validation rows"
    assert 0.75 < share < 1
    card = dream_keras.evaluate(bins.folder.path, suite=folder, interval=0.9, progress=False)
    assert card.coverage == found
    assert card.to_dict()["coverage"]["subsets"]["y"]["coverage"] == share
    text = table_of(card)
    assert f"90 % intervals cover {share:.3f} of all; calibrated on the validation rows" in text
    assert text.splitlines()[2].split()[-2] == f"{share:.3f}"
    with pytest.raises(UserError, match="may measure on another scale"):
        measure_coverage(bins, load_suite(tmp_path / "elsewhere"), "all", 0.9)


def test_members_with_other_validation_rows_are_refused(bins, table, tmp_path):
    other = tmp_path / "other.csv"
    rows = pd.read_csv(table)
    rows["part"] = np.roll(rows["part"], 50)
    rows.to_csv(other, index=False)
    second = untrained(tmp_path / "second", "dream_cnn", other, "data.target_columns=[y]", seed=1)
    dream_keras.ensemble([bins.folder.path, second.folder.path], tmp_path / "both")
    with pytest.raises(UserError, match="were validated on different rows"):
        dream_keras.predict_interval(tmp_path / "both", [LEFT + "A" * 80 + RIGHT])


def test_a_suite_on_another_scale_is_calibrated_on_its_public_part(bins, tmp_path):
    """Coverage does not depend on the scale, the width is proportional to it."""
    suite = load_suite(simulate(tmp_path / "suite", 20, 600, seed=1))
    found = [
        measure_coverage(
            bins, dataclasses.replace(suite, measured=2 + scale * suite.measured), "public", 0.8
        )
        for scale in (1, -5)
    ]
    assert {each.part for each in found} == {"private"}
    for name, first in found[0].subsets.items():
        second = found[1].subsets[name]
        assert second.coverage == first.coverage
        assert second.width == pytest.approx(5 * first.width)
    everything = found[0].subsets["all"]
    assert everything.rows == len(suite.rows("private"))
    assert 0.65 < everything.coverage < 0.95
    with pytest.raises(UserError, match="not on --part public"):
        dream_keras.evaluate(
            bins.folder.path, suite=suite.source, part="public", interval=0.8, progress=False
        )
