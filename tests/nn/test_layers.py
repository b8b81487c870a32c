import keras
import numpy as np
import pytest
from keras import ops

from dream_keras.menu.unlockdna import AddStrandEmbedding
from dream_keras.menu.vaishnav import BothStrandsConv1D, HeadedAttention
from dream_keras.nn import initializers, layers


@pytest.mark.parametrize("per_group", [1, 2, 4])
@pytest.mark.parametrize("size", [1, 4, 7])
def test_grouped_convolution_equals_the_plain_one(random, per_group, size):
    channels = 8
    x = random.normal(size=(3, 20, channels)).astype("float32")
    ours = layers.GroupedConv1D(size, per_group)
    plain = keras.layers.Conv1D(
        channels, size, padding="same", groups=channels // per_group, use_bias=False
    )
    ours.build(x.shape)
    plain.build(x.shape)
    plain.kernel.assign(ours.kernel)
    np.testing.assert_allclose(ours(x), plain(x), atol=2e-6)


def test_grouped_convolution_by_hand():
    layer = layers.GroupedConv1D(1, 2)
    layer.build((None, 1, 4))
    # Kernel (1, in of group, out): the second group swaps its channels.
    layer.kernel.assign(np.array([[[1, 0, 0, 1], [0, 1, 1, 0]]], "float32"))
    assert ops.convert_to_numpy(layer(np.array([[[1.0, 2, 3, 4]]]))).tolist() == [[[1, 2, 4, 3]]]


def test_grouped_convolution_refuses_other_widths():
    with pytest.raises(ValueError, match="7 channels do not divide by 2"):
        layers.GroupedConv1D(3).build((None, 9, 7))


def test_batch_norm_keeps_the_unbiased_variance(random):
    x = random.normal(2, 3, (5, 4, 2)).astype("float32")
    layer = layers.BatchNormalization()
    layer(x, training=True)
    flat = x.reshape(-1, 2)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-5)


def test_batch_norm_leaves_its_statistics_alone_in_evaluation(random):
    layer = layers.BatchNormalization()
    x = random.normal(size=(3, 4, 2)).astype("float32")
    layer(x, training=False)
    assert ops.convert_to_numpy(layer.moving_variance).tolist() == [1, 1]


def test_attention_equals_a_loop_over_heads(random):
    heads, length, width = 2, 5, 6
    layer = layers.SelfAttention(heads)
    x = random.normal(size=(2, length, width)).astype("float32")
    layer.build(x.shape)
    for weight in layer.weights:
        weight.assign(random.normal(size=weight.shape))
    w_in, b_in, w_out, b_out = map(ops.convert_to_numpy, layer.weights)
    q, k, v = np.split(x @ w_in + b_in, 3, axis=-1)
    size = width // heads
    joined = np.empty_like(x)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[..., part] @ k[..., part].transpose(0, 2, 1) / np.sqrt(size)
        share = np.exp(scores - scores.max(-1, keepdims=True))
        joined[..., part] = share / share.sum(-1, keepdims=True) @ v[..., part]
    np.testing.assert_allclose(layer(x), joined @ w_out + b_out, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("heads", "size"), [(2, 7), (4, 2), (1, 9)])
def test_attention_with_heads_of_their_own_width_equals_kerass(random, heads, size):
    length, width = 5, 6
    x = random.normal(size=(2, length, width)).astype("float32")
    theirs = keras.layers.MultiHeadAttention(heads, size)
    theirs.build(x.shape, x.shape)
    weights = [random.normal(size=w.shape).astype("float32") for w in theirs.weights]
    theirs.set_weights(weights)
    query, q_bias, key, k_bias, value, v_bias, out, out_bias = weights
    ours = layers.SelfAttention(heads, head_width=size)
    ours.build(x.shape)
    kernels = [kernel.reshape(width, -1) for kernel in (query, key, value)]
    biases = [bias.ravel() for bias in (q_bias, k_bias, v_bias)]
    packed = [np.concatenate(kernels, 1), np.concatenate(biases)]
    ours.set_weights([*packed, out.reshape(-1, width), out_bias])
    np.testing.assert_allclose(ours(x), theirs(x, x), rtol=2e-4, atol=2e-4)


def test_attention_starts_as_kerass_did():
    # Keras's own layer does no longer, but its initialiser still takes 3 axes for a convolution's.
    keras.utils.set_random_seed(0)
    heads, size, width = 4, 48, 64
    layer = layers.SelfAttention(heads, head_width=size, init="keras")
    layer.build((None, 10, width))
    in_kernel, in_bias, out_kernel, out_bias = layer.get_weights()
    for mine, shape in ((in_kernel, (width, heads, size)), (out_kernel, (heads, size, width))):
        kerass = ops.convert_to_numpy(keras.initializers.GlorotUniform()(shape))
        assert np.abs(mine).max() == pytest.approx(np.abs(kerass).max(), rel=2e-3)
        assert mine.std() == pytest.approx(kerass.std(), rel=0.02)
    assert not in_bias.any()
    assert not out_bias.any()


def test_attention_counts_its_multiply_adds():
    heads, size, length, width = 3, 5, 7, 6
    layer = layers.SelfAttention(heads, head_width=size)
    layer.build((None, length, width))
    projections = sum(width * size for _ in range(length) for _ in range(3 * heads))
    pairs = sum(2 * size for _ in range(heads) for _ in range(length) for _ in range(length))
    back = sum(heads * size for _ in range(length) for _ in range(width))
    assert layer.multiply_adds((None, length, width)) == projections + pairs + back


@pytest.mark.parametrize("layer", [layers.AddPositionEmbedding, AddStrandEmbedding])
def test_tables_start_as_asked_and_multiply_nothing(layer):
    keras.utils.set_random_seed(0)
    shape = (None, 100, 5_000)
    for init, deviation in (("torch", 1), ("keras", 0.05 / np.sqrt(3))):
        made = layer(init)
        made.build(shape)
        table = ops.convert_to_numpy(made.embedding)
        assert table.std() == pytest.approx(deviation, rel=0.03)
        assert made.multiply_adds(shape) == 0
    assert np.abs(table).max() == pytest.approx(0.05, rel=1e-3)


def test_gate_is_the_first_half_times_silu_of_the_second():
    x = np.array([[[2.0, 3.0, 1.0, -1.0]]])
    silu = 1 / (1 + np.exp([-1.0, 1.0])) * [1, -1]
    np.testing.assert_allclose(layers.SwiGLU()(x), [[[2 * silu[0], 3 * silu[1]]]], rtol=1e-6)


def test_strand_vectors_stand_on_their_halves():
    layer = AddStrandEmbedding()
    layer.build((None, 5, 1))
    layer.embedding.assign([[1.0], [2.0]])
    got = ops.convert_to_numpy(layer(np.zeros((1, 5, 1), "float32")))
    assert got.ravel().tolist() == [1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("shape", "deviation"), [((7, 64, 128), np.sqrt(2 / (7 * 128))), ((300, 200), 0.001)]
)
def test_autosome_start(shape, deviation):
    keras.utils.set_random_seed(0)
    drawn = ops.convert_to_numpy(initializers.AutosomeInitializer()(shape, "float32"))
    assert drawn.std() == pytest.approx(deviation, rel=0.02)
    assert drawn.mean() == pytest.approx(0, abs=deviation / 50)


@pytest.mark.parametrize(
    ("ours", "kerass"),
    [
        (initializers.HeNormal(), keras.initializers.HeNormal()),
        (initializers.GlorotNormal(), keras.initializers.GlorotNormal()),
        (initializers.GlorotUniform(), keras.initializers.GlorotUniform()),
    ],
)
@pytest.mark.parametrize("shape", [(300, 200), (7, 40, 200)])
def test_kerass_starts(ours, kerass, shape):
    keras.utils.set_random_seed(0)
    mine, theirs = (ops.convert_to_numpy(make(shape)) for make in (ours, kerass))
    assert mine.std() == pytest.approx(theirs.std(), rel=0.02)
    assert np.abs(mine).max() == pytest.approx(np.abs(theirs).max(), rel=0.02)


def test_orthogonal_start():
    keras.utils.set_random_seed(0)
    drawn = ops.convert_to_numpy(initializers.Orthogonal()((8, 32)))
    np.testing.assert_allclose(drawn @ drawn.T, np.eye(8), atol=1e-6)
    assert abs(drawn.mean()) < 0.05


def test_attention_without_weights_counts_its_multiply_adds():
    layer = HeadedAttention(3)
    again = HeadedAttention.from_config(layer.get_config())
    assert again.num_heads == 3
    assert layer.multiply_adds((None, 7, 6)) == sum(2 for _ in range(7 * 7) for _ in range(6))


def test_torch_init():
    keras.utils.set_random_seed(0)
    drawn = ops.convert_to_numpy(initializers.torch_uniform(25)((400, 300), "float32"))
    assert np.abs(drawn).max() == pytest.approx(0.2, rel=1e-3)
    assert drawn.std() == pytest.approx(0.2 / np.sqrt(3), rel=0.01)


@pytest.mark.parametrize("law", [initializers.Uniform(2), initializers.Normal(2)])
def test_each_draw_is_another_and_follows_from_the_seed(law):
    draws = []
    for seed in (0, 0, 1):
        keras.utils.set_random_seed(seed)
        draws.append([ops.convert_to_numpy(law((3, 5))) for _ in range(2)])
    (first, second), again, other = draws
    assert first.dtype == np.float32
    np.testing.assert_array_equal([first, second], again)
    assert (first != second).all()
    assert (first != other[0]).all()


@pytest.mark.parametrize(
    "layer",
    [
        layers.GroupedConv1D(5, 4, initializers.AutosomeInitializer()),
        layers.BatchNormalization(),
        layers.AddPositionEmbedding(),
        AddStrandEmbedding("keras"),
        layers.SwiGLU(),
        layers.SelfAttention(2),
        layers.SelfAttention(2, 3, "keras"),
        layers.TorchLSTM(3, return_sequences=True),
        BothStrandsConv1D(3, 5),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_come_back_from_their_config(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    x = np.random.default_rng(0).normal(size=(2, 6, 8)).astype("float32")
    again.build(x.shape)
    layer.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))


def test_batch_norm_keeps_the_biased_variance_where_it_is_asked_to(random):
    x = random.normal(2, 3, (5, 4, 2)).astype("float32")
    layer = layers.BatchNormalization(0.1, unbiased=False)
    layer(x, training=True)
    variance = x.reshape(-1, 2).var(0)
    np.testing.assert_allclose(layer.moving_variance, 0.1 + 0.9 * variance, rtol=1e-5)
    assert not layers.BatchNormalization.from_config(layer.get_config()).unbiased


@pytest.mark.parametrize("init", ["torch", "keras"])
def test_initial_weights_of_an_lstm(init):
    layer = layers.TorchLSTM(6, init=init)
    layer.build((None, 5, 4))
    kernel, recurrent, bias, second = (np.asarray(w) for w in layer.weights)
    if init == "torch":
        assert max(np.abs(w).max() for w in (kernel, recurrent, bias, second)) < 6**-0.5
        assert all(w.std() > 0.1 for w in (bias, second))
        return
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(6), atol=1e-5)
    assert np.abs(kernel).max() < (6 / (4 + 24)) ** 0.5
    assert bias.tolist() == [0] * 6 + [1] * 6 + [0] * 12  # gates i, f, g, o
    assert not second.any()
