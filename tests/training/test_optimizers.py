import keras
import numpy as np
import pytest

from dream_keras.training.optimizers import AdamW
from dream_keras.training.schedules import OneCycle


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
