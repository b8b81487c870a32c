"""Calibration lines, groups of rows and motifs against closed forms and plain loops."""

import numpy as np
import pandas as pd
import pytest

from dream_keras.analyse.residuals import (
    Calibration,
    by_motif,
    by_quantity,
    by_subset,
    gc_content,
)
from dream_keras.common.errors import UserError
from dream_keras.data.kmers import Sequences
from dream_keras.data.table import tokenize
from dream_keras.scoring.suite import Subset, Suite
from dream_keras.simulate.truth import Truth


def test_a_line_is_found_and_undone(random):
    predicted = random.normal(size=200)
    measured = 3 - 2 * predicted
    fit = Calibration.fit(predicted, measured)
    assert (fit.slope, fit.intercept, fit.linear) == pytest.approx((-2, 3, 1))
    assert fit.apply(predicted) == pytest.approx(measured)
    # No curve that never falls does better than the mean.
    assert fit.monotone == pytest.approx(0, abs=0.05)


def test_the_shares_explained(random):
    predicted = random.normal(size=5_000)
    measured = np.exp(predicted) + random.normal(size=5_000)
    fit = Calibration.fit(predicted, measured)
    assert fit.linear == pytest.approx(np.corrcoef(predicted, measured)[0, 1] ** 2)
    best = 1 - 1 / measured.var()  # of the true curve, up to what 5,000 rows allow to overfit
    assert best - 0.02 < fit.monotone < best + 0.02
    assert fit.linear < fit.monotone - 0.1


def test_equal_predictions_have_one_place_on_the_curve():
    predicted = np.array([0.0, 0, 1, 1])
    measured = np.array([0.0, 4, 5, 7])
    fit = Calibration.fit(predicted, measured)
    # Means 2 and 6; squares left 4 4 1 1; squares in all 16 0 1 9.
    assert fit.monotone == pytest.approx(1 - 10 / 26)
    assert fit.monotone == pytest.approx(fit.linear)


def test_residuals_of_a_fitted_line_have_no_mean_and_the_expected_slopes(random):
    predicted = random.normal(size=4_000)
    measured = predicted + random.normal(size=4_000)
    fit = Calibration.fit(predicted, measured)
    residuals = fit.apply(predicted) - measured
    assert residuals.mean() == pytest.approx(0, abs=1e-12)
    assert np.polyfit(fit.apply(predicted), residuals, 1)[0] == pytest.approx(0, abs=1e-12)
    assert np.polyfit(measured, residuals, 1)[0] == pytest.approx(fit.linear - 1)


@pytest.mark.parametrize(
    ("predicted", "measured"), [([1.0, 1, 1], [1.0, 2, 3]), ([1.0, 2, 3], [4.0, 4, 4])]
)
def test_what_has_no_line_is_refused(predicted, measured):
    with pytest.raises(UserError, match="nothing to analyse"):
        Calibration.fit(np.array(predicted), np.array(measured))


@pytest.mark.parametrize(
    ("text", "share"),
    [("GGCC", 1), ("ATAT", 0), ("ACGT", 0.5), ("GNNN", 1), ("ANNG", 0.5), ("NN", np.nan)],
)
def test_gc_content_counts_known_bases(text, share):
    rows = Sequences.of(*tokenize([text, "A" * 10], 10))
    assert gc_content(rows) == pytest.approx([share, 0], nan_ok=True)


def test_deciles_of_different_values(random):
    quantity, residuals = random.normal(size=(2, 1_000))
    table = by_quantity(quantity, residuals)
    assert table["n"].tolist() == [100] * 10
    order = np.argsort(quantity)
    for number, group in enumerate(table.itertuples()):
        rows = order[100 * number : 100 * number + 100]
        assert (group.low, group.high) == (quantity[rows[0]], quantity[rows[-1]])
        assert group.centre == pytest.approx(quantity[rows].mean())
        assert group.bias == pytest.approx(residuals[rows].mean())
        assert group.spread == pytest.approx(residuals[rows].std())
        assert group.rms == pytest.approx(np.sqrt((residuals[rows] ** 2).mean()))


def test_equal_values_stay_together_and_missing_ones_out(random):
    quantity = random.choice([0.0, 0.5, 1, np.nan], 400, p=[0.6, 0.2, 0.1, 0.1])
    residuals = random.normal(size=400)
    table = by_quantity(quantity, residuals)
    assert table["n"].sum() == np.count_nonzero(~np.isnan(quantity))
    assert (table["low"] == table["high"]).all()
    assert table["low"].tolist() == [0, 0.5, 1]
    for group in table.itertuples():
        assert group.bias == pytest.approx(residuals[quantity == group.low].mean())


def test_of_no_values_there_are_no_groups():
    assert by_quantity(np.full(3, np.nan), np.zeros(3)).empty


def test_subsets_of_rows_and_pairs(random):
    measured, calibrated = random.normal(size=(2, 60))
    pairs = np.array([[1, 2], [5, 4], [8, 8], [30, 2]])
    suite = Suite(
        "",
        ["A"] * 60,
        measured[:, None],
        {
            "rows": Subset(1, {"all": np.arange(10, 40)}),
            "pairs": Subset(1, {"all": pairs}),
        },
    )
    table = by_subset(suite, "all", calibrated).set_index("subset")
    gap = (calibrated - measured)[10:40]
    assert table["n"].tolist() == [30, 4]
    assert table["pairs"].tolist() == [False, True]
    assert table.loc["rows", "bias"] == pytest.approx(gap.mean())
    assert table.loc["rows", "spread"] == pytest.approx(gap.std())
    correlation = np.corrcoef(calibrated[10:40], measured[10:40])[0, 1]
    assert table.loc["rows", "pearson"] == pytest.approx(correlation)
    expected = [(calibrated[a] - calibrated[b]) - (measured[a] - measured[b]) for a, b in pairs]
    assert table.loc["pairs", "bias"] == pytest.approx(np.mean(expected))
    assert table.loc["pairs", "rms"] == pytest.approx(np.sqrt(np.mean(np.square(expected))))


def truth(holders, rows):
    """Of a motif for each list of rows; a row named twice has two sites."""
    sites = [(row, motif) for motif, held in enumerate(holders) for row in held]
    array = np.array(sorted(sites), [("row", np.int32), ("motif", np.int8)])
    names = tuple(f"M{n}" for n in range(len(holders)))
    return Truth(np.zeros(rows, np.float32), array, names)


def test_motifs_are_told_from_their_absence(random):
    # The first has an effect; the second none; the others are too rare or everywhere.
    everywhere = range(5, 200)
    known = truth([[*range(50), 3, 3], range(40, 90), range(9), everywhere], 200)
    rows = np.arange(20, 200)
    residuals = random.normal(size=len(rows)) + 2 * (rows < 50)
    table = by_motif(known, rows, residuals).set_index("motif")
    assert table.index.tolist() == ["M0", "M1"]
    inside, outside = residuals[rows < 50], residuals[rows >= 50]
    row = table.loc["M0"]
    assert row["n"] == 30
    assert row["bias_with"] == pytest.approx(inside.mean())
    assert row["difference"] == pytest.approx(inside.mean() - outside.mean())
    error = np.sqrt(inside.var(ddof=1) / 30 + outside.var(ddof=1) / 150)
    assert row["error"] == pytest.approx(error)
    assert row["difference"] > 4 * row["error"]


def test_without_sites_no_motif_is_reported():
    table = by_motif(truth([[], []], 50), np.arange(50), np.zeros(50))
    assert isinstance(table, pd.DataFrame)
    assert table.empty
