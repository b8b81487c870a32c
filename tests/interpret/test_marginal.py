"""Effects of inserted motifs: closed forms, plain string operations, the simulator."""

import numpy as np
import pytest
import scipy.stats

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.interpret import marginal
from dream_keras.interpret.backgrounds import (
    Backgrounds,
    given_backgrounds,
    random_backgrounds,
)
from dream_keras.interpret.marginal import marginal_effects
from dream_keras.interpret.marginal_plan import DIFFERENCE, POINTS, plan, read_range
from dream_keras.interpret.motif_file import Motif, letters_motif
from dream_keras.interpret.predictor import Predictor
from dream_keras.interpret.windows import reverse_complement
from dream_keras.simulate.assay import BASE_SHARES, with_adapters
from dream_keras.simulate.expression import noise_free_expression
from dream_keras.simulate.motifs import MOTIF_NUMBER, MOTIFS

POLY_AT = (0.5, 0, 0, 0.5)
"""Backgrounds that hold nothing of a motif of G and C."""


def values(found, kind, strand="+", **wanted):
    """Return the effects of some rows, (rows,), of the first task."""
    rows = [
        number
        for number, row in enumerate(found.rows)
        if (row.kind, row.strand) == (kind, strand)
        and all(getattr(row, name) == value for name, value in wanted.items())
    ]
    return found.effects[rows, 0]


@pytest.fixture
def around():
    return random_backgrounds(12, 30, POLY_AT, seed=1)


def matches(motif):
    """Return a function: a match at each position and on each strand counts for itself."""
    weights = np.arange(1, 100), -10.0 * np.arange(1, 100)

    def predict(sequences):
        return [
            sum(
                weights[reverse][at]
                for at in range(len(sequence))
                for reverse, site in enumerate((motif, reverse_complement(motif)))
                if sequence.startswith(site, at)
            )
            for sequence in sequences
        ]

    return Predictor(predict)


def test_effects_of_a_sum_over_positions(around):
    """By position the weights themselves; copies their sum; no interactions."""
    motif = letters_motif("GCC")
    rows = plan([motif], around.insert, pairs=True, gap=4)
    found = marginal_effects(matches("GCC"), [motif], around, rows)
    positions = np.array(range(1, 29, 2))
    np.testing.assert_allclose(values(found, "position"), positions)
    np.testing.assert_allclose(values(found, "position", "-"), -10 * positions)
    np.testing.assert_allclose(values(found, "orientation"), positions.mean())
    np.testing.assert_allclose(values(found, "orientation", DIFFERENCE), 11 * positions.mean())
    # In the middle of 30 bp: from 14; 11 and 18; 7, 14 and 21; 4, 11, 18 and 25, counted from 1.
    np.testing.assert_allclose(values(found, "copies"), [14, 29, 42, 58])
    np.testing.assert_allclose(values(found, "copies", "-"), [-140, -290, -420, -580])
    interactions = [row.kind == "spacing" for row in found.rows]
    assert sum(interactions) == 4 * 13
    np.testing.assert_allclose(found.effects[interactions], 0, atol=1e-12)
    # Nothing depends on the backgrounds here.
    np.testing.assert_allclose(found.low, found.effects, atol=1e-9)
    np.testing.assert_allclose(found.high, found.effects, atol=1e-9)
    assert found.n == 12


def test_interactions_of_a_product(around):
    """Each factor alone multiplies a prediction of 1, so that both interact with (a - 1)(b - 1)."""
    motifs = [letters_motif("GCC"), letters_motif("CG", "short")]
    factors = {"GCC": 3.0, "GGC": 5.0, "CG": 7.0}

    def predict(sequences):
        return [np.prod([f for s, f in factors.items() if s in each]) for each in sequences]

    rows = plan(motifs, around.insert, copies=[1], pairs=True, spacings=range(2, 10))
    found = marginal_effects(Predictor(predict), motifs, around, rows)
    for strand, factor in (("+", 3), ("-", 5)):
        np.testing.assert_allclose(values(found, "copies", strand, motif="GCC"), factor - 1)
        for other in "+-":
            expected = np.full(8, (factor - 1) * 6.0)
            both = values(found, "spacing", strand + other, motif="GCC", second="short")
            np.testing.assert_allclose(both, expected)
            both = values(found, "spacing", other + strand, motif="short", second="GCC")
            np.testing.assert_allclose(both, expected)


def in_place(background, kept, sites):
    """Return a background with sites, by joining strings."""
    for site, start in sites:
        at = kept[0] + start
        background = background[:at] + site + background[at + len(site) :]
    return background


@pytest.mark.parametrize("at_a_time", [7, 4096])
def test_equals_plain_string_operations(counting, predictor, monkeypatch, at_a_time):
    """Both tasks, backgrounds of several lengths with constant ends; each predicted once."""
    monkeypatch.setattr(marginal, "AT_A_TIME", at_a_time)
    source = np.random.default_rng(4)
    texts = ["".join(source.choice(list("ACGT"), length)) for length in (50, 44, 47, 60)]
    kept = (5, 3)
    backgrounds = given_backgrounds({str(n): text for n, text in enumerate(texts)}, kept)
    assert backgrounds.insert == 36
    letters = {"one": "GATTACA", "two": "CCGTA"}
    motifs = [letters_motif(site, name) for name, site in letters.items()]
    rows = plan(motifs, 36, [1, 17, 29], [1, 3], 2, pairs=True, spacings=[0, 5])
    found = marginal_effects(predictor, motifs, backgrounds, rows)
    asked = len(counting.asked)
    expected = []
    seen = {()}
    alone = predictor(texts)

    def effect(*sites):
        seen.add(sites)
        return predictor([in_place(text, kept, sites) for text in texts]) - alone

    def turned(name, strand):
        return reverse_complement(letters[name]) if strand == "-" else letters[name]

    for row in rows:
        size = len(letters[row.motif])
        if row.kind == "orientation":
            means = {
                strand: np.mean(
                    [effect((turned(row.motif, strand), at)) for at in (0, 16, 28)], axis=0
                )
                for strand in "+-"
            }
            means[DIFFERENCE] = means["+"] - means["-"]
            expected.append(means[row.strand])
        elif row.kind == "spacing":
            first = (turned(row.motif, row.strand[0]), row.position - 1)
            second = (
                turned(row.second, row.strand[1]),
                row.position - 1 + size + row.spacing,
            )
            expected.append(effect(first, second) - effect(first) - effect(second))
        else:
            site = turned(row.motif, row.strand)
            starts = [row.position - 1 + at * (size + 2) for at in range(row.copies)]
            expected.append(effect(*((site, at) for at in starts)))
    np.testing.assert_allclose(found.effects, np.mean(expected, axis=1), atol=1e-12)
    assert asked == len(texts) * len(seen)
    assert found.outputs == ("liver", "brain")
    one = marginal_effects(predictor, motifs, backgrounds, rows, "brain - liver")
    np.testing.assert_allclose(one.effects[:, 0], found.effects @ [-1, 1], atol=1e-12)
    assert one.outputs == ("brain - liver",)


def test_a_motif_on_the_other_strand_is_its_reverse_complement(predictor):
    motif = letters_motif("TGACTAA")
    other = letters_motif(reverse_complement("TGACTAA"))
    around = random_backgrounds(6, 50, seed=3)
    both = [
        marginal_effects(predictor, [each], around, plan([each], 50, range(1, 40, 9)))
        for each in (motif, other)
    ]
    for kind in ("position", "orientation", "copies"):
        for strand, opposite in ("+-", "-+"):
            np.testing.assert_array_equal(
                values(both[0], kind, strand), values(both[1], kind, opposite)
            )
    np.testing.assert_allclose(
        values(both[0], "orientation", DIFFERENCE), -values(both[1], "orientation", DIFFERENCE)
    )


def test_the_seed_decides(predictor):
    """And a second motif changes nothing of the first."""
    motifs = [letters_motif("NNNSTCA"), letters_motif("RRRR")]

    def effects(seed, motifs=motifs[:1]):
        around = random_backgrounds(5, 40, seed=seed)
        rows = plan(motifs, 40, [1, 20])
        return marginal_effects(predictor, motifs, around, rows, seed=seed)

    first, again, other = effects(1), effects(1), effects(2)
    for name in ("effects", "low", "high"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.allclose(first.effects, other.effects)
    beside = effects(1, motifs)
    assert (
        values(first, "position").tolist() == values(beside, "position", motif="NNNSTCA").tolist()
    )


def test_each_background_has_one_site_of_a_motif(counting, predictor):
    motif = letters_motif("NNNNNN")
    around = random_backgrounds(9, 40, seed=1)
    marginal_effects(predictor, [motif], around, plan([motif], 40, [3, 30], [2], gap=4))
    asked = np.array(counting.asked).reshape(-1, 9)[1:]
    sites = [text[2:8] for text in asked[0]]
    assert len(set(sites)) > 5
    assert [text[29:35] for text in asked[1]] == sites
    assert [reverse_complement(text[2:8]) for text in asked[2]] == sites
    assert [text[12:18] for text in asked[4]] == sites
    assert [text[22:28] for text in asked[4]] == sites


def test_intervals_are_those_of_means():
    """Near the normal ones where there are many backgrounds; none for a single one."""
    around = random_backgrounds(400, 12, seed=1)
    motif = letters_motif("GGG")
    predictor = Predictor(lambda sequences: [float(s.count("G")) for s in sequences])
    found = marginal_effects(predictor, [motif], around, plan([motif], 12, [4], [1]))
    added = 3 - (around.tokens[:, 3:6] == alphabet.G).sum(axis=1)
    assert found.effects[0, 0] == pytest.approx(added.mean())
    half = scipy.stats.norm.ppf(0.975) * added.std() / 20
    assert found.low[0, 0] == pytest.approx(added.mean() - half, abs=0.1 * half)
    assert found.high[0, 0] == pytest.approx(added.mean() + half, abs=0.1 * half)
    single = Backgrounds(around.tokens[:1], around.lengths[:1])
    found = marginal_effects(predictor, [motif], single, plan([motif], 12, [4], [1]))
    assert np.isnan(found.low).all()
    assert np.isfinite(found.effects).all()


def test_random_backgrounds_have_their_shares():
    shares = (0.1, 0.2, 0.3, 0.4)
    found = random_backgrounds(100, 100, shares, seed=5)
    counts = np.bincount(found.tokens.ravel(), minlength=4)
    assert scipy.stats.chisquare(counts, 10_000 * np.array(shares)).pvalue > 1e-3
    np.testing.assert_array_equal(found.tokens[:7], random_backgrounds(7, 100, shares, 5).tokens)


def test_shuffles_keep_ends_and_bases():
    sequence = "GGGG" + "ACGATCGCATTACGA" * 3 + "CC"
    found = given_backgrounds({"a": sequence, "b": sequence[::-1]}, (4, 2), shuffle=3, seed=2)
    texts = alphabet.decode_rows(found.tokens)
    assert len(set(texts)) == 6
    for text in texts[:3]:
        assert text[:4] + text[-2:] == "GGGGCC"
        assert sorted(text) == sorted(sequence)
    again = given_backgrounds({"a": sequence}, (4, 2), shuffle=3, seed=2)
    assert alphabet.decode_rows(again.tokens) == texts[:3]


def test_an_activator_and_a_repressor_of_the_simulator():
    """Gcn4 raises the noise-free expression of random promoters, Mig1 lowers it."""

    def expression(sequences):
        inserts = np.stack([alphabet.encode(sequence) for sequence in sequences])
        return noise_free_expression(with_adapters(inserts))

    named = [MOTIFS[MOTIF_NUMBER[name]] for name in ("Gcn4", "Mig1")]
    motifs = [Motif(motif.name, motif.matrix) for motif in named]
    around = random_backgrounds(40, 80, BASE_SHARES, seed=1)
    found = marginal_effects(Predictor(expression), motifs, around, plan(motifs, 80))
    repressor = np.array([row.motif == "Mig1" for row in found.rows])
    difference = np.array([row.strand == DIFFERENCE for row in found.rows])
    mean = np.array([row.kind == "orientation" for row in found.rows]) & ~difference
    assert (found.low[~repressor & ~difference] > 0.5).all()
    assert (found.effects[repressor & ~difference] < -0.2).all()
    assert (found.high[repressor & mean] < -0.2).all()


def test_positions_and_spacings_by_default():
    motif = letters_motif("ACGTACGT")
    rows = plan([motif], 200, pairs=True)
    for kind, behind in (("position", 193), ("spacing", 184)):
        strand = "+" if kind == "position" else "++"
        name = "position" if kind == "position" else "spacing"
        places = [getattr(row, name) for row in rows if (row.kind, row.strand) == (kind, strand)]
        assert POINTS - 2 <= len(places) <= POINTS
        assert behind - 11 <= places[-1] <= behind
    short = plan([motif], 9)
    assert [row.position for row in short if row.kind == "position"] == [1, 2, 1, 2]
    assert [row.copies for row in short if row.kind == "copies"] == [1, 1]


@pytest.mark.parametrize(
    ("value", "numbers"),
    [("3", [3]), ("2-4", [2, 3, 4]), (" 1 - 9:4", [1, 5, 9]), ([7, 5], [7, 5])],
)
def test_ranges(value, numbers):
    assert read_range(value, "copies", 1) == numbers
    assert read_range(None, "copies", 1) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("x", "--copies x: expected START-END"),
        ("1-5:0", "expected START-END"),
        ("5-1", "there is no number in it"),
        ("0-5", "the lowest is 1"),
        ([0], "the lowest is 1"),
        ([], "there is no number in it"),
    ],
)
def test_no_ranges(value, said):
    with pytest.raises(UserError, match=said):
        read_range(value, "copies", 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"insert": 6}, "motif one has 7 bp; the insert it is put into has 6"),
        ({"positions": [1, 15]}, "--positions 15: motif one has 7 bp and fits at 1 to 14 of"),
        ({"copies": [3], "gap": 0}, "--copies 3: 3 copies of motif one with 0 bp between them"),
        ({"gap": -1}, "gap=-1: at least 0"),
        ({"spacings": [3]}, "--spacings belong to --pairs-of-motifs"),
        ({"pairs": True, "spacings": [9]}, "--spacings 9: one and two leave 8 bp of the insert"),
        ({"pairs": True, "insert": 11}, "one and two have 12 bp together, the insert has 11"),
    ],
)
def test_what_does_not_fit(given, said):
    motifs = [letters_motif("GATTACA", "one"), letters_motif("CCGTA", "two")]
    with pytest.raises(UserError, match=said):
        plan(motifs, **{"insert": 20, **given})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: random_backgrounds(0, 9), "backgrounds=0: at least 1"),
        (lambda: random_backgrounds(3, 0), "length=0: at least 1"),
        (lambda: given_backgrounds({"a": "ACGT"}, (2, 2)), 'background "a" has 4 bp; 2 and 2 bp'),
        (lambda: given_backgrounds({}), "no background sequences"),
    ],
)
def test_no_backgrounds(make, said):
    with pytest.raises(UserError, match=said):
        make()


def test_an_unknown_task(predictor):
    motif, around = letters_motif("GGG"), random_backgrounds(2, 40)
    with pytest.raises(UserError, match='unknown task "lung"'):
        marginal_effects(predictor, [motif], around, plan([motif], 40), "lung")
