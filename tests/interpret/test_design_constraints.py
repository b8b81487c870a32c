"""Constraints of designs: sites, ranges, positions, and mistakes in them."""

import re
import sys

import numpy as np
import pytest
from design_helpers import linear, random_sequences, search_of, texts

from dream_keras.common.errors import UserError
from dream_keras.interpret.constraints import REASONS, forbidden_sites, gc_range
from dream_keras.interpret.design_gradient import SoftSequences
from dream_keras.interpret.design_plan import optimise
from dream_keras.interpret.goal import Goal
from dream_keras.interpret.predictor import Predictor
from dream_keras.interpret.random_inserts import read_shares
from dream_keras.interpret.starts import make_starts, protected_spans, random_starts


def counts(sequence, **limits):
    search = search_of([linear(np.zeros((len(sequence), 4)))], {"one": sequence}, **limits)
    found = search.checker.counts(search.tokens, search.everyone)[0]
    return {reason: int(count) for reason, count in zip(REASONS, found, strict=True) if count}


def test_what_is_counted():
    assert counts("GGTCTCAAGAGACC", forbid="GGTCTC") == {"forbidden_site": 2}  # both strands
    assert counts("GAATTC", forbid="GAATTC") == {"forbidden_site": 1}  # a palindrome once
    assert counts("GANTTC", forbid="GAATTC") == {}
    assert counts("ACCCCT", max_homopolymer=3) == {"homopolymer": 1}
    assert counts("ACCCCT", max_homopolymer=4) == {}
    assert counts("AAAACCCCNN", gc=(0.6, 1.0)) == {"gc": 1}
    assert counts("AAAACCCC", gc=(0.0, 0.2)) == {"gc": 3}
    # The constant ends do not count, what reaches into them does.
    assert counts("GGGGGACT", kept=(5, 0), max_homopolymer=3) == {}
    assert counts("GGGGGACT", kept=(3, 0), max_homopolymer=3) == {"homopolymer": 2}
    assert counts("GGGGGACT", kept=(5, 0), gc=(0.3, 0.4)) == {}
    # Neither do adapters that are put on.
    assert counts("TTCAA", flanks=("GGAA", "TTCC"), forbid="GAATTC") == {"forbidden_site": 1}
    assert counts("ATCAA", flanks=("GAATTC", ""), forbid="GAATTC") == {}


def test_enzymes_are_found_by_name():
    pytest.importorskip("Bio")
    assert forbidden_sites("EcoRI") == forbidden_sites("gaattc") == forbidden_sites("ecori")
    assert forbidden_sites("BsaI,EcoRV") == forbidden_sites("GGTCTC,GATATC")
    with pytest.raises(UserError, match=r'enzyme "EcoRJ"\. Did you mean "EcoR'):
        forbidden_sites("EcoRJ")


def test_without_biopython_sequences_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "Bio.Restriction.Restriction_Dictionary", None)
    assert forbidden_sites("GAATTC")
    with pytest.raises(UserError, match=r'pip install "dream-keras\[genome\]"'):
        forbidden_sites("EcoRI")


@pytest.mark.parametrize(
    ("function", "text", "said"),
    [
        (gc_range, "0.6-0.4", "expected LOW-HIGH"),
        (gc_range, "40", "expected LOW-HIGH"),
        (gc_range, "40-160", "expected LOW-HIGH"),
        (protected_spans, "0-3", "expected START-END"),
        (protected_spans, "5-3", "expected START-END"),
        (protected_spans, "a", "expected START-END"),
        (read_shares, "1,1,1", "expected those of A, C, G and T"),
        (read_shares, "1,1,1,x", "expected those of A, C, G and T"),
        (read_shares, "0,0,0,0", "expected those of A, C, G and T"),
        (read_shares, "1,1,1,-1", "expected those of A, C, G and T"),
        (forbidden_sites, " , ", "expected enzymes or sequences"),
    ],
)
def test_mistakes_in_settings(function, text, said):
    with pytest.raises(UserError, match=re.escape(said)):
        function(text)


def test_what_may_not_change():
    with pytest.raises(UserError, match="protect 3-9: s0 has 8 bp"):
        make_starts(random_sequences(1, 8), protect="3-9")
    with pytest.raises(UserError, match="no base may change: of 8 bp 4 and 2 at the ends"):
        make_starts(random_sequences(1, 8), None, (4, 2), "5-6")


def test_random_starts_have_the_shares_that_are_asked_for():
    (text,) = random_starts(1, 20_000, (0.3, 0.1, 0.4, 0.2), 0).values()
    found = [text.count(base) / len(text) for base in "ACGT"]
    np.testing.assert_allclose(found, [0.3, 0.1, 0.4, 0.2], atol=0.015)
    assert random_starts(3, 9, (1, 0, 0, 0), 0, ("CC", "G"))["random3"] == "CC" + 9 * "A" + "G"


def test_gradients_of_probabilities_are_derivatives(random):
    """Of logits, scale and shift, some positions being fixed."""
    editable = np.array([[1, 1, 1, 0, 1, 1], [1, 0, 1, 1, 1, 0]], bool)
    upstream = random.normal(size=(2, 6, 4)) * editable[..., None]
    soft = SoftSequences(random.normal(size=(2, 6, 4)), editable)
    soft.arrays["scale"] += random.normal(size=(2, 1, 4)) / 3
    soft.arrays["shift"] += random.normal(size=(2, 1, 4))
    soft.probabilities()
    found, step = soft.gradients(upstream), 1e-5
    for name, gradient in found.items():
        for at in np.ndindex(gradient.shape):
            values = []
            for sign in (1, -2):
                soft.arrays[name][at] += sign * step
                values.append((soft.probabilities() * upstream).sum())
            soft.arrays[name][at] += step
            slope = (values[0] - values[1]) / (2 * step)
            assert slope == pytest.approx(gradient[at], abs=2e-5), (name, at)


def test_gradients_need_models_that_have_them(predictor):
    search = search_of([predictor], random_sequences(1, 44), Goal("max", "liver"))
    with pytest.raises(UserError, match="method gradient needs models with gradients"):
        optimise(search, "gradient", 1)


def test_gradient_designs_of_unequal_lengths(random):
    """Each is what its own positions want."""
    weights = random.normal(size=(12, 4))
    models = {length: linear(weights[:length]) for length in (9, 12)}
    both = Predictor(
        lambda asked: [models[len(each)]([each])[0, 0] for each in asked],
        gradients=lambda bases, tasks: models[bases.shape[1]].gradients(bases, tasks),
    )
    sequences = {"long": random_sequences(1, 12)["s0"], "short": random_sequences(1, 9)["s0"]}
    search = search_of([both], sequences)
    optimise(search, "gradient", 150)
    best = "".join("ACGT"[base] for base in weights.argmax(axis=1))
    assert texts(search) == [best, best[:9]]
