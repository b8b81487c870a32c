import keras
import numpy as np
import pytest

import dream_keras
from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.data.stream import Batch
from dream_keras.menu.autosome import AutosomeProcessor
from dream_keras.nn.losses import BinDivergence
from dream_keras.runs.prediction import BATCH, predict_views
from dream_keras.runtime.steps import Steps

ORDER = {
    "processor": "autosome",
    "first": {"name": "bhi", "out_channels": 8, "dropout": 0.0},
    "core": {"name": "autosome", "widths": (8,), "out_channels": 8},
    "final": "autosome",
}


def make(seed=0, processor=None, order=ORDER):
    keras.utils.set_random_seed(seed)
    network = dream_keras.build_network(order)
    optimizer = menu.get("trainer", "autosome").build().optimizer(12)
    return Steps(network, processor or AutosomeProcessor(), optimizer)


def batches(random, count, rows=8):
    return [
        Batch(
            random.integers(0, 5, (rows, 150)).astype(np.uint8),
            random.integers(0, 2, rows).astype(np.uint8),
            random.integers(0, 2, rows).astype(np.uint8),
            random.uniform(0, 17, (rows, 1)).astype(np.float32).round(1),
            np.ones(rows, np.float32),
        )
        for _ in range(count)
    ]


def test_a_step_is_what_compile_and_fit_do(random):
    steps, plain = make(), make()
    plain.network.compile(optimizer=plain.optimizer, loss=BinDivergence())
    for batch in batches(random, 3):
        loss, _ = steps.train([batch])[0]
        channels = plain.processor.make_channels(batch.tokens, batch.strand, batch.flags)
        expected = plain.network.train_on_batch(
            channels, plain.processor.make_target(batch.labels, batch.tokens, "bins")
        )
        plain.network.reset_metrics()
        assert loss == pytest.approx(expected, rel=1e-5)
    for ours, theirs in zip(steps.network.weights, plain.network.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_several_steps_in_a_call_are_the_same_steps(random):
    """Losses, weights, and the learning rate that is reported for each step."""
    data = batches(random, 4)
    one, many = make(), make()
    alone = [one.train([batch])[0] for batch in data]
    schedule = menu.get("trainer", "autosome").build().optimizer(12)._learning_rate
    np.testing.assert_allclose([rate for _, rate in alone], [float(schedule(n)) for n in range(4)])
    together = many.train(data)
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    for a, b in zip(one.network.weights, many.network.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("per_call", [1, 3])
def test_averaged_weights_follow_the_recursion(random, per_call):
    """The mean after a step is 0.8 of the former one and 0.2 of the weights; first, the weights."""
    keras.utils.set_random_seed(0)
    network = dream_keras.build_network(ORDER)
    optimizer = keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=0.8)
    steps = Steps(network, AutosomeProcessor(), optimizer)
    plain = Steps(dream_keras.build_network(ORDER), AutosomeProcessor(), keras.optimizers.SGD(0.01))
    plain.network.set_weights(network.get_weights())
    data, expected = batches(random, 3), None
    for batch in data:
        plain.train([batch])
        values = [np.array(weight) for weight in plain.network.trainable_variables]
        expected = values if expected is None else expected
        expected = [0.8 * mean + 0.2 * value for mean, value in zip(expected, values, strict=True)]
    for start in range(0, 3, per_call):
        steps.train(data[start : start + per_call])
    trained = [np.array(weight) for weight in network.trainable_variables]
    with steps.averaged_weights():
        for weight, mean in zip(network.trainable_variables, expected, strict=True):
            np.testing.assert_allclose(weight, mean, rtol=1e-4, atol=1e-6)
    for weight, before in zip(network.trainable_variables, trained, strict=True):
        np.testing.assert_array_equal(weight, before)


def test_the_loss_is_that_of_rows_the_processor_has_no_bins_for(random):
    order = {**ORDER, "final": "bhi"}
    steps = make(order=order)
    assert steps.target_type == "value"
    assert np.isfinite(steps.train(batches(random, 1))).all()


def test_heads_that_do_not_fit_the_target_are_refused():
    with pytest.raises(UserError, match="has 10 bins, the processor's target 18"):
        make(order={**ORDER, "final": {"name": "autosome", "bins": 10}})


def test_a_missing_label_changes_nothing(random):
    """Neither loss nor weights: a row is trained on as if it had the other task alone."""
    order = {**ORDER, "final": {"name": "autosome_regression", "tasks": 2, "features": 4}}
    batch = batches(random, 1)[0]
    labels = np.concatenate([batch.labels, batch.labels + 1], axis=1)
    missing = labels.copy()
    missing[::2, 1] = np.nan
    one, two = make(order=order), make(order=order)
    # What the network predicts for the missing ones, with which they add nothing.
    inputs = two.processor.make_channels(batch.tokens, batch.strand, batch.flags)
    filled = np.where(np.isnan(missing), two.network.expression(inputs, training=True), missing)
    (loss, _), (same, _) = (
        steps.train([batch._replace(labels=given)])[0]
        for steps, given in ((one, missing), (two, filled.astype(np.float32)))
    )
    assert loss == pytest.approx(same, rel=1e-5)
    for a, b in zip(one.network.trainable_weights, two.network.trainable_weights, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 5, BATCH, BATCH + 3])
def test_batching_changes_no_prediction(random, rows):
    steps = make()
    tokens = random.integers(0, 4, (rows, 150)).astype(np.uint8)
    got = predict_views(steps, tokens)
    assert got.shape == (rows, 2, 1)
    for row in {0, rows - 1}:
        for strand in (0, 1):
            channels = steps.processor.make_channels(tokens[row : row + 1], [strand], [0])
            want = dream_keras.expression(steps.network, channels)
            assert got[row, strand, 0] == pytest.approx(want[0], rel=1e-5)


def test_flags_are_0_unless_they_are_given(random):
    steps = make()
    tokens = random.integers(0, 4, (4, 150)).astype(np.uint8)
    plain = predict_views(steps, tokens)
    zeros, ones = (predict_views(steps, tokens, np.full(4, flag, np.uint8)) for flag in (0, 1))
    np.testing.assert_array_equal(plain, zeros)
    assert (plain != ones).all()
