"""Motif matrices, and the table-driven scan against a plain one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dream_keras.data import alphabet
from dream_keras.simulate import scan
from dream_keras.simulate.expression import motif_sites
from dream_keras.simulate.motifs import IUPAC, MOTIF_NUMBER, MOTIFS, Motif

each_motif = pytest.mark.parametrize("motif", MOTIFS, ids=lambda motif: motif.name)


def plain_affinity(tokens: np.ndarray, motif: Motif, strand: int, start: int) -> float:
    """Affinity of one window, letter by letter, without tables."""
    window = tokens[start : start + motif.width]
    if (window > alphabet.T).any():
        return 0.0
    if strand < 0:
        window = alphabet.reverse_complement(window)
    columns = zip(motif.matrix, window, strict=True)
    return float(np.prod([column[base] / column.max() for column, base in columns]))


def windows(motif: Motif, length: int):
    return itertools.product((1, -1), range(length - motif.width + 1))


@each_motif
def test_columns_are_probabilities(motif):
    assert motif.matrix.shape == (len(motif.consensus), 4)
    assert 8 <= motif.width <= 16
    np.testing.assert_allclose(motif.matrix.sum(axis=1), 1, rtol=1e-12)
    assert (motif.matrix > 0).all()


@each_motif
def test_consensus_letters_are_the_best_bases(motif):
    for letter, column in zip(motif.consensus, motif.matrix, strict=True):
        best = {alphabet.LETTERS[base] for base in np.flatnonzero(column == column.max())}
        assert best == set(IUPAC[letter.upper()])


@each_motif
def test_consensus_has_affinity_one_and_a_mismatch_less(motif):
    first = alphabet.encode("".join(IUPAC[letter.upper()][0] for letter in motif.consensus))
    assert plain_affinity(first, motif, 1, 0) == pytest.approx(1)
    for column, letter in enumerate(motif.consensus):
        if letter.upper() == "N":
            continue
        changed = first.copy()
        others = set("ACGT") - set(IUPAC[letter.upper()])
        changed[column] = alphabet.encode(min(others))[0]
        assert plain_affinity(changed, motif, 1, 0) < 0.6


@each_motif
def test_roles_and_sources_are_written_down(motif):
    assert motif.source
    assert motif.dose > 0
    assert 0 < motif.reverse <= 1
    assert motif.effect != 0


def test_there_are_activators_and_repressors():
    effects = [motif.effect for motif in MOTIFS]
    assert sum(effect > 0 for effect in effects) >= 6
    assert sum(effect < 0 for effect in effects) >= 3
    assert len(MOTIF_NUMBER) == len(MOTIFS)


@pytest.mark.parametrize("unknown_share", [0.0, 0.05])
def test_scan_equals_a_plain_one(unknown_share):
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 4, (4, 60), dtype=np.uint8)
    tokens[rng.random(tokens.shape) < unknown_share] = alphabet.N
    expected = np.zeros((4, len(MOTIFS)))
    expected_sites = set()
    for number, motif in enumerate(MOTIFS):
        effect = scan.position_effect(motif, 60)
        for row, (strand, start) in itertools.product(range(4), windows(motif, 60)):
            affinity = plain_affinity(tokens[row], motif, strand, start)
            strength = 1 if strand > 0 else motif.reverse
            expected[row, number] += motif.dose * strength * effect[start] * affinity
            if motif.dose * affinity >= scan.SITE_DOSE:
                expected_sites.add((row, number, start, strand, round(affinity, 5)))
    np.testing.assert_allclose(scan.doses(tokens), expected, rtol=2e-5, atol=1e-9)
    found = {
        (*map(int, site[:4]), round(float(site[4]), 5)) for site in motif_sites(tokens).tolist()
    }
    assert found == expected_sites
    assert len(found) > 4


def test_blocks_do_not_show(monkeypatch):
    tokens = np.random.default_rng(2).integers(0, 4, (50, 110), dtype=np.uint8)
    whole, sites = scan.doses(tokens), motif_sites(tokens)
    monkeypatch.setattr(scan, "_BLOCK", 7)
    np.testing.assert_allclose(scan.doses(tokens), whole, rtol=1e-6)
    np.testing.assert_array_equal(motif_sites(tokens), sites)


def test_sites_come_in_the_order_of_rows_and_positions():
    sites = motif_sites(np.random.default_rng(3).integers(0, 4, (300, 110), dtype=np.uint8))
    keys = sites["row"].astype(int) * 1000 + sites["position"]
    assert (np.diff(keys) >= 0).all()


@each_motif
@pytest.mark.parametrize("strand", [1, -1])
def test_a_planted_consensus_is_found_where_it_stands(motif, strand):
    site = alphabet.encode("".join(IUPAC[letter.upper()][0] for letter in motif.consensus))
    tokens = np.full((1, 110), alphabet.C, np.uint8)
    tokens[0, 40 : 40 + motif.width] = site if strand > 0 else alphabet.reverse_complement(site)
    sites = motif_sites(tokens)
    hits = sites[(sites["motif"] == MOTIF_NUMBER[motif.name]) & (sites["position"] == 40)]
    assert strand in hits["strand"]
    assert hits["affinity"].max() == pytest.approx(1, rel=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30))
def test_filling_with_unknown_bases_on_the_left_changes_nothing(seed, fill):
    tokens = np.random.default_rng(seed).integers(0, 4, (3, 70), dtype=np.uint8)
    padded = np.concatenate([np.full((3, fill), alphabet.N, np.uint8), tokens], axis=1)
    np.testing.assert_allclose(scan.doses(padded), scan.doses(tokens), rtol=1e-5, atol=1e-12)


@each_motif
def test_position_effect_is_best_at_the_centre(motif):
    effect = scan.position_effect(motif, 110)
    places = np.arange(110 - motif.width + 1)
    effect = effect[: len(places)]
    distance = 110 - places - motif.width / 2
    assert effect.max() <= 1
    assert abs(distance[effect.argmax()] - motif.centre) <= 1
    assert effect.min() > 0.1
