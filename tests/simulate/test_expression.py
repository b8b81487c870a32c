"""What the noise-free expression does when sites come, go, turn and move."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dream_keras.data import alphabet
from dream_keras.simulate import assay
from dream_keras.simulate import expression as model
from dream_keras.simulate.expression import noise_free_expression, occupancy
from dream_keras.simulate.motifs import IUPAC, MOTIF_NUMBER, MOTIFS

ACTIVATORS = ["Reb1", "Rap1", "Abf1", "Gcn4", "Cbf1", "Mcm1", "Hsf1"]
REPRESSORS = ["Mig1", "Ume6", "Rox1", "Mot3"]
GOLDEN = [13.221674239, 12.993033365, 9.938660469, 7.465962489]
"""Expression with Reb1, Gcn4, TATA and Mig1 in one background, when the model was fixed."""


def consensus(name: str) -> np.ndarray:
    motif = MOTIFS[MOTIF_NUMBER[name]]
    return alphabet.encode("".join(IUPAC[letter.upper()][0] for letter in motif.consensus))


def backgrounds(rows: int = 200, seed: int = 0) -> np.ndarray:
    return assay.with_adapters(assay.random_bases((rows, 80), np.random.default_rng(seed)))


def planted(tokens: np.ndarray, name: str, start: int, strand: int = 1) -> np.ndarray:
    site = consensus(name)
    changed = tokens.copy()
    changed[:, start : start + len(site)] = (
        site if strand > 0 else alphabet.reverse_complement(site)
    )
    return changed


@pytest.mark.parametrize("name", ACTIVATORS)
def test_an_activator_raises_expression(name):
    tokens = backgrounds()
    gain = noise_free_expression(planted(tokens, name, 45)) - noise_free_expression(tokens)
    assert gain.mean() > 0.5
    assert np.mean(gain > 0) > 0.75  # A few insertions destroy something better.


@pytest.mark.parametrize("name", REPRESSORS)
def test_a_repressor_lowers_expression(name):
    tokens = backgrounds()
    gain = noise_free_expression(planted(tokens, name, 55)) - noise_free_expression(tokens)
    assert gain.mean() < -0.5
    assert np.mean(gain < 0) > 0.65


@pytest.mark.parametrize("name", ["Reb1", "Cbf1", "Mig1"])
def test_more_sites_saturate(name):
    """Each further site adds less occupancy, for a factor that binds without cooperativity."""
    tokens = backgrounds()
    number = MOTIF_NUMBER[name]
    bound = [occupancy(tokens)[:, number].mean()]
    for start in (30, 55, 75):
        tokens = planted(tokens, name, start)
        bound.append(occupancy(tokens)[:, number].mean())
    gains = np.diff(bound)
    assert (gains > 0).all()
    assert (np.diff(gains) < 0).all()
    assert bound[-1] < 1


def test_cooperative_binding_needs_the_second_site():
    """Hill coefficient 2: at low dose, doubling the dose gives nearly four times the occupancy."""
    doses = np.zeros((3, len(MOTIFS)))
    number = MOTIF_NUMBER["Hsf1"]
    doses[:, number] = 0.01, 0.02, 1.0
    bound = model._occupancy(doses)[:, number]
    assert bound[1] / bound[0] == pytest.approx(4, rel=1e-3)
    assert bound[2] == 0.5


def test_tata_boosts_an_activator():
    tokens = backgrounds()
    with_tata = planted(tokens, "TATA", 75)
    alone = noise_free_expression(planted(tokens, "Gcn4", 50)) - noise_free_expression(tokens)
    together = noise_free_expression(planted(with_tata, "Gcn4", 50)) - noise_free_expression(tokens)
    tata = noise_free_expression(with_tata) - noise_free_expression(tokens)
    assert tata.mean() > 0
    assert together.mean() > alone.mean()


@pytest.mark.parametrize("motif", MOTIFS, ids=lambda motif: motif.name)
def test_the_reverse_strand_counts_as_the_strand_effect_says(motif):
    """A site turned round at its place gives ``reverse`` times the dose.

    A partly palindromic site also binds the other way round, with affinity ``other``.
    """
    site = consensus(motif.name)
    turned = alphabet.reverse_complement(site)
    other = motif.affinity_columns(-1)[np.arange(motif.width), site].prod()
    doses = []
    for oriented in (site, turned):
        tokens = np.full((1, 110), alphabet.N, np.uint8)
        tokens[0, 50 : 50 + motif.width] = oriented
        doses.append(model.scan.doses(tokens)[0, MOTIF_NUMBER[motif.name]])
    forward, reverse = doses
    assert reverse / forward == pytest.approx(
        (motif.reverse + other) / (1 + motif.reverse * other), rel=1e-4
    )


def test_gc_rich_sequences_are_less_open():
    rich = np.tile(alphabet.encode("GC"), (1, 55))
    poor = np.tile(alphabet.encode("AT"), (1, 55))
    assert model._gc(rich)[0] == 1
    assert model._gc(poor)[0] == 0
    half = np.concatenate([rich[:, :60], np.full((1, 60), alphabet.N, np.uint8)], axis=1)
    assert model._gc(half)[0] == 1
    nothing = np.zeros((1, len(MOTIFS)))
    low, high = (float(model._expression(nothing, np.array([gc]))[0]) for gc in (0.8, 0.2))
    assert low < high


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([20, 80, 110, 142]))
def test_expression_stays_inside_its_limits(seed, length):
    tokens = np.random.default_rng(seed).integers(0, 5, (20, length), dtype=np.uint8)
    expression = noise_free_expression(tokens)
    assert expression.dtype == np.float64
    assert (expression >= model.LOWEST).all()
    assert (expression <= model.HIGHEST).all()


def test_rows_do_not_depend_on_each_other():
    tokens = backgrounds(20)
    alone = np.concatenate([noise_free_expression(row[None]) for row in tokens])
    np.testing.assert_allclose(noise_free_expression(tokens), alone, rtol=1e-12)


def test_golden_values():
    """A change here changes every simulated file: raise ``writer.VERSION`` with it."""
    names = ["Reb1", "Gcn4", "TATA", "Mig1"]
    tokens = np.concatenate(
        [planted(np.tile(alphabet.encode("ACGTTGCA"), (1, 14))[:, :110], n, 50) for n in names]
    )
    np.testing.assert_allclose(noise_free_expression(tokens), GOLDEN, rtol=1e-6)


def test_random_promoters_vary_over_most_of_the_range():
    expression = noise_free_expression(backgrounds(4000))
    assert 10.3 < expression.mean() < 11.7
    assert 1.6 < expression.std() < 2.3
    low, high = np.quantile(expression, [0.01, 0.99])
    assert low < 8
    assert high > 15
