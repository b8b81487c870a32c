import keras
import numpy as np
import pytest

from dream_keras.nn.optimizers import Adam, AdamW, ClippedAdam, RMSprop, scale_rates
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


@pytest.mark.parametrize("amsgrad", [False, True])
def test_decay_in_the_gradient_equal_to_torch(random, amsgrad):
    """With Malinois's own settings, large decay, and gradients that shrink as AMSGrad remembers."""
    torch = pytest.importorskip("torch")
    start = random.normal(size=5).astype("float32")
    sizes = np.geomspace(10, 1e-3, 20)[:, None]
    gradients = (random.normal(size=(20, 5)) * sizes * [1, 1e-3, 1e-7, 1e-8, 10]).astype("float32")
    settings = {"weight_decay": 0.05, "betas": (0.8661062881299633, 0.879223105336538)}
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = torch.optim.Adam([theirs], lr=0.01, amsgrad=amsgrad, **settings)
    path = []
    for gradient in gradients:
        theirs.grad = torch.from_numpy(gradient)
        optimizer.step()
        path.append(theirs.detach().numpy().copy())
    beta_1, beta_2 = settings["betas"]
    ours = Adam(0.01, l2=0.05, beta_1=beta_1, beta_2=beta_2, amsgrad=amsgrad)
    np.testing.assert_allclose(follow(ours, gradients, start), path, rtol=1e-5, atol=1e-6)


def test_rmsprop_by_hand():
    """The mean squared gradient starts at 1; only kernels decay."""
    kernel, bias = (keras.Variable(np.ones(1, "float32"), name=n) for n in ("kernel", "bias"))
    optimizer = RMSprop(0.1, l2=0.5)
    optimizer.build([kernel, bias])
    weights, squares = np.ones(2), np.ones(2)
    for gradient in (2.0, 0.5, -1.0):
        optimizer.apply([keras.ops.full((1,), gradient)] * 2)
        whole = gradient + 2 * np.array([0.5, 0]) * weights
        squares = 0.9 * squares + 0.1 * whole**2
        weights = weights - 0.1 * whole / np.sqrt(squares)
        np.testing.assert_allclose([kernel.numpy()[0], bias.numpy()[0]], weights, rtol=1e-5)


def test_building_again_keeps_the_moments():
    weight = keras.Variable(np.ones(1, "float32"), name="kernel")
    optimizer = RMSprop(0.1)
    optimizer.build([weight])
    optimizer.apply([keras.ops.full((1,), 2.0)], [weight])
    optimizer.build([weight])
    assert float(optimizer._velocities[0][0]) == pytest.approx(0.9 + 0.1 * 4)


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


GRADIENTS = [np.array([3.0, -4.0, 0.1], "float32"), np.array([[0.6], [0.0]], "float32")]


def clipped(**options):
    gradients = [keras.ops.convert_to_tensor(gradient) for gradient in GRADIENTS]
    return [np.asarray(g) for g in ClippedAdam(0.1, **options).clipped(gradients)]


def test_the_gradient_is_clipped_to_a_norm_and_then_by_value():
    """As torch.nn.utils.clip_grad_norm_ over all weights, then clip_grad_value_."""
    norm = np.sqrt(sum(np.sum(gradient**2) for gradient in GRADIENTS))
    for got, gradient in zip(clipped(), GRADIENTS, strict=True):
        np.testing.assert_allclose(got, np.clip(gradient / norm, -0.5, 0.5), rtol=1e-6)


def test_pytorch_clips_the_same():
    torch = pytest.importorskip("torch")
    weights = [torch.nn.Parameter(torch.zeros(g.shape)) for g in GRADIENTS]
    for weight, gradient in zip(weights, GRADIENTS, strict=True):
        weight.grad = torch.from_numpy(gradient.copy())
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    torch.nn.utils.clip_grad_value_(weights, 0.5)
    for got, weight in zip(clipped(), weights, strict=True):
        np.testing.assert_allclose(got, weight.grad.numpy(), rtol=1e-5)


def test_each_weight_may_have_a_norm_of_its_own():
    values = [np.clip(gradient, -0.55, 0.55) for gradient in GRADIENTS]
    wanted = [value / max(np.linalg.norm(value), 0.7) * 0.7 for value in values]
    got = clipped(clip_value=0.55, clip_norm=0.7, each_weight=True)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_steps_are_those_of_the_clipped_gradients():
    weight, twin = (keras.Variable(np.zeros(3, "float32")) for _ in range(2))
    ours, plain = ClippedAdam(0.1), keras.optimizers.Adam(0.1)
    # Two steps: Adam's first one does not depend on the gradient's size.
    for gradient in (GRADIENTS[0], 0.01 * np.ones(3, "float32")):
        (same,) = ours.clipped([keras.ops.convert_to_tensor(gradient)])
        for optimizer, variable, given in ((ours, weight, gradient), (plain, twin, same)):
            optimizer.apply([keras.ops.convert_to_tensor(given)], [variable])
    np.testing.assert_allclose(weight, twin, rtol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        ClippedAdam(WarmUp(0.1, 5), clip_value=0.3, clip_norm=2.0, each_weight=True, beta_2=0.98),
        Adam(WarmUp(0.1, 5), l2=0.3, amsgrad=True, beta_2=0.98),
        AdamW(OneCycle(0.1, 1, 0.01, 9), 0.02, global_clipnorm=1.0),
        RMSprop(0.1, l2=0.3, rho=0.8),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_optimisers_come_back_from_their_config(optimizer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize("make", [AdamW, lambda rate: ClippedAdam(rate, clip_norm=100.0)])
def test_a_factor_is_a_rate_of_its_own(make, random):
    """Weight decay included; a factor that is a function of the step counts steps from 0."""
    gradients = random.normal(size=(4, 3)).astype("float32")
    halved, late = (keras.Variable(np.full(3, 2.0, "float32")) for _ in range(2))
    optimizer = make(0.1)
    scale_rates(optimizer, [0.5, lambda step: keras.ops.cast(step >= 3, "float32")])
    optimizer.build([halved, late])
    for gradient in gradients:
        assert np.array_equal(late.numpy(), np.full(3, 2.0))
        optimizer.apply([keras.ops.convert_to_tensor(gradient)] * 2)
    expected = follow(make(0.05), gradients, np.full(3, 2.0, "float32"))
    np.testing.assert_allclose(halved.numpy(), expected[-1], rtol=1e-6)
    assert not np.array_equal(late.numpy(), np.full(3, 2.0))
