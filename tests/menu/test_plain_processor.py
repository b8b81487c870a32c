import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.stream import StreamSettings, TrainingStream
from dream_keras.data.table import Rows, tokenize
from dream_keras.menu.plain import PlainProcessor


def encoded(sequences, processor):
    return processor.encode(*tokenize(sequences, processor.max_length))


def texts(tokens):
    return [alphabet.decode(row) for row in tokens]


def channels(processor, sequences, strand=0, flags=None):
    tokens = encoded(sequences, processor)
    flags = np.zeros(len(tokens), np.uint8) if flags is None else flags
    strands = np.full(len(tokens), strand, np.uint8)
    return ops.convert_to_numpy(processor.make_channels(tokens, strands, flags))


@pytest.mark.parametrize(
    ("task", "mark"), [("fly", "-_"), ("human", "_Reversed:")], ids=["fly", "human"]
)
def test_channels_and_flags_are_those_of_the_benchmarks(task, mark, golden):
    golden, _ = golden(f"processor_{task}")
    sequences = golden["sequence"].tolist()
    processor = PlainProcessor(len(sequences[0]), reverse="flag", reverse_mark=mark)
    flags = processor.name_flags(golden["ids"].tolist())
    np.testing.assert_array_equal(flags, golden["rev"])
    found = channels(processor, sequences, flags=flags)
    np.testing.assert_array_equal(found.transpose(0, 2, 1), golden["x"])
    assert processor.predicted_strands == 1


bases = st.text("ACGTN", max_size=5)


@given(
    st.lists(st.text("ACGTN", min_size=7, max_size=14), min_size=1, max_size=6),
    bases,
    bases,
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(["left", "right", "both"]),
    st.integers(1, 20),
)
def test_encoding_is_that_of_plain_text(sequences, left, right, first, last, pad, free):
    growth = len(left) + len(right) - first - last
    length = growth + free + 6
    processor = PlainProcessor(length, left, right, first, last, pad)
    # Cropping is the reader's choice; the processor crops what it is given.
    tokens, lengths = tokenize(sequences, 99)
    expected = []
    for text in sequences:
        text = left + text[first : len(text) - last] + right
        while len(text) < length:
            on_the_left = pad == "left" or (pad == "both" and (length - len(text)) % 2 == 0)
            text = "N" + text if on_the_left else text + "N"
        while len(text) > length:
            on_the_left = pad == "left" or (pad == "both" and (len(text) - length) % 2 == 1)
            text = text[1:] if on_the_left else text[:-1]
        expected.append(text)
    assert texts(processor.encode(tokens, lengths)) == expected
    assert processor.max_length == length - growth
    assert processor.length_for(processor.max_length) == length


def test_channel_order_and_the_value_of_n():
    processor = PlainProcessor(5, channel_order="ACGT", n_value=0.25, strand_channel=False)
    forward, reverse = (channels(processor, ["ACGTN"], strand)[0] for strand in (0, 1))
    np.testing.assert_array_equal(forward, [*np.eye(4), [0.25] * 4])
    np.testing.assert_array_equal(reverse, [[0.25] * 4, *np.eye(4)])


def test_fixed_ends_stay_in_place_on_the_other_strand():
    processor = PlainProcessor(8, fixed_left=2, fixed_right=1, strand_channel=False)
    both = [channels(processor, [text], 1) for text in ("AAACGGTT", "AAAACCGT")]
    np.testing.assert_array_equal(both[0], channels(processor, ["AAACCGTT"]))
    np.testing.assert_array_equal(both[1], channels(processor, ["AACGGTTT"]))


@pytest.mark.parametrize("reverse", ["rows", "random"])
def test_strand_and_channel_agree(reverse):
    processor = PlainProcessor(6, reverse=reverse)
    forward, other = (channels(processor, ["AACGTG"], strand)[0] for strand in (0, 1))
    np.testing.assert_array_equal(forward[:, :4], channels(processor, ["CACGTT"], 1)[0, :, :4])
    assert (forward[:, 4] == 0).all()
    assert (other[:, 4] == 1).all()


def test_a_strand_is_drawn_for_each_row_and_step():
    zeros, ones = np.zeros(64, np.uint8), np.ones(64, np.float32)
    rows = Rows(np.zeros((64, 3), np.uint8), np.zeros((64, 1), np.float32), zeros, ones)
    stream = TrainingStream(rows, StreamSettings(64, random_strand=True))
    drawn = np.stack([stream.batch(step).strand for step in range(50)])
    assert stream.rows_per_pass == 64
    assert set(np.unique(drawn)) == {0, 1}
    assert 0.45 < drawn.mean() < 0.55
    np.testing.assert_array_equal(drawn[7], stream.batch(7).strand)
    assert (drawn[0] != drawn[1]).any()


def test_labels_stay_unless_they_are_standardized():
    labels = np.array([[1.0, 5.0], [3.0, np.nan], [5.0, 9.0]], np.float32)
    plain, scaled = PlainProcessor(5), PlainProcessor(5, standardize=True)
    assert plain.label_statistics(labels) == {}
    np.testing.assert_array_equal(plain.make_target(labels, None, "value"), labels)
    found = scaled.label_statistics(labels)
    assert found["label_mean"] == (3.0, 7.0)
    ready = PlainProcessor(5, standardize=True, **found)
    target = np.asarray(ready.make_target(labels, None, "value"))
    np.testing.assert_allclose(np.nanmean(target, axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(target, axis=0), 1, rtol=1e-6)
    back = ready.to_expression(target[:, None].astype(float), "value")
    np.testing.assert_allclose(back, labels, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"left": "ACX"}, "left=ACX: expected bases"),
        ({"reverse": "flag"}, "reverse_mark"),
        ({"reverse_mark": "_rc"}, "reverse=flag and the text"),
        ({"length": 4, "left": "ACGT"}, "the flanks alone have 4 bp"),
        ({"length": 0}, "length=0: at least 1"),
        ({"trim_left": -1}, "trim_left=-1"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        PlainProcessor(**options)
