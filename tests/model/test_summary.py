"""What orders are made of, against other counters, closed forms and the networks themselves."""

import math
import re
import shlex
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import dream_keras
from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import load_experiment
from dream_keras.config.order import Choice, Order
from dream_keras.menu import registry
from dream_keras.model.summary import Survey, multiply_adds, orders, own_order

PRESETS = {
    # Multiply-adds as PyTorch's own counter gives them for the published networks' twins.
    "dream_cnn": 264_904_448,
    "dream_rnn": 618_720_000,
    "dream_attn": 719_155_200,
}


@pytest.fixture
def empty_place(monkeypatch):
    """Let a test register things that are gone afterwards."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))


def model(*layers, shape=(20, 6)):
    inputs = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


L = keras.layers
CLOSED_FORMS = {
    "dense at every position": (lambda: model(L.Dense(7)), 20 * 6 * 7),
    "dense by einsum": (lambda: model(L.EinsumDense("...i,io->...o", 7)), 20 * 6 * 7),
    "another dense at every position": (
        lambda: model(L.EinsumDense("bti,tio->bto", (20, 7))),
        20 * 6 * 7,
    ),
    "dense after flatten": (lambda: model(L.Flatten(), L.Dense(7)), 20 * 6 * 7),
    "dense after pooling": (lambda: model(L.GlobalMaxPooling1D(), L.Dense(7)), 6 * 7),
    "convolution": (lambda: model(L.Conv1D(8, 5, padding="same")), 20 * 5 * 6 * 8),
    "valid convolution": (lambda: model(L.Conv1D(8, 5)), 16 * 5 * 6 * 8),
    "strided convolution": (lambda: model(L.Conv1D(8, 5, 2, padding="same")), 10 * 5 * 6 * 8),
    "grouped convolution": (lambda: model(L.Conv1D(8, 5, groups=2)), 16 * 5 * 3 * 8),
    "depthwise": (lambda: model(L.DepthwiseConv1D(5, padding="same")), 20 * 5 * 6),
    "separable": (
        lambda: model(L.SeparableConv1D(8, 5, padding="same")),
        20 * (5 * 6 + 6 * 8),
    ),
    # Four gates, each from the input's 6 channels and the state's 4, at each of the 20 positions.
    "recurrent": (lambda: model(L.LSTM(4, return_sequences=True)), 20 * 4 * 4 * (6 + 4)),
    "recurrent, last state": (lambda: model(L.LSTM(4)), 20 * 4 * 4 * (6 + 4)),
    "both directions": (
        lambda: model(L.Bidirectional(L.LSTM(4, return_sequences=True))),
        2 * 20 * 4 * 4 * (6 + 4),
    ),
    "nothing to multiply": (
        lambda: model(L.BatchNormalization(), L.Activation("silu"), L.MaxPooling1D(2)),
        0,
    ),
    "layers in a layer": (
        lambda: model(keras.Sequential([L.Conv1D(8, 5), L.Flatten(), L.Dense(3)])),
        16 * 5 * 6 * 8 + 16 * 8 * 3,
    ),
    "a model in a model": (
        lambda: model(model(L.Conv1D(8, 5), L.Flatten(), L.Dense(3))),
        16 * 5 * 6 * 8 + 16 * 8 * 3,
    ),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_multiply_adds_by_hand(name):
    build, expected = CLOSED_FORMS[name]
    assert multiply_adds(build()) == expected


def test_a_layer_used_twice_counts_twice():
    shared = L.Dense(6)
    assert multiply_adds(model(shared, shared)) == 2 * 20 * 6 * 6


def test_a_layer_may_count_for_itself():
    class Own(L.Dense):
        def multiply_adds(self, input_shape):
            return math.prod(input_shape[1:])

    assert multiply_adds(model(Own(7), L.Dense(2))) == 20 * 6 + 20 * 7 * 2


@pytest.mark.parametrize("name", PRESETS)
def test_the_published_networks(name):
    assert multiply_adds(dream_keras.build_network(name)) == PRESETS[name]


@pytest.mark.parametrize("name", PRESETS)
def test_pytorch_counts_the_same(name, monkeypatch):
    torch = pytest.importorskip("torch")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    from benchmarks.torch_twin import build_twin

    # Fused kernels of LSTM and attention are not counted: take those made of plain products.
    with (
        torch.backends.mkldnn.flags(enabled=False),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        build_twin(name).eval()(torch.zeros(1, 6, 150))
    assert counter.get_total_flops() == 2 * PRESETS[name]


def tensorflow_counts(network):
    """Return TensorFlow's count of floating-point operations of a forward pass, by kind."""
    rows = tf.TensorSpec((1, *network.input.shape[1:]))
    function = tf.function(lambda x: network(x, training=False)).get_concrete_function(rows)
    frozen = convert_variables_to_constants_v2(function).graph.as_graph_def()
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen, name="")
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation() | {"output": "none"}
    part = tf.compat.v1.profiler.profile(graph, cmd="op", options=options)
    counts = {}
    while part.children:
        part = part.children[0]
        counts[part.name] = part.float_ops
    return counts


@pytest.mark.parametrize("name", ["dream_cnn", "dream_attn"])
def test_tensorflow_counts_the_same(name):
    """DREAM-RNN has a loop, whose body TensorFlow counts once."""
    counts = tensorflow_counts(dream_keras.build_network(name))
    kinds = ("Conv2D", "DepthwiseConv2dNative", "MatMul", "BatchMatMulV2")
    assert sum(counts.get(kind, 0) for kind in kinds) == 2 * PRESETS[name]
    # What is left out (normalisation, activations, pooling) is little.
    assert sum(counts.values()) == pytest.approx(2 * PRESETS[name], rel=0.02)


def test_the_lstm_by_hand():
    # Both directions, four gates; then two convolutions on 640 channels.
    lstm = 2 * 150 * 4 * 320 * (320 + 320)
    convolutions = 150 * 640 * 160 * (9 + 15)
    part = Survey().order(dream_keras.config.experiment.preset("dream_rnn")).parts[1]
    assert part.multiply_adds == lstm + convolutions


@pytest.mark.parametrize("name", PRESETS)
def test_parts_sum_up_to_the_network(name):
    network = dream_keras.build_network(name)
    found = Survey().order(network.order)
    assert (found.length, found.channels) == (150, 6)
    assert found.multiply_adds == multiply_adds(network)
    assert found.parameters == sum(math.prod(w.shape) for w in network.trainable_weights)
    assert found.parts[-1].output == network.output.shape[1:]


def test_blocks_are_built_once_per_shape(monkeypatch):
    built = []

    def count(slot, choice, x):
        built.append((slot, choice.name, x.shape))
        return menu.get(slot, choice.name).build(x, **choice.options)

    monkeypatch.setattr("dream_keras.model.summary.build_block", count)
    survey = Survey()
    some = [order for order in orders() if order.core.name == "bhi"]
    for _ in range(2):
        assert all(survey.order(order).reason is None for order in some)
    # 3 x 3 first blocks; 9 different cores; of the finals, 3 for each of 3 lengths.
    assert len(built) == len(set(built)) == 9 + 9 + 9


def test_the_published_orders():
    assert len(orders()) == 3**4
    assert len(orders(["autosome_regression"])) == 3**3
    with pytest.raises(UserError, match=r'"autosom".*Did you mean "autosome"'):
        orders(["autosom"])


@pytest.mark.usefixtures("empty_place")
def test_blocks_of_ones_own_add_orders():
    @menu.register("core", "mine", source="here", collection="prix_fixe")
    def mine(x, width: int = 8):
        if x.shape[-1] == 512:
            raise ValueError("too wide")
        return L.Dense(width)(x)

    assert len(orders()) == 3 * 3 * 4 * 3
    assert own_order(menu.get("core", "mine")) == Order(
        *[Choice("autosome")] * 2, Choice("mine"), Choice("autosome")
    )
    survey = Survey()
    found = [survey.order(order) for order in orders() if order.core.name == "mine"]
    refused = [each for each in found if each.reason]
    assert {each.order.first.name for each in refused} == {"unlockdna"}
    assert len(refused) == 9
    assert refused[0].reason == ("core block mine cannot be built on (batch, 150, 512): too wide")


@pytest.mark.usefixtures("empty_place")
def test_a_final_block_that_the_processor_has_no_target_for():
    class Loss(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return y_pred

    head = menu.Head(losses={"label": Loss}, expression=lambda y: y[:, 0])

    @menu.register("final", "mine", source="here", head=head)
    def mine(x):
        return L.Dense(1)(L.GlobalAveragePooling1D()(x))

    order = Order.parse({"processor": "autosome", "first": "bhi", "core": "bhi", "final": "mine"})
    reason = Survey().order(order).reason
    assert reason is not None
    assert "final block mine is trained on label, but processor autosome makes" in reason


TOO_NARROW = "66 channels do not divide by num_heads=4"
UNBUILDABLE = [
    # What is set, what is wrong, what is offered.
    (["core.num_heads=7"], "256 channels do not divide by num_heads=7", "core.num_heads=4"),
    (["core.num_heads=7", "core.layers=1"], "num_heads=7", "core.num_heads=4"),
    (["core.num_heads=7", "core.expansion=0"], "units=0", "core=unlockdna"),
    (["first.out_channels=66"], TOO_NARROW, "core=autosome"),
    (["first.kernel_size=0"], "kernel_size=0", "first.kernel_size=7"),
    (["core={name: bhi, kernel_sizes: []}"], "division|modulo", "core.kernel_sizes=[9,15]"),
    (["final={name: unlockdna, sequence_length: 151}"], "-1", "final.sequence_length=null"),
    (
        ["final={name: unlockdna, num_projectors: 0}"],
        "smaller than the input length. Received",
        "final.num_projectors=32",
    ),
    # Two changes: any core block needs a channel.
    pytest.param(
        ["core={name: autosome, channels_per_group: 3}", "final.bins=0"],
        "do not divide by 3",
        "core.channels_per_group=2 final.bins=18",
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("settings", "said", "offered"), UNBUILDABLE)
def test_an_order_that_cannot_be_built_names_the_nearest_that_can(settings, said, offered):
    overrides = [f"model.{setting}" for setting in settings]
    with pytest.raises(UserError) as refused:
        dream_keras.build_network(load_experiment("dream_attn", overrides).model)
    message = str(refused.value)
    assert re.search(said, message)
    assert "\n" not in message
    # What is offered is what the command line takes, and it can be built.
    offers = shlex.split(message.partition(". Nearest order that can: ")[2])[1::2]
    assert offers == [f"model.{setting}" for setting in offered.split()]
    dream_keras.build_network(load_experiment("dream_attn", overrides + offers).model)
