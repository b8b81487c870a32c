import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special, stats

from dream_keras import menu
from dream_keras.nn import losses

finite = st.floats(-50, 50, width=32)


def rows(loss, target, outputs):
    return np.asarray(loss(reduction="none")(target, outputs))


def test_divergence_by_hand():
    measured = np.array([[0.5, 0.5, 0], [1, 0, 0]], "float32")
    predicted = np.array([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]], "float32")
    expected = [0.5 * np.log(2), np.log(2)]
    np.testing.assert_allclose(rows(losses.BinDivergence, measured, predicted), expected, rtol=1e-6)


def test_divergence_of_equal_distributions_is_zero_and_otherwise_positive(random):
    p = random.dirichlet(np.ones(18), 5).astype("float32")
    q = random.dirichlet(np.ones(18), 5).astype("float32")
    assert np.abs(rows(losses.BinDivergence, p, p)).max() < 1e-6
    assert (rows(losses.BinDivergence, p, q) > 0).all()


def test_divergence_is_finite_where_the_prediction_is_zero():
    loss = rows(
        losses.BinDivergence, np.array([[0.0, 1]], "float32"), np.array([[1.0, 0]], "float32")
    )
    assert np.isfinite(loss).all()


def test_expected_bin():
    p = np.zeros((2, 18), "float32")
    p[0, 17] = 1
    p[1, [3, 4]] = 0.5
    np.testing.assert_allclose(losses.expected_bin(p), [[17], [3.5]])
    error = rows(losses.ExpectedBinError, np.array([[16.0], [3.5]], "float32"), p)
    np.testing.assert_allclose(error, [1, 0], atol=1e-6)


@settings(max_examples=20)
@given(arrays(np.float32, (4, 2), elements=finite), arrays(np.float32, (4, 2), elements=finite))
def test_errors_against_their_formulas(target, outputs):
    difference = np.abs(target.astype(float) - outputs)
    huber = np.where(difference < 1, difference**2 / 2, difference - 0.5).sum(axis=1)
    np.testing.assert_allclose(
        rows(losses.HuberError, target, outputs), huber, rtol=1e-4, atol=1e-5
    )
    squared = (difference**2).sum(axis=1)
    np.testing.assert_allclose(
        rows(losses.TaskError, target, outputs), squared, rtol=1e-4, atol=1e-5
    )


def test_activity_and_shares_equal_pytorch(random):
    """Published: the mean over rows and tasks of L1, plus 5 of PyTorch's KLDivLoss, over 6."""
    torch = pytest.importorskip("torch")
    target, outputs = random.normal(size=(2, 6, 3)).astype("float32")
    theirs, ours = torch.from_numpy(target), torch.from_numpy(outputs)
    divergence = torch.nn.KLDivLoss(reduction="mean", log_target=True)(
        ours.log_softmax(1), theirs.log_softmax(1)
    )
    want = (torch.nn.L1Loss()(ours, theirs) + 5 * divergence) / 6
    got = rows(losses.ActivityShareError, target, outputs).mean()
    assert got == pytest.approx(float(want), rel=1e-5)


def test_activity_and_shares_of_the_measured_tasks():
    target = np.array([[1.0, np.nan, 3.0], [np.nan] * 3], "float32")
    outputs = np.array([[2.0, 50.0, 1.0], [7.0, 8.0, 9.0]], "float32")
    measured, predicted = (np.exp(v) / np.exp(v).sum() for v in ([1.0, 3.0], [2.0, 1.0]))
    divergence = (measured * np.log(measured / predicted)).sum()
    want = [(3 + 5 * divergence) / 3 / 6, 0]
    np.testing.assert_allclose(
        rows(losses.ActivityShareError, target, outputs), want, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("loss", [losses.TaskError, losses.HuberError, losses.ActivityShareError])
def test_missing_labels_give_no_gradient(loss):
    tf = pytest.importorskip("tensorflow")
    outputs = tf.Variable([[3.0, 5.0, 1.0], [7.0, 9.0, 2.0]])
    target = np.array([[1.0, np.nan, 2.0], [np.nan] * 3], "float32")
    with tf.GradientTape() as tape:
        error = tf.reduce_sum(loss(reduction="none")(target, outputs))
    gradient = tape.gradient(error, outputs).numpy()
    assert (gradient[0, [0, 2]] != 0).all()
    assert gradient[0, 1] == 0
    assert (gradient[1] == 0).all()


@pytest.mark.parametrize("loss", [losses.TaskError, losses.HuberError])
def test_missing_labels_add_nothing(loss):
    target = np.array([[1.0, np.nan], [np.nan, np.nan]], "float32")
    outputs = np.array([[3.0, 5.0], [7.0, 9.0]], "float32")
    alone = rows(loss, target[:1, :1], outputs[:1, :1])
    np.testing.assert_array_equal(rows(loss, target, outputs), [alone[0], 0])


def test_error_of_the_block_with_nucleotides():
    outputs = {"expression": np.array([[2.0], [3.0]]), "nucleotides": np.zeros((2, 4, 5))}
    np.testing.assert_allclose(
        rows(losses.ExpressionError, np.array([[1.0], [3.0]]), outputs), [1, 0]
    )


def test_masked_bases_by_hand():
    """Cross-entropy of masked bases only, over their number plus 1, beside the squared error."""
    outputs = {
        "expression": np.array([[2.0], [3.0]], "float32"),
        "nucleotides": np.log(np.array([[[0.5, 0.25, 0.125, 0.125]] * 2] * 2, "float32")),
    }
    target = {
        "value": np.array([[1.0], [3.0]], "float32"),
        # Three positions, of which the outputs cover the last two.
        "bases": np.array([[3, 0, 1], [0, 2, 0]]),
        "masked": np.array([[1, 1, 1], [0, 1, 0]], "float32"),
    }
    got = rows(losses.MaskedError, target, outputs)
    entropy = (np.log(2) + np.log(4) + np.log(8)) / (3 + 1)
    assert got.mean() == pytest.approx(1 / 2 + entropy, rel=1e-6)
    assert got[0] == pytest.approx(1 + 2 * (np.log(2) + np.log(4)) / 4, rel=1e-6)


def test_no_masked_base_is_no_error(random):
    outputs = {"expression": np.ones((3, 1)), "nucleotides": random.normal(size=(3, 4, 5))}
    target = {"value": np.ones((3, 1)), "bases": np.zeros((3, 4), int), "masked": np.zeros((3, 4))}
    np.testing.assert_array_equal(rows(losses.MaskedError, target, outputs), 0)


@pytest.mark.parametrize("name", menu.names("final"))
def test_every_loss_gives_one_value_per_row_and_saves(name):
    head = menu.get("final", name).head
    values = {
        "autosome": np.full((3, 18), 1 / 18, "float32"),
        "gaussian": dict.fromkeys(("mean", "log_variance"), np.zeros((3, 1), "float32")),
        "unlockdna": {
            "expression": np.zeros((3, 1), "float32"),
            "nucleotides": np.zeros((3, 4, 5), "float32"),
        },
        "profile": {
            "profile": np.zeros((3, 1, 4), "float32"),
            "counts": np.zeros((3, 1), "float32"),
        },
    }
    targets = {
        "bins": np.full((3, 18), 1 / 18, "float32"),
        "masked": {
            "value": np.zeros((3, 1), "float32"),
            "bases": np.zeros((3, 4), "int32"),
            "masked": np.ones((3, 4), "float32"),
        },
        "profile": {"profile": np.ones((3, 1, 4), "float32"), "weight": np.float32(2)},
    }
    outputs = values.get(name, np.zeros((3, 1), "float32"))
    for kind, make in head.losses.items():
        target = targets.get(kind, np.zeros((3, 1), "float32"))
        loss = make(reduction="none")
        assert loss(target, outputs).shape == (3,)
        saved = keras.saving.serialize_keras_object(make())
        assert type(keras.saving.deserialize_keras_object(saved)) is make
    assert head.expression(outputs).shape == (3, 1)


@settings(max_examples=20)
@given(arrays(np.uint16, (3, 6)), arrays(np.float32, (3, 6), elements=finite))
def test_likelihood_of_profiles_is_scipys(counts, logits):
    shares = special.softmax(logits.astype(float), axis=-1)
    shares /= shares.sum(axis=-1, keepdims=True)
    want = -stats.multinomial.logpmf(counts.astype(int), counts.sum(axis=1, dtype=int), shares)
    found = np.asarray(losses.multinomial_loss(counts.astype("float32"), logits))
    scale = np.maximum(counts.sum(axis=1, dtype=float), 1)  # of the sum that float32 rounds
    np.testing.assert_array_less(np.abs(found - want), 5e-5 * scale + 1e-5)


def test_factorials_join_without_a_step():
    """What the table and the series say of each number, against the gamma function."""
    k = np.arange(1.0, 40)
    want = special.gammaln(k + 1) - (k * np.log(k) - k)
    np.testing.assert_allclose(losses._factorial_rest(k.astype("float32")), want, rtol=1e-6)


def test_joint_outputs_add_counts_and_multiply_shares(random):
    main, bias = (
        {"profile": random.normal(size=(2, 1, 5)), "counts": random.normal(size=(2, 1))}
        for _ in range(2)
    )
    joint = losses.joint_outputs(main, bias)
    np.testing.assert_allclose(
        np.exp(joint["counts"]), np.exp(main["counts"]) + np.exp(bias["counts"]), rtol=1e-5
    )
    shares = np.exp(joint["profile"]) / (np.exp(main["profile"]) * np.exp(bias["profile"]))
    np.testing.assert_allclose(shares, 1, rtol=1e-5)
