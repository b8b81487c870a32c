import numpy as np
import pytest
from scipy.stats import norm

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet, yeast
from dream_keras.data.table import tokenize
from dream_keras.menu.bhi import BHIProcessor

SEQUENCE = yeast.LEFT_ADAPTER + "ACGT" * 20 + yeast.RIGHT_ADAPTER


def encoded(sequences, processor):
    return processor.encode(*tokenize(sequences, processor.max_length))


def texts(tokens):
    return [alphabet.decode(row) for row in tokens]


def sequence(random, insert):
    bases = "".join(random.choice(list("ACGT"), insert))
    return yeast.LEFT_ADAPTER + bases + yeast.RIGHT_ADAPTER


def test_standard_rows_stay_as_they_are(random):
    processor = BHIProcessor()
    tokens = encoded([SEQUENCE], processor)
    assert texts(processor.training_view(tokens, random)) == [SEQUENCE]
    assert texts(processor.prediction_views(tokens)[0]) == [SEQUENCE]


def test_longer_rows_are_cut_on_the_right(random):
    row = sequence(random, 112)
    assert texts(encoded([row], BHIProcessor())) == [row[:110]]
    with pytest.raises(UserError, match="the processor takes 142"):
        encoded([sequence(random, 113)], BHIProcessor())


@pytest.mark.parametrize("insert", [48, 63, 79])
def test_short_rows_are_filled_up_with_the_vector_on_either_side_or_both(random, insert):
    row, missing = sequence(random, insert), 80 - insert
    left, right = yeast.LEFT_FLANK, yeast.RIGHT_FLANK
    half = missing // 2
    allowed = {
        "right": row + right[:missing],
        "left": left[-missing:] + row,
        "both": (left[-half:] if half else "") + row + right[: missing - half],
    }
    processor = BHIProcessor()
    tokens = np.repeat(encoded([row], processor), 20_000, axis=0)
    drawn = texts(processor.training_view(tokens, random))
    shares = {side: drawn.count(text) / len(drawn) for side, text in allowed.items()}
    assert sum(drawn.count(text) for text in set(allowed.values())) == len(drawn)
    if missing > 1:
        expected = {"right": 0.333, "left": 0.667 * 0.334, "both": 0.667 * 0.666}
        assert shares == pytest.approx(expected, abs=0.015)
    assert texts(processor.prediction_views(tokens[:1])[0]) == [allowed["both"]]


def test_what_lies_behind_the_known_vector_is_unknown():
    processor = BHIProcessor()
    # 30 bp long: 80 are missing, of which the vector's right side knows 76.
    tokens = np.repeat(encoded([SEQUENCE[:30]], processor), 50, axis=0)
    drawn = set(texts(processor.training_view(tokens, np.random.default_rng(0))))
    assert SEQUENCE[:30] + yeast.RIGHT_FLANK + "N" * 4 in drawn


@pytest.mark.parametrize("missing", [37, 38, 80, 150, 151, 180])
def test_a_left_fill_is_the_vector_as_far_as_it_is_known(missing):
    """The published code fails above 37 bp; 150 bp of the vector are known here."""
    row = SEQUENCE[:40]
    processor = BHIProcessor(length=40 + missing)
    tokens = np.repeat(encoded([row], processor), 50, axis=0)
    drawn = set(texts(processor.training_view(tokens, np.random.default_rng(0))))
    known = min(missing, 150)
    assert "N" * (missing - known) + yeast.LEFT_FLANK[150 - known :] + row in drawn


def test_shifted_windows_take_the_vectors_bases():
    processor = BHIProcessor(shifts=2)
    views = [texts(v)[0] for v in processor.prediction_views(encoded([SEQUENCE], processor))]
    assert views == [
        yeast.LEFT_FLANK[-2:] + SEQUENCE[:-2],
        yeast.LEFT_FLANK[-1:] + SEQUENCE[:-1],
        SEQUENCE,
        SEQUENCE[1:] + yeast.RIGHT_FLANK[:1],
        SEQUENCE[2:] + yeast.RIGHT_FLANK[:2],
    ]


def test_a_window_is_what_slicing_the_construct_gives(random):
    """Rows of all lengths in one call, against one string per row."""
    processor = BHIProcessor(shifts=3)
    rows = [sequence(random, int(n)) for n in random.integers(48, 113, 60)]
    views = processor.prediction_views(encoded(rows, processor))
    for shift, view in zip(range(-3, 4), views, strict=True):
        for row, got in zip(rows, texts(view), strict=True):
            row = row[:110]
            start = len(yeast.LEFT_FLANK) - (110 - len(row)) // 2 + shift
            construct = yeast.LEFT_FLANK + row + yeast.RIGHT_FLANK
            assert got == construct[start : start + 110]


def test_channels_are_agct_and_unknown_bases_nothing():
    tokens = alphabet.encode("AGCTN")[None]
    channels = np.asarray(BHIProcessor().make_channels(tokens, np.array([0]), np.array([1])))[0]
    np.testing.assert_array_equal(channels[:4], np.eye(4))
    np.testing.assert_array_equal(channels[4], 0)
    other = np.asarray(BHIProcessor().make_channels(tokens, np.array([1]), np.array([0])))[0]
    # NAGCT is the other strand.
    np.testing.assert_array_equal(other[1:], np.eye(4))


def test_labels_are_centred_on_11_and_scaled_by_their_deviation():
    labels = np.array([[9], [10], [13], [16]], "float32")
    processor = BHIProcessor(**BHIProcessor().label_statistics(labels))
    assert processor.label_std == pytest.approx((np.std(labels),))
    scaled = np.asarray(processor.make_target(labels, None, "value"))
    np.testing.assert_allclose(scaled, (labels - 11) / np.std(labels), rtol=1e-6)
    np.testing.assert_array_equal(processor.make_target(labels, None, "label"), labels)
    both_strands = np.stack([scaled - 0.1, scaled + 0.1], axis=1)
    np.testing.assert_allclose(processor.to_expression(both_strands, "value"), labels, rtol=1e-6)
    assert BHIProcessor(label_mean=(1.0,), label_std=(2.0,)).label_statistics(labels) == {}


def test_labels_that_do_not_differ_are_refused():
    with pytest.raises(UserError, match="all training labels are 3"):
        BHIProcessor().label_statistics(np.full((4, 1), 3, "float32"))


def test_the_normal_distribution_function_of_the_mean():
    processor = BHIProcessor(normal_cdf=True, label_mean=(11.5,), label_std=(2.0,))
    outputs = np.array([[0.0, 1.0], [-2.0, 0.0]])[:, :, None]
    want = norm.cdf([[0.5 - 0.25], [-1 - 0.25]])
    np.testing.assert_allclose(processor.to_expression(outputs, "value"), want)
