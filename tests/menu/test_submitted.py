"""The three winners' own models, and the options in which they differ from Prix Fixe's blocks."""

import keras
import numpy as np
import pytest
from keras import ops

import dream_keras
from dream_keras import menu
from dream_keras.menu.autosome import LowRankBilinear
from dream_keras.menu.unlockdna import PseudoTokens

SUBMITTED = {
    "autosome_legnet": {"first": 11_264, "core": 1_840_412, "final": 1_170},
    "bhi_deepgxp": {"first": 25_088, "core": 4_592_960, "final": 2_257_089},
    "unlockdna_proformer": {"first": 135_680, "core": 47_286_272, "final": 3_591},
}
TOTALS = {
    "autosome_legnet": (150, 6, 1_852_846),
    "bhi_deepgxp": (110, 4, 6_875_137),
    "unlockdna_proformer": (200, 6, 47_425_543),
}
SMALL_PROFORMER = {
    "processor": "autosome",
    "first": {
        "name": "unlockdna",
        "out_channels": 8,
        "pseudo_tokens": 4,
        "position": True,
        "init": "keras",
    },
    "core": {
        "name": "unlockdna",
        "layers": 1,
        "num_heads": 2,
        "head_width": 6,
        "position": False,
        "plain_residual": True,
        "init": "keras",
    },
    "final": {
        "name": "unlockdna",
        "num_projectors": 4,
        "nucleotides": 6,
        "sequence_length": 24,
        "init": "keras",
    },
}
SMALL_LEGNET = {
    "processor": "autosome",
    "first": {"name": "autosome", "out_channels": 8},
    "core": {"name": "autosome", "widths": [8], "out_channels": 8, "bilinear": True},
    "final": {"name": "autosome", "silu": True},
}


def size(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


def weights_of(network, prefix):
    named = (layer for layer in network.layers if layer.name.startswith(prefix))
    return [weight for layer in named for weight in layer.trainable_weights]


def model_of(slot, name, shape, **options):
    """Make a plain model of one block, which gives every layer's output by name."""
    inputs = keras.Input(shape)
    outputs = menu.get(slot, name).build(inputs, **options)
    return keras.Model(inputs, outputs)


def outputs_of(model, x, *names):
    inner = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    return [ops.convert_to_numpy(y) for y in inner([x])]


def full_tensor(scale, left, right, out):
    return np.einsum("r,ir,jr,or->ijo", scale, left, right, out, optimize=True)


@pytest.mark.parametrize("name", SUBMITTED)
def test_parameter_counts_are_those_of_the_submissions(name):
    order = dream_keras.load_experiment(name)
    processor = order.make_processor()
    length, channels, total = TOTALS[name]
    assert (processor.length, processor.channels) == (length, channels)
    network = dream_keras.build_network(name, length, channels)
    stages = {slot: size(weights_of(network, slot)) for slot in SUBMITTED[name]}
    assert stages == SUBMITTED[name]
    assert size(network.trainable_weights) == total
    if name == "unlockdna_proformer":
        for layer in range(4):
            assert size(weights_of(network, f"core_layer{layer}_")) == 11_821_568
    if name == "autosome_legnet":
        ranks = [network.get_layer(f"core_stage{n}_bilinear").scale.shape[0] for n in range(6)]
        assert ranks == [410, 102, 102, 26, 26, 26]


def test_plain_squeeze_excite_is_the_prix_fixe_copy():
    order = dream_keras.load_experiment("autosome_legnet").model.plain()
    network = dream_keras.build_network({**order, "core": "autosome"})
    assert size(network.trainable_weights) == 1_725_122


@pytest.mark.parametrize("name", SUBMITTED)
def test_settings_are_the_submitted_ones(name):
    experiment = dream_keras.load_experiment(name)
    processor, trainer = experiment.model.processor, experiment.trainer
    assert trainer.name == processor.name == name.partition("_")[0]
    steps = {"autosome": (80, 1000, 1024), "bhi": (15, None, 512), "unlockdna": (20, None, 512)}
    keys = ("epochs", "steps_per_epoch", "batch_size")
    assert tuple(trainer.options[key] for key in keys) == steps[trainer.name]
    rate = {"autosome": 0.005, "bhi": 0.0015, "unlockdna": 512**-0.5 * 12_500**-0.5}
    assert trainer.options["learning_rate"] == pytest.approx(rate[trainer.name], rel=1e-6)
    assert experiment.data.long_rows == ("drop" if trainer.name == "unlockdna" else "fail")


# What the blocks were made of before they had the options of the submissions.
UNLOCKDNA_LAYER = (
    "ff1_norm ff1_expand ff1_gate ff1_inner_dropout ff1_contract ff1_dropout ff1_half ff1_add "
    "conv_norm depthwise pointwise conv_dropout conv_add attention_norm attention attention_add "
    "ff2_norm ff2_expand ff2_gate ff2_inner_dropout ff2_contract ff2_dropout ff2_half ff2_add"
)
AUTOSOME_STAGE = (
    "expand expand_norm expand_silu grouped grouped_norm grouped_silu mean squeeze excite scale "
    "project project_norm project_silu join resize resize_norm resize_silu"
)


@pytest.mark.parametrize(
    ("slot", "name", "options", "layers"),
    [
        ("first", "unlockdna", {}, ["kmer", "strand"]),
        (
            "core",
            "autosome",
            {"widths": ()},
            [f"stage0_{part}" for part in AUTOSOME_STAGE.split()],
        ),
        (
            "core",
            "unlockdna",
            {"layers": 1},
            ["position", *(f"layer0_{part}" for part in UNLOCKDNA_LAYER.split())],
        ),
        ("final", "autosome", {}, ["bins", "mean", "probabilities"]),
        (
            "final",
            "unlockdna",
            {},
            ["projectors", "dropout", "expression", "sequence", "mean", "nucleotides"],
        ),
    ],
)
def test_without_options_the_layers_are_prix_fixes(slot, name, options, layers):
    model = model_of(slot, name, (24, 24), **options)
    assert [layer.name for layer in model.layers[1:]] == [f"{slot}_{layer}" for layer in layers]


def test_low_rank_bilinear_equals_its_full_tensor(random):
    layer = LowRankBilinear(3)
    layer.build((None, 6))
    scale, left, right, out, bias = weights = [random.normal(size=w.shape) for w in layer.weights]
    layer.set_weights(weights)
    full = full_tensor(scale, left, right, out)
    v = random.normal(size=(5, 6)).astype("float32")
    want = np.einsum("bi,bj,ijo->bo", v, v, full) + bias
    np.testing.assert_allclose(layer(v), want, rtol=1e-4, atol=1e-4)
    # 6 * 6 * 3 / 2 entries share out over ranks of 6 + 6 + 3 weights.
    assert scale.shape == (round(54 / 15),)


@pytest.mark.parametrize(("channels", "draws"), [(64, 10), (32, 30), (16, 100)])
def test_low_rank_bilinear_starts_as_the_team_says(channels, draws):
    keras.utils.set_random_seed(0)
    variances = []
    for _ in range(draws):
        layer = LowRankBilinear(channels // 2)
        layer.build((None, channels))
        scale, left, right, out, bias = layer.get_weights()
        assert (scale == 1).all()
        assert 0.5 < np.abs(bias).max() <= 1
        assert not np.allclose(left, right)
        variances.append(full_tensor(scale, left, right, out).var())
    assert np.sqrt(np.mean(variances)) == pytest.approx(0.00075, rel=0.04)


def test_gates_come_from_squeezed_channels_and_their_products(random):
    channels, squeezed = 16, 4
    model = model_of("core", "autosome", (9, channels), widths=(), out_channels=3, bilinear=True)
    for weight in model.trainable_weights:
        weight.assign(random.normal(0, 0.5, weight.shape))
    x = random.normal(size=(2, 9, channels)).astype("float32")
    mean, excite = outputs_of(model, x, "core_stage0_mean", "core_stage0_excite")

    def dense(values, name):
        kernel, bias = model.get_layer(f"core_stage0_{name}").get_weights()
        return values @ kernel + bias

    def silu(values):
        return values / (1 + np.exp(-values))

    v = dense(silu(dense(mean[:, 0], "squeeze")), "mix")
    assert v.shape == (2, squeezed)
    scale, left, right, out, bias = model.get_layer("core_stage0_bilinear").get_weights()
    full = full_tensor(scale, left, right, out)
    products = np.einsum("bi,bj,ijo->bo", v, v, full) + bias
    gate = dense(silu(np.concatenate([v, products], axis=1)), "excite")
    np.testing.assert_allclose(excite[:, 0], 1 / (1 + np.exp(-gate)), rtol=1e-4)


def test_final_silu_stands_before_the_mean(random):
    model = model_of("final", "autosome", (7, 5), silu=True)
    kernel, bias = (random.normal(size=w.shape) for w in model.weights)
    model.set_weights([kernel, bias])
    x = random.normal(size=(2, 7, 5)).astype("float32")
    y = x @ kernel[0] + bias
    logits = (y / (1 + np.exp(-y))).mean(axis=1)
    want = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model(x), want, rtol=1e-4)


def test_pseudo_tokens_are_copies_in_front_of_two_marked_strands(random):
    length, tokens = 6, 3
    model = model_of(
        "first", "unlockdna", (length, 4), out_channels=2, pseudo_tokens=tokens, position=True
    )
    set_weights = {
        "first_kmer": [np.zeros((10, 4, 2)), np.zeros(2)],
        "first_position": [np.arange(2.0 * length).reshape(length, 2)],
        "first_strand": [np.array([[100.0, 100], [200, 200]])],
        "first_tokens": [random.normal(size=(1, 2)), np.array([7.0, 8])],
    }
    for name, weights in set_weights.items():
        model.get_layer(name).set_weights(weights)
    x = random.normal(size=(2, length, 4)).astype("float32")
    y = ops.convert_to_numpy(model(x))
    assert y.shape == (2, tokens + length, 2)
    assert (y[:, :tokens] == [7, 8]).all()
    # The halves are those of the sequence, not of the tokens and the sequence.
    strands = np.repeat([100, 200], length // 2)[:, None]
    assert (y[:, tokens:] == np.arange(2 * length).reshape(length, 2) + strands).all()


@pytest.mark.parametrize(("plain", "terms"), [(True, 2), (False, 3)])
def test_convolution_joins_the_stream_as_asked(random, plain, terms):
    model = model_of("core", "unlockdna", (9, 8), layers=1, plain_residual=plain)
    x = random.normal(size=(2, 9, 8)).astype("float32")
    names = ("ff1_add", "conv_dropout", "conv_norm", "conv_add")
    *parts, joined = outputs_of(model, x, *(f"core_layer0_{name}" for name in names))
    assert np.abs(parts[1]).max() > 0.01
    np.testing.assert_allclose(joined, sum(parts[:terms]), atol=1e-5)


def submitted_weights():
    """Return weights that start as the Proformer's do, from the layers it was submitted with.

    The windows of 10 tokens in 6 channels go through a dense layer there, a convolution here. Its
    attention's kernels are drawn by the rule that Keras had for three axes. Layers that start at
    one value are left out.
    """
    dense, width = keras.layers.Dense, 512
    glorot, biases = keras.initializers.GlorotUniform, np.zeros(width)
    separable = keras.layers.SeparableConv1D(width, 15)
    separable.build((None, 232, width))
    made = {}
    for name, layer, inputs in [
        ("first_kmer", dense(width), 60),
        ("first_tokens", dense(width), 1),
        ("core_layer0_ff1_expand", dense(2_048, use_bias=False), width),
        ("core_layer0_ff1_contract", dense(width, use_bias=False), 1_024),
        ("final_expression", dense(1), width),
        ("final_nucleotides", dense(6), width),
    ]:
        layer.build((None, inputs))
        made[name] = layer.weights
    for name, rows in [("first_position", 200), ("first_strand", 2)]:
        table = keras.layers.Embedding(rows, width)
        table.build()
        made[name] = table.weights
    made["core_layer0_depthwise"] = separable.weights[:1]
    made["core_layer0_pointwise"] = separable.weights[1:]
    made["core_layer0_attention"] = [
        glorot()((width, 8, 512)),
        biases,
        glorot()((8, 512, width)),
        biases,
    ]
    return made


def test_proformer_starts_as_keras_starts():
    keras.utils.set_random_seed(0)
    order = dream_keras.load_experiment("unlockdna_proformer").model.plain()
    order["core"]["layers"] = 1
    network = dream_keras.build_network(order, 200, 6)
    expected = submitted_weights()
    norms = {f"core_layer0_{part}_norm" for part in ("ff1", "conv", "attention", "ff2")}
    again = {"core_layer0_ff2_expand", "core_layer0_ff2_contract"}
    found = {layer.name for layer in network.layers if layer.weights}
    assert found == set(expected) | norms | again
    for name, theirs in expected.items():
        ours = network.get_layer(name).weights
        for mine, kerass in zip(ours, theirs, strict=True):
            mine, kerass = (ops.convert_to_numpy(w) for w in (mine, kerass))
            assert np.abs(mine).max() == pytest.approx(np.abs(kerass).max(), rel=0.02), name
            assert mine.std() == pytest.approx(kerass.std(), rel=0.1), name


@pytest.fixture(params=[SMALL_LEGNET, SMALL_PROFORMER], ids=["legnet", "proformer"])
def order(request):
    return request.param


def test_options_survive_saving_and_low_precision(tmp_path, random, order):
    network = dream_keras.build_network(order, 24, 6)
    channels = random.integers(0, 2, (3, 24, 6)).astype("float32")
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    want = dream_keras.expression(network, channels)
    np.testing.assert_allclose(dream_keras.expression(again, channels), want, rtol=1e-6)
    for layer in network.layers[1:]:
        assert all(None not in y.shape[1:] for y in keras.tree.flatten(layer.output)), layer.name
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        low = dream_keras.build_network(order, 24, 6)
        low.set_weights(network.get_weights())
        outputs = low(channels)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {keras.backend.standardize_dtype(y.dtype) for y in keras.tree.flatten(outputs)} == {
        "float32"
    }
    np.testing.assert_allclose(low.values(outputs)[:, 0], want, atol=0.1)


def test_every_weight_learns_but_the_kernel_of_the_pseudo_tokens(random, order):
    import tensorflow as tf

    keras.utils.set_random_seed(3)
    network = dream_keras.build_network(order, 24, 6)
    channels = random.integers(0, 2, (8, 24, 6)).astype("float32")
    weights = network.trainable_weights
    with tf.GradientTape() as tape:
        outputs = keras.tree.flatten(network(channels, training=False))
        aims = [random.normal(size=y.shape).astype("float32") for y in outputs]
        loss = sum(tf.reduce_mean((y - aim) ** 2) for y, aim in zip(outputs, aims, strict=True))
    gradients = tape.gradient(loss, [w.value for w in weights])
    still = {w.path for w, g in zip(weights, gradients, strict=True) if not np.any(g)}
    assert still == ({"first_tokens/kernel"} if order is SMALL_PROFORMER else set())


@pytest.mark.parametrize("layer", [LowRankBilinear(3), PseudoTokens(2, "keras")])
def test_layers_come_back_from_their_config(random, layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    x = random.normal(size=(2, 6, 8)).astype("float32")
    again.build(x.shape)
    layer.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))


def test_pseudo_tokens_start_as_asked_and_multiply_nothing():
    keras.utils.set_random_seed(0)
    for init, deviation in (("torch", 1 / np.sqrt(3)), ("keras", 0)):
        layer = PseudoTokens(2, init)
        layer.build((None, 9, 4_000))
        assert ops.convert_to_numpy(layer.bias).std() == pytest.approx(deviation, rel=0.03)
        assert layer.multiply_adds((None, 9, 4_000)) == 0
