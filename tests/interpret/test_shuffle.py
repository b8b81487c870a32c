import random
from collections import Counter
from itertools import pairwise, permutations

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from dream_keras.interpret.shuffle import dinucleotide_shuffle


@given(st.text("ACGTN", min_size=1, max_size=60), st.integers(0, 99))
def test_dinucleotides_and_ends_stay(sequence, seed):
    shuffled = dinucleotide_shuffle(sequence, random.Random(seed))
    assert Counter(pairwise(shuffled)) == Counter(pairwise(sequence))
    assert (shuffled[0], shuffled[-1]) == (sequence[0], sequence[-1])


@pytest.mark.parametrize("sequence", ["AACGACGTA", "ACGATCGCA", "GATTACATT"])
def test_all_sequences_are_equally_likely(sequence):
    """Against a list of all of them; keeping each letter's last exit would give other shares."""
    counts = Counter(pairwise(sequence))
    inner = set(permutations(sequence[1:-1]))
    possible = sorted(
        "".join((sequence[0], *middle, sequence[-1]))
        for middle in inner
        if Counter(pairwise((sequence[0], *middle, sequence[-1]))) == counts
    )
    assert len(possible) > 3
    source = random.Random(5)
    drawn = Counter(dinucleotide_shuffle(sequence, source) for _ in range(400 * len(possible)))
    assert set(drawn) == set(possible)
    assert scipy.stats.chisquare([drawn[each] for each in possible]).pvalue > 1e-3
