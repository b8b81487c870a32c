import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dream_keras.data import alphabet

dna = st.text(alphabet="ACGTN", min_size=1, max_size=60)


@given(dna)
def test_letters_survive_a_round_trip(sequence):
    assert alphabet.decode(alphabet.encode(sequence)) == sequence


@given(dna)
def test_lower_case_means_the_same(sequence):
    assert (alphabet.encode(sequence.lower()) == alphabet.encode(sequence)).all()


@given(dna)
def test_reverse_complement_is_its_own_inverse_and_matches_letters(sequence):
    tokens = alphabet.encode(sequence)
    other = alphabet.reverse_complement(tokens)
    pairs = dict(zip("ACGTN", "TGCAN", strict=True))
    assert alphabet.decode(other) == "".join(pairs[b] for b in reversed(sequence))
    assert (alphabet.reverse_complement(other) == tokens).all()


def test_other_letters_are_invalid():
    assert (alphabet.encode("AXU-é") == [0, 255, 255, 255, 255]).all()


def test_rows_are_decoded_one_by_one():
    tokens = np.array([[0, 1], [3, 4]], np.uint8)
    assert alphabet.decode_rows(tokens) == ["AC", "TN"]
