import numpy as np
import pytest

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet, yeast
from dream_keras.data.table import tokenize
from dream_keras.menu.unlockdna import UnlockDNAProcessor


def encoded(sequences, processor=None):
    processor = processor or UnlockDNAProcessor()
    return processor.encode(*tokenize(sequences, processor.max_length))


def other_strand(text):
    return text.translate(str.maketrans("ACGT", "TGCA"))[::-1]


@pytest.mark.parametrize("length", [1, 48, 79, 80, 99, 100])
def test_the_insert_in_the_middle_of_100_then_the_other_strand(random, length):
    insert = "".join(random.choice(list("ACGTN"), length))
    row = encoded([yeast.LEFT_ADAPTER + insert + yeast.RIGHT_ADAPTER])[0]
    left = (100 - length) // 2
    first = "N" * left + insert + "N" * (100 - length - left)
    assert alphabet.decode(row) == first + other_strand(first)


def test_rows_of_different_lengths_keep_their_order(random):
    rows = [
        yeast.LEFT_ADAPTER + "".join(random.choice(list("ACGT"), n)) + yeast.RIGHT_ADAPTER
        for n in random.integers(1, 101, 30)
    ]
    np.testing.assert_array_equal(encoded(rows), np.concatenate([encoded([r]) for r in rows]))


def test_the_reference_cuts_20_on_both_ends():
    row = yeast.LEFT_ADAPTER + "ACGT" * 20 + yeast.RIGHT_ADAPTER
    text = alphabet.decode(encoded([row], UnlockDNAProcessor(head=20, tail=20))[0])
    inner = row[20:-20]
    assert text[15:85] == inner
    assert text[:15] == text[85:100] == "N" * 15


def test_longer_inserts_do_not_fit():
    row = yeast.LEFT_ADAPTER + "A" * 101 + yeast.RIGHT_ADAPTER
    with pytest.raises(UserError, match="131 bp; the processor takes 130"):
        encoded([row])


def test_channels_are_the_teams_tokens():
    tokens = np.array([[0, 1, 2, 3, 4, alphabet.MASKED + 2]], np.uint8)
    channels = np.asarray(UnlockDNAProcessor(insert_length=3).make_channels(tokens, [0], [0]))[0]
    np.testing.assert_array_equal(channels, np.eye(6))


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_bases_are_masked_at_their_rate_on_each_strand_for_itself(random, rate):
    processor = UnlockDNAProcessor(mask_rate=rate)
    tokens = np.full((2000, 200), alphabet.N, np.uint8)
    tokens[:, 10:190] = random.integers(0, 4, (2000, 180))
    view = processor.training_view(tokens, random)
    masked = view >= alphabet.MASKED
    assert view.dtype == np.uint8
    assert not masked[tokens == alphabet.N].any()
    bases = tokens != alphabet.N
    # Five standard deviations of 360,000 draws.
    assert masked[bases].mean() == pytest.approx(rate, abs=5 * np.sqrt(rate / 360_000))
    np.testing.assert_array_equal(view % alphabet.MASKED, tokens)
    both = masked & masked[:, ::-1]
    assert both[bases].mean() == pytest.approx(rate**2, rel=0.15)


def test_nothing_is_masked_at_prediction(random):
    tokens = random.integers(0, 5, (4, 200)).astype(np.uint8)
    (view,) = UnlockDNAProcessor(mask_rate=1.0).prediction_views(tokens)
    np.testing.assert_array_equal(view, tokens)


def test_the_masked_target_holds_the_masked_bases(random):
    processor = UnlockDNAProcessor(mask_rate=0.5, label_mean=(10.0,), label_std=(2.0,))
    tokens = random.integers(0, 5, (4, 200)).astype(np.uint8)
    view = processor.training_view(tokens, random)
    target = processor.make_target(np.array([[6], [10], [12], [14]], "float32"), view, "masked")
    np.testing.assert_allclose(target["value"], [[-2], [0], [1], [2]])
    np.testing.assert_array_equal(target["bases"], tokens)
    np.testing.assert_array_equal(target["masked"], view >= alphabet.MASKED)
    np.testing.assert_allclose(
        processor.to_expression(np.array([[[-2.0]], [[1.0]]]), "masked"), [[6], [12]]
    )


def test_labels_get_mean_0_and_deviation_1(random):
    labels = random.normal(11, 3, (500, 1)).astype("float32")
    processor = UnlockDNAProcessor(**UnlockDNAProcessor().label_statistics(labels))
    scaled = np.asarray(processor.make_target(labels, None, "value"), float)
    assert scaled.mean() == pytest.approx(0, abs=1e-5)
    assert scaled.std() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_a_share_is_between_0_and_1(rate):
    with pytest.raises(UserError, match="mask_rate"):
        UnlockDNAProcessor(mask_rate=rate)
