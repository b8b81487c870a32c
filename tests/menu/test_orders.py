"""Every order on the menu in miniature: built, trained, saved and loaded, shared by two devices."""

import functools
import itertools
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from dream_keras import menu
from dream_keras.config.order import Choice, Order
from dream_keras.data.stream import Batch
from dream_keras.menu import registry
from dream_keras.model.network import assemble
from dream_keras.model.summary import orders
from dream_keras.runtime.steps import Steps
from dream_keras.runtime.strategy import make_strategy

SLOTS = ("processor", "first", "core", "final")
TINY = {
    "length": 12,
    "insert_length": 6,
    "out_channels": 8,
    "widths": (8,),
    "units": 4,
    "layers": 1,
    "hidden": 4,
    "features": 4,
}
ROWS = 8


def name_of(order):
    return "-".join(getattr(order, slot).name for slot in SLOTS)


def tiny(slot, name):
    """Choose from the menu what is quick and draws no random numbers."""
    options = menu.get(slot, name).options
    small = {option: TINY[option] for option in options if option in TINY}
    return Choice(name, small | {option: 0.0 for option in options if "dropout" in option})


ORDERS = {name_of(order): order for order in orders()}


def covering():
    """Return names of orders, few of them, in which each pair of choices occurs together."""

    def pairs(name):
        return set(itertools.combinations(enumerate(name.split("-")), 2))

    left, chosen = set().union(*map(pairs, ORDERS)), []
    while left:
        chosen.append(max(ORDERS, key=lambda name: len(pairs(name) & left)))
        left -= pairs(chosen[-1])
    return chosen


COVERING = covering()
OTHERS = [name for name in ORDERS if name not in COVERING]
every_order = pytest.mark.parametrize(
    "name", [*COVERING, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)


def labels(random):
    return random.uniform(8, 14, (ROWS, 1)).astype("float32")


def make_steps(name, optimizer):
    """Build an order's network and its compiled functions, the same in every process."""
    order = Order(**{slot: tiny(slot, getattr(ORDERS[name], slot).name) for slot in SLOTS})
    keras.utils.set_random_seed(1)
    build = menu.get("processor", order.processor.name).build
    options = order.processor.options
    statistics = build(**options).label_statistics(labels(np.random.default_rng(0)))
    processor = build(**options, **statistics)
    return Steps(assemble(order, processor.length, processor.channels), processor, optimizer)


def make_batch(processor, random, *, view=True):
    values = labels(random)
    tokens = random.integers(0, 4, (ROWS, processor.length)).astype(np.uint8)
    if view:
        tokens = processor.training_view(tokens, random)
    strand = random.integers(0, 2, ROWS).astype(np.uint8)
    weights = np.ones(ROWS, np.float32)
    return Batch(tokens, strand, np.zeros(ROWS, np.uint8), values, weights)


@functools.cache
def trained(name):
    """Train an order with its team's trainer, three times on one batch, in steps small enough.

    Returns:
        The compiled functions and the loss before each step.
    """
    trainer = menu.get("trainer", ORDERS[name].processor.name)
    quick = {"learning_rate": 0.001, "warmup_steps": 1}
    options = {option: value for option, value in quick.items() if option in trainer.options}
    steps = make_steps(name, trainer.build(**options).optimizer(4))
    batch = make_batch(steps.processor, np.random.default_rng(0))
    return steps, [float(steps.train([batch])[0, 0]) for _ in range(3)]


@pytest.fixture(scope="module", autouse=True)
def _eager():
    """Compiling these small networks takes far longer than computing them as they are."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def test_the_published_menu_makes_81_orders():
    teams = {"autosome", "bhi", "unlockdna"}
    assert sum(set(name.split("-")) <= teams for name in ORDERS) == 81


@every_order
def test_shapes_are_static(name):
    for layer in trained(name)[0].network.layers:
        for tensor in keras.tree.flatten(layer.output):
            assert None not in tensor.shape[1:], layer.name


@every_order
def test_training_lowers_the_loss(name):
    _, losses = trained(name)
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def in_a_fresh_process(function, *arguments):
    """Call one of this file's functions in another process."""
    command = [sys.executable, "-m", "tests.menu.test_orders", function, *map(str, arguments)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])


class Table(keras.layers.Layer):
    """Adds one of two learned vectors to each position: looked up, or by a product."""

    def __init__(self, lookup):
        super().__init__()
        self.lookup = lookup

    def build(self, input_shape):
        self.table = self.add_weight(shape=(2, input_shape[-1]), initializer="zeros")

    def call(self, inputs):
        at = np.arange(inputs.shape[1]) % 2
        if self.lookup:
            return inputs + keras.ops.take(self.table, at, axis=0)
        return inputs + keras.ops.matmul(np.eye(2, dtype="float32")[at], self.table)


def test_tables_that_are_looked_up_learn_as_others_do(monkeypatch):
    """Their gradients come as slices; Keras's Adam would square each instead of their sum."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))

    @menu.register("core", "table", source="this test")
    def table(x, lookup: bool = True):
        return Table(lookup)(x)

    learnt = []
    for lookup in (True, False):
        core = Choice("table", {"lookup": lookup})
        order = Order(tiny("processor", "bhi"), tiny("first", "bhi"), core, tiny("final", "bhi"))
        keras.utils.set_random_seed(1)
        build = menu.get("processor", "bhi").build
        processor = build(length=12, label_mean=(11.0,), label_std=(2.0,))
        steps = Steps(assemble(order, 12, 4), processor, keras.optimizers.Adam(0.01))
        batch = make_batch(processor, np.random.default_rng(0))
        learnt.append([steps.train([batch])[0, 0] for _ in range(3)])
    np.testing.assert_allclose(*learnt, rtol=1e-6)


def inputs_for(network):
    shape = (4, network.length, network.channels)
    return np.random.default_rng(5).integers(0, 2, shape).astype("float32")


def predict(network):
    return keras.tree.flatten(network(inputs_for(network), training=False))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Save all trained networks, and let one fresh process load them and predict."""
    folder = tmp_path_factory.mktemp("orders")
    for name in ORDERS:
        trained(name)[0].network.save(folder / f"{name}.keras")
    in_a_fresh_process("load", folder)
    return folder


@pytest.mark.slow
@every_order
def test_saved_networks_predict_the_same_in_a_fresh_process(saved, name):
    want = predict(trained(name)[0].network)
    with np.load(saved / f"{name}.npz") as got:
        assert len(got.files) == len(want)
        for key, outputs in zip(got.files, want, strict=True):
            np.testing.assert_allclose(got[key], outputs, rtol=1e-6, atol=1e-7)


def load(folder):
    for path in sorted(Path(folder).glob("*.keras")):
        outputs = predict(keras.saving.load_model(path))
        np.savez(path.with_suffix(".npz"), *map(np.asarray, outputs))


def two_devices(out, *names):
    """Write the losses of training on two devices and on one, (orders, 2, steps)."""
    strategies = [make_strategy("mirrored:2"), make_strategy("none")]
    tf.config.run_functions_eagerly(True)
    losses = []
    for name, strategy in itertools.product(names, strategies):
        with strategy.scope():
            # Adam, since plain descent would not show a gradient that is taken for several. Its
            # epsilon keeps it from making steps out of rounding where a gradient is about 0.
            steps = make_steps(name, keras.optimizers.Adam(0.01, epsilon=1e-3))
        assert steps.replicas == (1 if strategy is strategies[1] else 2)
        # Nothing is hidden: each device divides by the number of hidden bases of its own rows.
        batch = make_batch(steps.processor, np.random.default_rng(0), view=False)
        losses.append([steps.train([batch])[0, 0] for _ in range(2)])
    np.save(out, np.reshape(losses, (len(names), 2, 2)))


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(COVERING, id="covering", marks=pytest.mark.slow),
        pytest.param(OTHERS, id="rest", marks=pytest.mark.slow),
    ],
)
def test_two_devices_train_as_one_does(tmp_path, names):
    out = tmp_path / "losses.npy"
    in_a_fresh_process("two_devices", out, *names)
    two, one = np.load(out).transpose(1, 0, 2)
    assert (one[:, 0] != one[:, 1]).all()
    off = (np.abs(two - one) / one).max(axis=1)
    assert {name: x for name, x in zip(names, off, strict=True) if x > 1e-5} == {}


if __name__ == "__main__":
    {"load": load, "two_devices": two_devices}[sys.argv[1]](*sys.argv[2:])
