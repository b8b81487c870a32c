import numpy as np
import pytest
from scipy.stats import norm

from dream_keras.data import alphabet, yeast
from dream_keras.data.table import tokenize
from dream_keras.menu.autosome import AutosomeProcessor, soft_bins

CONTEXT = yeast.LEFT_FLANK + yeast.LEFT_ADAPTER


def encoded(sequences, processor=None):
    processor = processor or AutosomeProcessor()
    tokens = processor.encode(*tokenize(sequences, processor.max_length))
    return [alphabet.decode(row) for row in tokens]


def channels(text, reverse=0, singleton=0):
    tokens = alphabet.encode(text)[None]
    made = AutosomeProcessor().make_channels(tokens, np.array([reverse]), np.array([singleton]))
    return np.asarray(made)[0]


@pytest.mark.parametrize("insert", [0, 48, 79, 80, 81, 112, 137])
def test_rows_are_the_last_150_of_plasmid_and_sequence(random, insert):
    sequence = yeast.LEFT_ADAPTER + "".join(random.choice(list("ACGT"), insert))
    sequence += yeast.RIGHT_ADAPTER
    whole = CONTEXT + sequence[len(yeast.LEFT_ADAPTER) :]
    assert encoded([sequence]) == [whole[-150:]]


def test_rows_of_different_lengths_keep_their_order(random):
    sequences = [
        yeast.LEFT_ADAPTER + "".join(random.choice(list("ACGTN"), n))
        for n in random.integers(1, 150, 40)
    ]
    assert encoded(sequences) == [encoded([sequence])[0] for sequence in sequences]


def test_a_standard_row_has_40_vector_bases():
    row = encoded([yeast.LEFT_ADAPTER + "C" * 80 + yeast.RIGHT_ADAPTER])[0]
    assert row == yeast.LEFT_FLANK[-40:] + yeast.LEFT_ADAPTER + "C" * 80 + yeast.RIGHT_ADAPTER


def test_channels_by_hand():
    # Channels A, G, C, T; N is nothing; then is_reverse and is_singleton.
    assert channels("AGCTN").tolist() == [
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_reverse_channels_are_those_of_the_reverse_complement(random):
    text = "".join(random.choice(list("ACGTN"), 150))
    other = alphabet.decode(alphabet.reverse_complement(alphabet.encode(text)))
    got, want = channels(text, reverse=1), channels(other)
    np.testing.assert_array_equal(got[:, [0, 1, 2, 3, 5]], want[:, [0, 1, 2, 3, 5]])
    assert (got[:, 4] == 1).all()


def test_singleton_fills_its_channel():
    assert (channels("ACGT", singleton=1)[:, 5] == 1).all()


def test_an_integer_label_is_a_singleton():
    labels = np.array([[12.0], [12.0000001], [11.5], [0.0]])
    processor = AutosomeProcessor()
    assert processor.row_flags(labels).tolist() == [1, 0, 0, 1]
    flags = np.array([1, 0], np.uint8)
    assert processor.validation_flags(flags).tolist() == [0, 0]
    reference = AutosomeProcessor(singleton_in_validation=True)
    assert reference.validation_flags(flags).tolist() == [1, 0]


@pytest.mark.parametrize("label", [0.0, 0.4, 8.0, 11.37, 17.0])
def test_soft_bins_are_integrals_of_a_normal_distribution(label):
    edges = [-np.inf, *range(1, 18), np.inf]
    below = norm.cdf(edges, loc=label + 0.5, scale=0.5)
    got = np.asarray(soft_bins(np.array([label], "float32")))[0]
    np.testing.assert_allclose(got, np.diff(below), atol=1e-6)
    assert got.sum() == pytest.approx(1, abs=1e-6)


def test_soft_bins_equal_the_published_ones(golden):
    arrays, _ = golden("trace_cnn")
    got = np.asarray(soft_bins(arrays["y"][0].astype("float32")))
    # A float32 label of 16 is off by up to 5e-7, and a probability changes by 0.8 per unit.
    np.testing.assert_allclose(got, arrays["y_probs"][0], atol=1e-6)
