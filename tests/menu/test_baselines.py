"""Published networks to compare with: outputs, sizes, and what they refuse."""

import numpy as np
import pytest

import dream_keras
from dream_keras.common.errors import UserError
from dream_keras.menu.vaishnav import BothStrandsConv1D
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


def randomise(module):
    """Give a twin random weights and statistics, large enough to tell mistakes apart."""
    import torch

    torch.manual_seed(0)
    for name, value in {**dict(module.named_parameters()), **dict(module.named_buffers())}.items():
        if name.endswith("running_var") or (name.endswith("weight") and value.ndim == 1):
            torch.nn.init.uniform_(value, 0.5, 1.5)
        elif not name.endswith("num_batches_tracked"):
            torch.nn.init.normal_(value, 0, 0.3)
    return module.eval()


def compare(network, twin, random):
    """Compare a network with a twin in PyTorch, whose weights it takes over."""
    import torch

    load_torch_weights(network, twin.state_dict())
    x = random.integers(0, 2, (5, network.length, network.channels)).astype("float32")
    with torch.no_grad():
        want = twin.double()(torch.from_numpy(x.transpose(0, 2, 1)).double()).numpy().squeeze()
    got = dream_keras.expression(network, x)
    assert want.std() > 0.1 * np.abs(want).max()
    assert np.abs(got - want).max() < 5e-6 * np.abs(want).max()


def malinois_twin(length, filters, hidden, branch, tasks):
    """Build Malinois in PyTorch from its table of layers."""
    import torch
    from torch import nn
    from torch.nn import functional

    def unit(layer, name, width):
        return nn.ModuleDict({name: layer, "bn_layer": nn.BatchNorm1d(width)})

    def grouped(channels, units):
        zeros = {"weight": (tasks, channels, units), "bias": (tasks, 1, units)}
        return nn.ParameterDict({k: nn.Parameter(torch.zeros(v)) for k, v in zeros.items()})

    class Malinois(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = zip((4, *filters[:-1]), filters, (19, 11, 7), strict=True)
            for number, (before, width, size) in enumerate(sizes, 1):
                conv = nn.Conv1d(before, width, size, padding=size // 2)
                setattr(self, f"conv{number}", unit(conv, "conv", width))
            flat = filters[-1] * ((length // 12 + 2) // 4)
            self.linear1 = unit(nn.Linear(flat, hidden), "linear", hidden)
            layers = {f"branched_layer_{n}": (hidden if n == 1 else branch) for n in (1, 2, 3)}
            self.branched = nn.ModuleDict({k: grouped(v, branch) for k, v in layers.items()})
            self.output = grouped(branch, 1)

        def forward(self, x):
            for part, pool, ends in ((self.conv1, 3, 0), (self.conv2, 4, 0), (self.conv3, 4, 1)):
                x = functional.relu(part["bn_layer"](part["conv"](x)))
                x = functional.max_pool1d(functional.pad(x, (ends, ends)), pool)
            x = self.linear1["bn_layer"](self.linear1["linear"](x.flatten(1)))
            values = []
            for task in range(tasks):
                y = functional.relu(x)
                for number, layer in enumerate([*self.branched.values(), self.output], 1):
                    y = functional.linear(y, layer["weight"][task].T, layer["bias"][task, 0])
                    y = functional.relu(y) if number < 3 else y
                values.append(y)
            return torch.cat(values, 1)

    return randomise(Malinois())


def test_malinois_equals_a_twin_in_pytorch(random):
    pytest.importorskip("torch")
    small = order(
        "malinois",
        {"out_channels": 10},
        {"out_channels": 6, "widths": (8,)},
        {"hidden": 12, "branch": 7},
    )
    twin = malinois_twin(125, (10, 8, 6), hidden=12, branch=7, tasks=3)
    compare(dream_keras.build_network(small, 125, 4), twin, random)


def vaishnav_twin(length, motifs, width, convolutions, hidden, heads=8, units=8):
    """Build the transformer in PyTorch from its table of layers; hard sigmoid by a loop."""
    import torch
    from torch import nn
    from torch.nn import functional

    def norm(channels):
        return nn.BatchNorm1d(channels, eps=1e-3)

    def conv(channels, filters):
        return nn.Conv1d(channels, filters, 30, bias=False)

    def same(conv, x, weight=None):
        return functional.conv1d(
            functional.pad(x, (14, 15)), conv.weight if weight is None else weight
        )

    def encoder():
        dense = {part: nn.Linear(width, width) for part in ("query", "key", "value", "output")}
        feed = {"hidden": nn.Linear(width, heads), "feed": nn.Linear(heads, width)}
        norms = {f"norm{n}": nn.LayerNorm(width, eps=1e-14) for n in (0, 1)}
        return nn.ModuleDict(dense | feed | norms)

    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            for end in ("", "_reverse"):
                shapes = {"weight_ih_l0": width, "weight_hh_l0": units, "bias_l0": None}
                for name, into in shapes.items():
                    shape = (4 * units,) if into is None else (4 * units, into)
                    self.register_parameter(name + end, nn.Parameter(torch.zeros(shape)))

        def direction(self, x, end):
            into, back, bias = (
                getattr(self, name + end) for name in ("weight_ih_l0", "weight_hh_l0", "bias_l0")
            )
            state = memory = x.new_zeros(len(x), units)
            states = []
            for step in x.unbind(1):
                gates = functional.linear(step, into, bias) + functional.linear(state, back)
                i, f, g, o = gates.chunk(4, 1)
                i, f, o = (torch.clamp(0.2 * gate + 0.5, 0, 1) for gate in (i, f, o))
                memory = f * memory + i * torch.tanh(g)
                state = o * torch.tanh(memory)
                states.append(state)
            return torch.stack(states, 1)

        def forward(self, x):
            back = self.direction(x.flip(1), "_reverse").flip(1)
            return torch.cat([self.direction(x, ""), back], -1)

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.motifs, self.motifs_norm = conv(4, motifs), norm(2 * motifs)
            self.strands, self.strands_norm = conv(2 * motifs, width), norm(width)
            self.conv = nn.ModuleList([conv(width, width) for _ in range(convolutions)])
            self.conv_norm = nn.ModuleList([norm(width) for _ in range(convolutions)])
            self.encoder = nn.ModuleList([encoder() for _ in range(2)])
            self.lstm = Lstm()
            flat = length * 2 * units
            self.dense = nn.ModuleList([nn.Linear(flat, hidden), nn.Linear(hidden, hidden)])
            self.out = nn.Linear(hidden, 1)

        def attention(self, layer, x):
            projected = (functional.relu(layer[part](x)) for part in ("query", "key", "value"))
            found = []
            for q, k, v in zip(*(part.chunk(heads, -1) for part in projected), strict=True):
                scores = q @ k.transpose(1, 2) / (width // heads) ** 0.5
                found.append(scores.softmax(-1) @ v)
            return functional.relu(layer["output"](torch.cat(found, -1)))

        def forward(self, x):
            # Each filter against the sequence, and against the other strand's, read backwards.
            one = same(self.motifs, x)
            other = same(self.motifs, x, self.motifs.weight.flip(1, 2))
            x = functional.relu(self.motifs_norm(torch.cat([one, other], 1)))
            x = functional.relu(self.strands_norm(same(self.strands, x)))
            for layer, norm in zip(self.conv, self.conv_norm, strict=True):
                x = functional.relu(norm(same(layer, x)))
            x = x.transpose(1, 2)
            for layer in self.encoder:
                x = layer["norm0"](x + self.attention(layer, x))
                x = layer["norm1"](x + layer["feed"](functional.relu(layer["hidden"](x))))
            x = self.lstm(x).flatten(1)
            for layer in self.dense:
                x = functional.relu(layer(x))
            return self.out(x)

    return randomise(Transformer())


def test_the_transformer_equals_a_twin_in_pytorch(random):
    pytest.importorskip("torch")
    small = order(
        "vaishnav_transformer",
        {"out_channels": 16, "motifs": 6},
        {"convolutions": 1},
        {"hidden": 12},
    )
    twin = vaishnav_twin(40, motifs=6, width=16, convolutions=1, hidden=12)
    compare(dream_keras.build_network(small, 40, 4), twin, random)


def test_motifs_are_found_on_both_strands(random):
    """The reverse complement of a sequence gives the two strands' halves exchanged."""
    layer = BothStrandsConv1D(3, 5)
    x = random.normal(size=(2, 12, 6)).astype("float32")
    turned = np.concatenate([x[:, ::-1, 3::-1], x[:, ::-1, 4:]], -1)
    one, other = np.split(np.asarray(layer(x)), 2, axis=-1)
    np.testing.assert_allclose(
        np.asarray(layer(turned))[:, ::-1], np.concatenate([other, one], -1), atol=1e-5
    )
    with pytest.raises(UserError, match="4 channels of bases are needed"):
        dream_keras.build_network(order("vaishnav_transformer"), 20, 3)


SHORT = order("mpralegnet", {"kernel_size": 5}, {"kernel_size": 3})
PUBLISHED_WEIGHTS = order(
    "vaishnav_transformer", {"out_channels": 64}, {"convolutions": 1}, {"hidden": 64}
)
COUNTS = [
    (order("deepstarr"), 249, 4, (624_738, 622_722)),
    (order("mprann"), 230, 4, (3_959_451, 3_957_751)),
    (order("mpralegnet"), 230, 4, (1_330_529, 1_322_465)),
    (SHORT, 230, 4, (865_889, 857_825)),
    (order("malinois"), 600, 4, (4_110_583, 4_107_183)),
    (order("vaishnav_transformer"), 110, 4, (3_371_729, 3_369_937)),
    (PUBLISHED_WEIGHTS, 110, 4, (1_296_785, 1_295_505)),
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
    ("first", "malinois", 3),
    ("core", "malinois", 8),
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
        ({"name": "malinois", "widths": []}, "1 convolutions, but 2 kernel_sizes"),
        (
            {"name": "vaishnav_transformer", "num_heads": 7},
            "256 channels do not divide by num_heads",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(core, said):
    with pytest.raises(UserError, match=said):
        dream_keras.build_network({**order("deepstarr"), "core": core})
