"""Published networks to compare with: outputs, sizes, and what they refuse."""

import numpy as np
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.model.torch_weights import load_torch_weights


def order(name, first=None, core=None, final=None):
    """Return the order of a network of three blocks of one name, with their options."""
    options = {"first": first, "core": core, "final": final}
    blocks = {slot: {"name": name, **(given or {})} for slot, given in options.items()}
    return {"processor": "autosome", **blocks}


def counts(network):
    """Return the numbers of all weights and of those that are trained."""
    return tuple(
        sum(int(np.prod(w.shape)) for w in weights)
        for weights in (network.weights, network.trainable_weights)
    )


# The golden files' networks are narrower than the published ones.
GOLDEN = {
    "deepstarr": order(
        "deepstarr", {"out_channels": 12}, {"out_channels": 8, "widths": (6, 6)}, {"hidden": 10}
    ),
    "mprann": order(
        "mprann", {"out_channels": 10}, {"out_channels": 6, "widths": (10, 10)}, {"hidden": (12, 8)}
    ),
    "mpralegnet": order(
        "mpralegnet",
        {"out_channels": 8},
        {"out_channels": 8, "widths": (10, 12, 6)},
        {"features": 16},
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_outputs_equal_the_published_ones(golden, name):
    arrays, weights = golden(f"baseline_{name}")
    x = arrays["x"].transpose(0, 2, 1)
    network = dream_keras.build_network(GOLDEN[name], *x.shape[1:])
    load_torch_weights(network, weights)
    want = arrays["y"].squeeze()
    got = dream_keras.expression(network, x)
    assert np.abs(got - want).max() < 5e-6 * np.abs(want).max()


SHORT = order("mpralegnet", {"kernel_size": 5}, {"kernel_size": 3})
COUNTS = [
    (order("deepstarr"), 249, 4, (624_738, 622_722)),
    (order("mprann"), 230, 4, (3_959_451, 3_957_751)),
    (order("mpralegnet"), 230, 4, (1_330_529, 1_322_465)),
    (SHORT, 230, 4, (865_889, 857_825)),
]


@pytest.mark.parametrize(("network", "length", "channels", "sizes"), COUNTS)
def test_sizes_are_the_published_ones(network, length, channels, sizes):
    assert counts(dream_keras.build_network(network, length, channels)) == sizes


SHORTEST = [
    ("first", "deepstarr", 2),
    ("core", "deepstarr", 8),
    ("first", "mprann", 7),
    ("core", "mprann", 15),
    ("core", "mpralegnet", 16),
]


@pytest.mark.parametrize(("slot", "name", "positions"), SHORTEST)
def test_sequences_that_are_too_short_are_refused_in_words(slot, name, positions):
    plain = {"processor": "autosome", "first": "autosome", "core": "bhi", "final": "autosome"}
    plain |= {slot: {"name": name, "out_channels": 8}}
    dream_keras.build_network(plain, positions)
    said = f"{slot} block {name} cannot be built on .*at least {positions} positions are needed"
    with pytest.raises(UserError, match=said):
        dream_keras.build_network(plain, positions - 1)


@pytest.mark.parametrize(
    ("core", "said"),
    [
        ({"name": "deepstarr", "widths": [8]}, "2 stages, but 3 kernel_sizes"),
        ({"name": "mprann", "kernel_sizes": [3]}, "3 convolutions, but 1 kernel_sizes"),
    ],
)
def test_kernel_sizes_fit_the_layers(core, said):
    with pytest.raises(UserError, match=said):
        dream_keras.build_network({**order("deepstarr"), "core": core})
