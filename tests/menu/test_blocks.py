"""Every block on the menu: parity with the published outputs, saving, shapes, training."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import dream_keras
from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.config.order import Choice, Order
from dream_keras.data.table import tokenize
from dream_keras.menu.atac import ProfileProcessor
from dream_keras.menu.plain import PlainProcessor
from dream_keras.model.network import Network
from dream_keras.model.targets import choose_target_type
from dream_keras.model.torch_weights import load_torch_weights
from dream_keras.testing import check_block

ORDER = {"processor": "autosome", "first": "autosome", "core": "autosome", "final": "autosome"}
TINY = {
    "first": {"out_channels": 8},
    "first-vaishnav_transformer": {"out_channels": 8, "motifs": 4},
    "core-autosome": {"out_channels": 8, "widths": (8,)},
    "core-bhi": {"out_channels": 8, "units": 4},
    "core-bpnet": {"layers": 2},
    "core-deepstarr": {"out_channels": 8, "widths": (8, 8)},
    "core-malinois": {"out_channels": 8, "widths": (8,)},
    "core-mpralegnet": {"out_channels": 8, "widths": (8,)},
    "core-mprann": {"out_channels": 8, "widths": (8, 8)},
    "core-unlockdna": {"layers": 1},
    "core-vaishnav_transformer": {"convolutions": 1, "layers": 1},
    "final-autosome_regression": {"features": 4},
    "final-bhi": {"hidden": 4},
    "final-gaussian": {"features": 4},
    "final-deepstarr": {"hidden": 8},
    "final-malinois": {"hidden": 16, "branch": 8, "branch_dropout": 0.0},
    "final-mpralegnet": {"features": 8},
    "final-mprann": {"hidden": (8, 8)},
    "final-profile": {"positions": 5, "kernel_size": 5},
    "final-vaishnav_transformer": {"units": 4, "hidden": 8},
}
BLOCKS = [item for item in menu.entries() if item.slot in ("first", "core", "final")]
OURS = {f"dream_keras.menu.{team}" for team in ("autosome", "bhi", "unlockdna")}
every_block = pytest.mark.parametrize("item", BLOCKS, ids=lambda i: f"{i.slot}-{i.name}")

# The golden files' blocks are narrower than the published ones.
GOLDEN = {
    "first_autosome": {"out_channels": 16},
    "first_bhi": {"out_channels": 16},
    "first_unlockdna": {"out_channels": 16},
    "core_autosome": {"widths": (12, 8), "out_channels": 8},
    "core_bhi": {"out_channels": 16, "units": 8},
    "core_unlockdna": {"layers": 2},
    "final_autosome": {},
    "final_bhi": {"hidden": 24},
    "final_unlockdna": {"num_projectors": 4, "sequence_length": 40},
}


def tiny_options(slot, name):
    return TINY.get(f"{slot}-{name}", TINY.get(slot, {}))


def lone_block(slot, name, length, channels, options):
    """Make a network of one block, on an input of the block's own."""
    inputs = keras.Input((length, channels))
    outputs = menu.get(slot, name).build(inputs, **options)
    return Network(inputs, outputs, Order.parse({**ORDER, slot: name}), length, channels)


def tiny_network(item, length=24, channels=6):
    choices = dict(ORDER)
    for slot in ("first", "core", "final"):
        name = item.name if slot == item.slot else "autosome"
        choices[slot] = Choice(name, tiny_options(slot, name))
    choices["processor"] = Choice("autosome")
    return dream_keras.build_network(Order(**choices), length, channels)


def relative_error(got, want):
    return np.abs(got - want).max() / np.abs(want).max()


@pytest.mark.parametrize("name", GOLDEN)
def test_outputs_equal_the_published_ones(golden, name):
    slot, block = name.split("_")
    arrays, weights = golden(name)
    x = arrays["x"].transpose(0, 2, 1)
    network = lone_block(slot, block, *x.shape[1:], GOLDEN[name])
    load_torch_weights(network, {f"{slot}.{k}": v for k, v in weights.items()})
    # 1e-5 would let a layer normalisation with another epsilon pass.
    if slot == "final":
        got = dream_keras.expression(network, x)
        assert relative_error(got, arrays["y" if "y" in arrays else "y0"]) < 2e-6
    else:
        assert relative_error(network.predict(x, verbose=0), arrays["y"].transpose(0, 2, 1)) < 2e-6


def test_nucleotide_logits_equal_the_published_ones(golden):
    arrays, weights = golden("final_unlockdna")
    x = arrays["x"].transpose(0, 2, 1)
    network = lone_block("final", "unlockdna", *x.shape[1:], GOLDEN["final_unlockdna"])
    load_torch_weights(network, {f"final.{k}": v for k, v in weights.items()})
    got = network.predict(x, verbose=0)["nucleotides"]
    assert relative_error(got, arrays["y1"].transpose(0, 2, 1)) < 2e-6


@pytest.mark.parametrize(
    "item",
    [
        # The other networks are compared with twins in test_baselines.py.
        item if item.module in OURS else pytest.param(item, marks=pytest.mark.slow)
        for item in BLOCKS
    ],
    ids=lambda item: f"{item.slot}-{item.name}",
)
def test_every_block_is_sound(item):
    check_block(item.slot, item.name, options=tiny_options(item.slot, item.name))


@pytest.mark.parametrize(
    ("slot", "name", "options", "dead_weights"),
    [
        (
            "first",
            "unlockdna",
            {"out_channels": 8, "pseudo_tokens": 4, "position": True, "start": "keras"},
            ("first_tokens/kernel",),  # a dense layer on a constant zero, as submitted
        ),
        ("core", "autosome", {"out_channels": 8, "widths": (8,), "bilinear": True}, ()),
        (
            "core",
            "unlockdna",
            {"layers": 1, "head_width": 6, "position": False, "plain_residual": True},
            (),
        ),
        ("final", "autosome_regression", {"features": 4, "tasks": 2}, ()),
        (
            "core",
            "autosome",
            {"out_channels": 8, "widths": (8,), "unbiased": False, "init": "keras"},
            (),
        ),
        ("core", "bhi", {"out_channels": 8, "units": 4, "one_bias": True, "init": "keras"}, ()),
    ],
)
@pytest.mark.slow
def test_blocks_are_sound_with_other_options(slot, name, options, dead_weights):
    check_block(slot, name, options=options, dead_weights=dead_weights)


@pytest.mark.slow
def test_saved_models_load_in_a_fresh_process(tmp_path, random):
    channels = random.integers(0, 2, (4, 24, 6)).astype("float32")
    np.save(tmp_path / "channels.npy", channels)
    calls = []
    for item in BLOCKS:
        name = f"{item.slot}_{item.name}"
        network = tiny_network(item)
        network.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.want.npy", dream_keras.expression(network, channels))
        calls.append(name)
    script = (
        "import keras, numpy as np\n"
        "from dream_keras.model.build import expression\n"
        f"for name in {calls}:\n"
        f"    network = keras.saving.load_model(f'{tmp_path}/{{name}}.keras')\n"
        f"    channels = np.load('{tmp_path}/channels.npy')\n"
        f"    np.save(f'{tmp_path}/{{name}}.got.npy', expression(network, channels))\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    for name in calls:
        want, got = (np.load(tmp_path / f"{name}.{kind}.npy") for kind in ("want", "got"))
        np.testing.assert_allclose(got, want, rtol=1e-6, err_msg=name)


# Parameters of the published networks. PyTorch's LSTM has two biases per gate and direction where
# Keras has one; ours keeps both (layers.TorchLSTM says why), so the counts are equal. With Keras's
# own LSTM DREAM-RNN would have 2 * 4 * 320 = 2,560 fewer.
COUNTS = [
    ("dream_cnn", 150, 6, "autosome", 1_933_970),
    ("dream_rnn", 150, 6, "autosome", 4_130_578),
    ("dream_attn", 150, 6, "autosome", 4_539_410),
    ("dream_cnn", 230, 5, {"name": "autosome_regression"}, 1_945_857),
    ("dream_rnn", 230, 5, {"name": "autosome_regression"}, 4_203_393),
    ("dream_attn", 230, 5, {"name": "autosome_regression"}, 4_619_521),
    ("dream_cnn", 249, 5, {"name": "autosome_regression", "tasks": 2}, 1_962_754),
    ("dream_rnn", 249, 5, {"name": "autosome_regression", "tasks": 2}, 4_285_826),
    ("dream_attn", 249, 5, {"name": "autosome_regression", "tasks": 2}, 4_690_434),
]


@every_block
def test_every_block_takes_sequences_of_any_assay(item):
    of_profiles = item.name == "profile"
    processor = ProfileProcessor(61, positions=5) if of_profiles else PlainProcessor(61)
    network = tiny_network(item, 61, processor.channels)
    choose_target_type(network, processor)
    tokens = processor.encode(*tokenize(["ACGTN" * 6, "G" * 61], 61))
    channels = processor.make_channels(tokens, np.zeros(2, np.uint8), np.zeros(2, np.uint8))
    values = keras.ops.convert_to_numpy(network.expression(channels))
    assert values.shape[0] == 2
    assert np.isfinite(values).all()


@pytest.mark.parametrize(("preset", "length", "channels", "final", "count"), COUNTS)
def test_parameter_counts_are_the_published_ones(preset, length, channels, final, count):
    order = {**dream_keras.load_experiment(preset).model.plain(), "final": final}
    network = dream_keras.build_network(order, length, channels)
    assert sum(int(np.prod(w.shape)) for w in network.trainable_weights) == count


def test_the_second_lstm_bias_is_the_whole_difference():
    network = dream_keras.build_network("dream_rnn")
    second = [w for w in network.trainable_weights if w.path.endswith("recurrent_bias")]
    assert sum(int(np.prod(w.shape)) for w in second) == 2_560


def test_blocks_that_do_not_fit_are_refused_in_words():
    order = {**ORDER, "core": {"name": "unlockdna", "num_heads": 7}}
    with pytest.raises(UserError, match=r"core block unlockdna cannot be built.*256 channels"):
        dream_keras.build_network(order)
    with pytest.raises(UserError, match=r"out_channels=9 does not divide"):
        dream_keras.build_network({**ORDER, "first": {"name": "bhi", "out_channels": 9}})
