"""The design of the test suite: every subset is what its name says."""

import itertools

import numpy as np
import pytest

from dream_keras.data import alphabet
from dream_keras.simulate import assay, designs
from dream_keras.simulate.expression import noise_free_expression
from dream_keras.simulate.motifs import IUPAC, MOTIFS
from dream_keras.simulate.suite_design import (
    FEWEST_ROWS,
    OFFICIAL_ROWS,
    OFFICIAL_SIZES,
    SMALLEST,
    design_suite,
)

SINGLES = ["random", "yeast", "challenging", "high", "low"]
PAIRS = ["motif_perturbation", "motif_tiling", "SNVs"]


@pytest.fixture(scope="module", params=[(FEWEST_ROWS, 0), (FEWEST_ROWS, 1), (4000, 2)])
def suite(request):
    rows, seed = request.param
    suite = design_suite(rows, np.random.default_rng(seed))
    assert len(suite.inserts) == rows
    return suite


@pytest.fixture(scope="module")
def large():
    return design_suite(4000, np.random.default_rng(2))


def expression(suite):
    return noise_free_expression(assay.with_adapters(suite.inserts))


def test_rows_are_distinct_sorted_and_tagged(suite):
    sequences = alphabet.decode_rows(suite.inserts)
    assert sequences == sorted(set(sequences))
    assert suite.inserts.shape[1] == 80
    assert suite.inserts.max() <= alphabet.T
    assert len(suite.tags) == len(sequences)
    assert all(suite.tags)


def test_every_subset_is_there_and_large_enough_in_both_parts(suite):
    assert sorted(suite.singles) == sorted(SINGLES)
    assert sorted(suite.pairs) == sorted(PAIRS)
    for members, public in (
        (suite.singles, suite.public_singles),
        (suite.pairs, suite.public_pairs),
    ):
        for name in members:
            assert len(members[name]) >= SMALLEST
            assert len(public[name]) >= SMALLEST // 2
            assert len(members[name]) - len(public[name]) >= SMALLEST // 2, name


def test_positions_are_in_range_and_single_subsets_disjoint(suite):
    everything = np.concatenate(list(suite.singles.values()))
    assert len(set(everything.tolist())) == len(everything)
    for positions in (everything, *suite.pairs.values()):
        assert positions.min() >= 0
        assert positions.max() < len(suite.inserts)
    for pairs in suite.pairs.values():
        assert len(np.unique(pairs, axis=0)) == len(pairs)
        assert (pairs[:, 0] != pairs[:, 1]).all()


def test_snvs_differ_by_exactly_one_base(suite):
    alternative, reference = suite.pairs["SNVs"].T
    differing = (suite.inserts[alternative] != suite.inserts[reference]).sum(axis=1)
    assert (differing == 1).all()


def test_tilings_share_three_backgrounds_and_change_one_window(suite):
    pairs = suite.pairs["motif_tiling"]
    backgrounds = np.unique(pairs[:, 1])
    assert len(backgrounds) == 3
    assert set(backgrounds) <= set(suite.singles["random"])
    for alternative, reference in pairs:
        changed = np.flatnonzero(suite.inserts[alternative] != suite.inserts[reference])
        name, start = suite.tags[alternative].split("_")[-2:]
        assert suite.tags[alternative].startswith(suite.tags[reference] + "_")
        width = next(m.width for m in MOTIFS if m.name == name.removesuffix(".RC"))
        assert int(start) <= changed.min()
        assert changed.max() < int(start) + width
    assert len({suite.tags[a].split("_")[1] for a, _ in pairs}) >= 5


def test_perturbations_change_one_window_of_ten_backgrounds(suite):
    pairs = suite.pairs["motif_perturbation"]
    assert len(np.unique(pairs[:, 1])) == 10
    forms = {suite.tags[alternative].split("_")[-2] for alternative, _ in pairs}
    assert {"intact", "shuffled"} <= forms
    assert any(form[0].isdigit() for form in forms)
    for alternative, reference in pairs:
        changed = np.flatnonzero(suite.inserts[alternative] != suite.inserts[reference])
        start = int(suite.tags[alternative].split("_")[-1])
        assert start <= changed.min()
        assert changed.max() < start + max(motif.width for motif in MOTIFS)


def test_high_and_low_are_extreme(suite):
    values = expression(suite)
    middle = values[suite.singles["random"]]
    assert values[suite.singles["high"]].mean() > np.quantile(middle, 0.97)
    assert values[suite.singles["low"]].mean() < np.quantile(middle, 0.1)


def test_the_public_part_is_what_the_lists_name(suite):
    """Single lists are the subset's public positions; pairs of the list are public as a whole."""
    named = {*np.concatenate([pairs.ravel() for pairs in suite.public_pairs.values()]).tolist()}
    for name, members in suite.singles.items():
        expected = members[suite.public[members]]
        np.testing.assert_array_equal(suite.public_singles[name], expected)
        named |= set(expected.tolist())
    for name, pairs in suite.public_pairs.items():
        assert suite.public[pairs].all()
        assert set(map(tuple, pairs.tolist())) < set(map(tuple, suite.pairs[name].tolist()))
    left = set(np.flatnonzero(suite.public).tolist()) - named
    assert all(suite.tags[position].startswith("evolving") for position in left)


def test_proportions_are_the_official_ones(large):
    assert large.public.mean() == pytest.approx(0.13, abs=0.03)
    for name, size in OFFICIAL_SIZES.items():
        members = (large.singles | large.pairs)[name]
        expected = max(SMALLEST, 4000 * size / OFFICIAL_ROWS)
        assert len(members) == pytest.approx(expected, rel=0.1), name


def test_single_base_changes_matter(large):
    values = assay.deep_scale(expression(large))
    alternative, reference = large.pairs["SNVs"].T
    assert (values[alternative] - values[reference]).std() > 0.15  # Official: 0.23.


def test_native_like_inserts_are_at_rich_with_tracts():
    inserts = designs.native_like(300, np.random.default_rng(0))
    gc = np.isin(inserts, [alphabet.C, alphabet.G]).mean()
    assert 0.3 < gc < 0.42
    tracts = [t for t in alphabet.decode_rows(inserts) if "AAAAAAAA" in t or "TTTTTTTT" in t]
    assert len(tracts) > 90


def test_challenging_inserts_are_of_four_kinds():
    inserts, kinds = designs.challenging(400, np.random.default_rng(0))
    values = noise_free_expression(assay.with_adapters(inserts))
    by_kind = {kind: values[np.array(kinds) == kind] for kind in set(kinds)}
    assert set(by_kind) == {"saturated", "overlapping", "weak", "tug_of_war"}
    assert by_kind["saturated"].mean() > 14.5
    assert by_kind["overlapping"].std() > 2.5


@pytest.mark.parametrize("direction", [1, -1])
def test_evolution_never_goes_back(direction):
    founders = np.random.default_rng(0).integers(0, 4, (20, 80), dtype=np.uint8)
    rng = np.random.default_rng(1)
    generations = designs.evolve(founders, direction, rng)
    for _ in range(4):  # Until nothing better is found in some rounds.
        generations += designs.evolve(generations[-1], direction, rng)
    values = [
        direction * noise_free_expression(assay.with_adapters(inserts))
        for inserts in (founders, *generations)
    ]
    assert (np.diff(values, axis=0) >= 0).all()
    changes = [(a != b).sum(axis=1).max() for a, b in itertools.pairwise(generations)]
    assert max(changes) == 1
    assert np.mean(values[-1] - values[0]) > 2


@pytest.mark.parametrize("motif", MOTIFS, ids=lambda motif: motif.name)
def test_instances_fit_the_consensus(motif):
    rng = np.random.default_rng(0)
    for _ in range(5):
        site = alphabet.decode(designs.instance(motif, rng))
        assert all(b in IUPAC[c.upper()] for b, c in zip(site, motif.consensus, strict=True))


def test_mutate_always_changes_the_named_columns():
    site = alphabet.encode("ACGTACGT")
    mutated = designs.mutate(site, [1, 6], np.random.default_rng(0))
    np.testing.assert_array_equal(np.flatnonzero(mutated != site), [1, 6])
    assert mutated.max() <= alphabet.T
