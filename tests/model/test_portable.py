"""Copies of networks that are made of Keras's own layers."""

import itertools

import numpy as np
import pytest

from dream_keras import menu
from dream_keras.config.order import Choice, Order
from dream_keras.model.network import assemble
from dream_keras.model.portable import foreign_modules, portable
from dream_keras.model.torch_weights import load_torch_weights, torch_weights

LENGTH, CHANNELS = 128, 4
NAMES = [menu.names(slot) for slot in ("first", "core", "final")]
ORDERS = list(
    itertools.islice(zip(*map(itertools.cycle, NAMES), strict=False), max(map(len, NAMES)))
)
"""Orders that hold every block on the menu."""


@pytest.fixture(scope="module", params=ORDERS, ids="-".join)
def network(request):
    """A small network whose weights, also those that start at 0 or 1, are random."""
    slots = zip(("first", "core", "final"), request.param, strict=True)
    blocks = {slot: Choice(name, dict(menu.get(slot, name).smoke)) for slot, name in slots}
    # Which no published PyTorch code has.
    blocks["first"].options.pop("pseudo_tokens", None)
    if blocks["final"].name == "profile":
        blocks["final"].options["positions"] = 24
    network = assemble(Order(Choice("plain"), **blocks), LENGTH, CHANNELS)
    random = np.random.default_rng(0)
    for weight in network.weights:
        if len(weight.shape) == 1:
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return network


def test_a_copy_predicts_the_same_with_keras_layers(network, random):
    x = random.random((3, LENGTH, CHANNELS), np.float32)
    copy = portable(network, "copy")
    wanted = np.asarray(network.expression(x))
    np.testing.assert_allclose(copy(x), wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    teams = {network.order.first.name, network.order.core.name}
    assert bool(foreign_modules(copy)) == bool(teams & {"unlockdna", "vaishnav_transformer"})


def test_weights_go_to_pytorch_and_back_to_the_last_bit(network):
    wanted = [np.array(weight) for weight in network.get_weights()]
    written = {name: array.copy() for name, array in torch_weights(network).items()}
    for weight in network.weights:
        weight.assign(weight * 0)
    load_torch_weights(network, written)
    for weight, want in zip(network.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(weight, want)


def test_a_copy_of_blocks_with_kerass_options_predicts_the_same(random):
    """One bias per gate, Keras's initial weights, and statistics over n."""
    core = {"units": 4, "out_channels": 8, "one_bias": True, "init": "keras"}
    norm = {"widths": (8,), "out_channels": 8, "unbiased": False, "init": "keras"}
    for name, options in (("bhi", core), ("autosome", norm)):
        first = Choice("bhi", {"out_channels": 8, "init": "keras"})
        order = Order(Choice("plain"), first, Choice(name, options), Choice("autosome"))
        network = assemble(order, 20, CHANNELS)
        x = random.random((3, 20, CHANNELS), np.float32)
        copy = portable(network, "copy")
        np.testing.assert_allclose(copy(x), np.asarray(network.expression(x)), rtol=1e-5)
        assert not foreign_modules(copy)
