"""Effects of variants: signs, repetition, neutral surroundings."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.spatial
import scipy.stats

from dream_keras.data.variants import Variant
from dream_keras.interpret.effects import Scorer, quantiles
from dream_keras.interpret.predictor import Predictor
from dream_keras.interpret.windows import Placed, Window, reverse_complement


def windows(count, seed=0, length=40):
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        bases = "".join(random.choice(list("ACGT"), length))
        at = length // 2
        ref = bases[at]
        alt = str(random.choice([base for base in "ACGT" if base != ref]))
        variant = Variant("test", str(number), "", at + 1, ref, alt)
        found.append(Window(variant, (Placed(bases[:at], bases[at + 1 :], length),)))
    return found


def swapped(window):
    v = window.variant
    return Window(Variant(v.where, v.id, v.chrom, v.pos, v.alt, v.ref), window.placed)


@pytest.mark.parametrize("strand", ["+", "-", "both"])
def test_effects_are_those_of_single_predictions(predictor, counting, strand):
    given = windows(20)
    effects = Scorer(predictor, strand)(given)
    for number, window in enumerate(given):
        for values, allele in (
            (effects.reference, window.variant.ref),
            (effects.alternative, window.variant.alt),
        ):
            forward = window.placed[0].left + allele + window.placed[0].right
            views = {"+": [forward], "-": [reverse_complement(forward)]}
            views["both"] = views["+"] + views["-"]
            wanted = np.mean([counting([view])[0] for view in views[strand]], axis=0)
            np.testing.assert_allclose(values[number], wanted, rtol=1e-12)


def test_exchanged_alleles_have_the_opposite_effect(predictor):
    given = windows(30)
    ours, theirs = (Scorer(predictor)(w) for w in (given, [swapped(each) for each in given]))
    np.testing.assert_array_equal(ours.delta, -theirs.delta)
    assert ours.delta.shape == (30, 2)


def test_every_distinct_reference_is_predicted_once(predictor, counting):
    given = windows(10)
    others = [
        Window(Variant("", "", "", v.pos, v.ref, base), window.placed)
        for window in given
        for v in [window.variant]
        for base in "ACGT"
        if base != v.ref
    ]
    scorer = Scorer(predictor)
    first = scorer(others[:15])
    second = scorer(others[15:], 15)
    assert len(counting.asked) == len(set(counting.asked)) == 10 + 30
    whole = Scorer(predictor)(others)
    for kind in ("reference", "alternative"):
        parts = [getattr(part, kind) for part in (first, second)]
        np.testing.assert_array_equal(np.concatenate(parts), getattr(whole, kind))


def test_what_cannot_be_scored_is_missing(predictor):
    given = windows(3)
    given[1] = Window(given[1].variant, status="edge_of_chromosome")
    effects = Scorer(predictor, null=3)(given)
    for values in (effects.reference, effects.delta, effects.null_p):
        assert np.isnan(values[1]).all()
        assert np.isfinite(values[[0, 2]]).all()


def test_p_is_uniform_where_surroundings_do_not_matter(predictor):
    """Surroundings of the variants are as random as their shuffles; no p is 0 or above 1."""
    effects = Scorer(predictor, null=19, seed=2)(windows(300, seed=4))
    p = effects.null_p
    assert p is not None
    assert p.min() >= 1 / 20
    assert p.max() <= 1
    spread = p - np.random.default_rng(0).uniform(0, 1 / 20, p.shape)
    for column in spread.T:
        assert scipy.stats.kstest(column, "uniform").pvalue > 1e-3


def test_p_is_uniform_for_moved_windows(predictor):
    """Effects are then means over several windows, and so are neutral ones."""
    given = []
    for window in windows(200, seed=6, length=48):
        place = window.placed[0]
        bases = place.left + window.variant.ref + place.right
        places = tuple(
            Placed(bases[start:24], bases[25 : start + 40], 40) for start in range(0, 9, 2)
        )
        given.append(replace(window, placed=places))
    p = Scorer(predictor, null=19, seed=3)(given).null_p
    spread = p - np.random.default_rng(0).uniform(0, 1 / 20, p.shape)
    for column in spread.T:
        assert scipy.stats.kstest(column, "uniform").pvalue > 1e-3


def test_equal_effects_are_no_smaller_for_rounding():
    """In an additive model surroundings do not matter, and p is 1."""

    def additive(sequences):
        codes = np.array([["ACGT".find(letter) for letter in s] for s in sequences])
        return np.float32([1.1, 2.3, 4.7, 0.2])[codes].sum(axis=1, dtype=np.float32)

    p = Scorer(Predictor(additive), null=9)(windows(50)).null_p
    assert (p == 1).all()


def test_predictions_that_are_no_numbers_have_no_p():
    effects = Scorer(Predictor(lambda s: np.full(len(s), np.nan)), null=9)(windows(3))
    assert np.isnan(effects.null_p).all()


def test_strands_are_told_to_models_that_ask_for_them():
    """The reverse complement of a row that is marked as one is forward again."""
    told = []

    def flagged(views):
        told.extend(turned for _, turned in views)
        return np.zeros(len(views))

    predictor = Predictor(lambda s: np.zeros(len(s)), flagged=flagged, reverse_mark="_rc")
    given = windows(2)
    marked = replace(given[1], variant=replace(given[1].variant, id="one_rc"))
    for strand, wanted in (("+", [False] * 2), ("-", [True] * 2)):
        told.clear()
        Scorer(predictor, strand)(given[:1])
        assert told == wanted
        told.clear()
        Scorer(predictor, strand)([marked])
        assert told == [not each for each in wanted]


def test_p_is_small_where_a_motif_is_hit():
    def motif(sequences):
        return np.array([float("TGACTCA" in sequence) for sequence in sequences])

    given = windows(4)
    at = 17
    for number in (0, 2):
        place = given[number].placed[0]
        bases = place.left[:at] + "TGACTCA" + place.right[3:]
        variant = Variant("", "", "", 21, bases[20], "G" if bases[20] != "G" else "A")
        given[number] = Window(variant, (Placed(bases[:20], bases[21:], 40),))
    effects = Scorer(Predictor(motif), null=49)(given)
    assert effects.delta[:, 0].tolist() == [-1, 0, -1, 0]
    assert effects.null_p[[0, 2], 0].tolist() == [1 / 50] * 2
    assert effects.null_p[[1, 3], 0].tolist() == [1, 1]


def test_shuffles_of_a_variant_depend_on_its_number_alone(predictor):
    given = windows(12)
    whole = Scorer(predictor, null=5)(given).null_p
    scorer = Scorer(predictor, null=5)
    parts = [scorer(given[:5]).null_p, scorer(given[5:], 5).null_p]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_adapters_are_not_shuffled(counting):
    predictor = Predictor(counting, ("a", "b"), kept=(8, 6))
    (window,) = windows(1)
    place = window.placed[0]
    whole = Window(window.variant, (Placed("ACGTACGT" + place.left, place.right + "TTTGGG"),))
    Scorer(predictor, null=5)([whole])
    assert len(set(counting.asked)) == 12
    assert all(s.startswith("ACGTACGT") and s.endswith("TTTGGG") for s in counting.asked)


def test_quantiles_against_a_count():
    deltas = np.random.default_rng(0).normal(size=(50, 2))
    deltas[[3, 9], 0] = np.nan
    found = quantiles(deltas)
    for task in (0, 1):
        known = np.abs(deltas[np.isfinite(deltas[:, task]), task])
        for row in range(50):
            wanted = (known <= abs(deltas[row, task])).mean()
            if np.isnan(deltas[row, task]):
                wanted = np.nan
            np.testing.assert_equal(found[row, task], wanted)


def shares_by_loop(sequences):
    """Profiles of sequences as they are written: G counts three times as much as other bases."""
    rows = []
    for sequence in sequences:
        weights = np.array([3.0 if base in "G" else 1.0 for base in sequence])
        rows.append((weights / weights.sum())[None])
    return np.array(rows)


def raise_if_called(sequences):
    raise AssertionError("predicted once more")


@pytest.mark.parametrize("strand", ["+", "both"])
def test_effects_on_profiles(strand):
    def log_counts(sequences):
        return [np.log(1 + sum(base in "AT" for base in sequence)) for sequence in sequences]

    asked = []

    def profiles(sequences):
        asked.extend(sequences)
        return np.reshape(log_counts(sequences), (-1, 1)), shares_by_loop(sequences)

    given = windows(12)
    for number, window in enumerate(given):
        (place,) = window.placed
        moved = [Placed(place.left[s:], place.right + "ACGT"[:s], 40) for s in (0, 1, 3)]
        given[number] = replace(window, placed=tuple(moved))
    predictor = Predictor(raise_if_called, profiles=profiles)
    effects = Scorer(predictor, strand)(given)
    assert len(set(asked)) == len(asked)  # counts and profile are predicted together
    fold_change, distance, product = effects.of_profiles
    for number, window in enumerate(given):
        views = [
            [sequence for sequence, _ in window.views(allele, strand)]
            for allele in (window.variant.ref, window.variant.alt)
        ]
        # Of each window alone: positions of moved and turned ones are others.
        apart = [
            scipy.spatial.distance.jensenshannon(*shares_by_loop(pair)[:, 0])
            for pair in zip(*views, strict=True)
        ]
        assert len(apart) == (6 if strand == "both" else 3)
        assert distance[number, 0] == pytest.approx(np.mean(apart), abs=1e-9)
        means = [np.mean(log_counts(each)) for each in views]
        assert fold_change[number, 0] == pytest.approx((means[1] - means[0]) / np.log(2))
    np.testing.assert_allclose(product, np.abs(fold_change) * distance)
    exchanged = Scorer(predictor, strand)([swapped(each) for each in given])
    np.testing.assert_allclose(exchanged.of_profiles[0], -fold_change)
    np.testing.assert_allclose(exchanged.distance, distance)
    assert Scorer(Predictor(log_counts))(given).of_profiles == []
