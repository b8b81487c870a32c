"""The measure against the simulated genome's truth, with the truth itself as a prediction."""

import numpy as np
import pytest

from benchmarks import chromatin
from dream_keras.data.region_rows import Windows
from dream_keras.interpret.backgrounds import random_backgrounds
from dream_keras.simulate.chromatin import FACTORS

POSITIONS = 200


@pytest.fixture(scope="module")
def truth(regions):
    return chromatin.Truth.read(regions.parent, Windows(400, POSITIONS))


def test_counts_are_closest_to_what_they_were_drawn_from(truth):
    whole, part = (chromatin.of_truth(truth, biased) for biased in (True, False))
    assert whole.scores.summary()["jsd"] < part.scores.summary()["jsd"]
    cells = part.row(truth).strip("| ").split(" | ")
    assert cells[0] == "the truth without the bias"
    assert cells[3:] == ["1.000 [1.000, 1.000]", "0.000 [0.000, 0.000]"]
    assert float(whole.row(truth).split(" | ")[3].split()[0]) < 0.95


def test_only_bases_of_bound_sites_are_to_be_found(truth):
    peak = int(truth.counts.sum(axis=1).argmax())
    labels = truth.labels(peak)
    assert set(labels) <= {-1, 0, 1}
    widest = max(len(factor.consensus) for factor in FACTORS)
    assert 5 < (labels == 1).sum() < 4 * widest
    assert (labels == 0).mean() > 0.5


def test_the_enzyme_leaves_its_mark_where_its_bias_is_kept():
    around = random_backgrounds(20, 400)
    found = {
        biased: chromatin.footprints(
            chromatin.true_predictor(POSITIONS, biased), chromatin.inserted(), around
        )
        for biased in (False, True)
    }
    middle = slice(POSITIONS // 2 - 2, POSITIONS // 2 + 2)
    with_bias, without = (np.abs(chromatin.changes(found[each])[0]) for each in (True, False))
    assert with_bias[middle].max() > 1.5
    assert without.max() < 0.5
    # A factor that is always bound prevents 85 % of the cuts in its motif.
    row = chromatin.footprint_row("x", found[False]).split(" | ")
    assert 0.5 < float(row[2]) < 0.9
