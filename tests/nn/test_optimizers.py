import keras
import numpy as np
import pytest

from dream_keras.nn.optimizers import AdamW, ClippedAdam
from dream_keras.nn.schedules import OneCycle, WarmUp


def follow(optimizer, gradients, start):
    weight = keras.Variable(start)
    optimizer.build([weight])
    path = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)])
        path.append(np.asarray(weight.value))
    return np.array(path)


def test_equal_to_torch(random):
    torch = pytest.importorskip("torch")
    start = random.normal(size=5).astype("float32")
    # Gradients near epsilon show where epsilon is added.
    gradients = random.normal(size=(20, 5)).astype("float32") * [1, 1e-3, 1e-7, 1e-8, 10]
    gradients = gradients.astype("float32")
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.01)
    path = []
    for gradient in gradients:
        theirs.grad = torch.from_numpy(gradient)
        optimizer.step()
        path.append(theirs.detach().numpy().copy())
    np.testing.assert_allclose(follow(AdamW(0.01), gradients, start), path, rtol=1e-5, atol=1e-7)


def test_first_step_by_hand():
    # Bias-corrected moments of a first gradient are the gradient and its square.
    got = follow(
        AdamW(0.1, weight_decay=0.01), np.full((1, 1), 4.0, "float32"), np.ones(1, "float32")
    )
    assert got[0, 0] == pytest.approx(1 - 0.1 * 0.01 - 0.1, rel=1e-6)


def test_beta_1_follows_its_schedule():
    betas = OneCycle(0.95, 0.85, 0.95, 10)
    got = follow(
        AdamW(0.1, 0.0, betas), np.array([[1.0], [2.0], [3.0]], "float32"), np.zeros(1, "float32")
    )
    weight = momentum = velocity = 0.0
    for step, gradient in enumerate([1.0, 2.0, 3.0], 1):
        beta = float(betas(step - 1))
        momentum = beta * momentum + (1 - beta) * gradient
        velocity = 0.999 * velocity + 0.001 * gradient**2
        root = np.sqrt(velocity / (1 - 0.999**step)) + 1e-8
        weight -= 0.1 / (1 - beta**step) * momentum / root
        assert got[step - 1, 0] == pytest.approx(weight, rel=1e-5)


def test_config_round_trip():
    optimizer = AdamW(OneCycle(0.1, 1, 0.01, 9), 0.02, OneCycle(0.95, 0.85, 0.95, 9))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert float(again.current_beta_1()) == float(optimizer.current_beta_1())


def test_gradients_are_clipped_by_value_and_then_to_a_norm():
    optimizer = ClippedAdam(0.1, clip_value=0.5, clip_norm_per_weight=1.0)
    plain = keras.optimizers.Adam(0.1)
    small = np.array([0.1, -0.2, 0.3], "float32")
    wild = np.array([3.0, -4.0, 0.1, 5.0, 6.0, -7.0], "float32")
    clipped = np.clip(wild, -0.5, 0.5)
    for gradient, same in [(small, small), (wild, clipped / np.linalg.norm(clipped))]:
        weight, twin = (keras.Variable(np.zeros_like(gradient)) for _ in range(2))
        # Two steps: Adam's first one does not depend on the gradient's size.
        for steps, variable, given in [(optimizer, weight, gradient), (plain, twin, same)]:
            fresh = type(steps).from_config(steps.get_config())
            fresh.build([variable])
            fresh.apply([keras.ops.convert_to_tensor(given)])
            fresh.apply([keras.ops.convert_to_tensor(0.01 * np.ones_like(given))])
        np.testing.assert_allclose(weight, twin, rtol=1e-5)


def test_every_weight_has_a_norm_of_its_own():
    """Clipping to a norm over all weights would shrink the second weight's gradient too."""
    optimizer = ClippedAdam(keras.optimizers.schedules.ExponentialDecay(1.0, 1, 1.0), clip_value=9)
    clipped = [optimizer._clipped(keras.ops.convert_to_tensor(g)) for g in ([3.0, 4.0], [0.6, 0.0])]
    np.testing.assert_allclose(clipped[0], [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(clipped[1], [0.6, 0.0], rtol=1e-6)


def test_clipped_adam_round_trip():
    optimizer = ClippedAdam(WarmUp(0.1, 5), clip_value=0.3, clip_norm_per_weight=2.0, beta_2=0.98)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again.get_config() == optimizer.get_config()
