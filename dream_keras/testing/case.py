"""A block being checked, and the small network around it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from dream_keras import menu
from dream_keras.config.order import Choice, Order
from dream_keras.menu.registry import BLOCKS, Slot
from dream_keras.model.network import Network, assemble
from dream_keras.nn import Tensors

INPUT_CHANNELS = 6
"""Input channels of a first block, as the autosome processor makes them."""
CHANNELS = 8
"""Input channels of a core or final block."""
ROWS = 16
SAME = 1e-4
"""Largest difference, relative to the largest value, between two computations of the same."""
LISTED = 5
"""Layers or weights named in one message."""

Outputs = dict[str, npt.NDArray[np.float64]]


@dataclass
class Case:
    """A block, the order it is tried in, and what several checks need of it."""

    item: menu.MenuEntry
    order: Order
    length: int
    channels: int
    dead_weights: Collection[str]
    fresh_process: bool

    @property
    def input_channels(self) -> int:
        """Channels of the network's input."""
        return self.channels if self.item.slot == "first" else INPUT_CHANNELS

    @cached_property
    def alone(self) -> keras.Model:
        """The block on an input of its own."""
        inputs = keras.Input((self.length, self.channels))
        return keras.Model(inputs, self.build(inputs))

    @cached_property
    def network(self) -> Network:
        """The whole network; the check of learning trains it."""
        return self.assemble("float32")

    @cached_property
    def inputs(self) -> npt.NDArray[np.float32]:
        """Zeros and ones, (ROWS, length, channels)."""
        shape = (ROWS, self.length, self.input_channels)
        return np.random.default_rng(0).integers(0, 2, shape).astype(np.float32)

    def build(self, x: keras.KerasTensor) -> Tensors:
        """Put the block on ``x``."""
        return self.item.build(x, **getattr(self.order, self.item.slot).options)

    def assemble(self, precision: str) -> Network:
        """Build the whole network."""
        return assemble(self.order, self.length, self.input_channels, precision)

    def own_weights(self) -> dict[str, npt.NDArray[np.floating]]:
        """Return the values of the block's trainable weights in the network, by path."""
        others = tuple(f"{slot}_" for slot in BLOCKS if slot != self.item.slot)
        weights = self.network.trainable_weights
        return {w.path: np.array(w) for w in weights if not w.path.startswith(others)}


def order_around(slot: Slot, choice: Choice, channels: int) -> Order:
    """Return an order in which a block is tried: small blocks around it."""
    choices = {
        "processor": Choice("autosome"),
        "first": Choice("autosome", {"out_channels": channels}),
        "core": Choice("autosome", {"out_channels": channels, "widths": (8,)}),
        "final": Choice("autosome_regression", {"features": 4}),
    }
    return Order(**{**choices, slot: choice})


def predict_outputs(network: Network, inputs: npt.NDArray[np.float32]) -> Outputs:
    """Return the expression, and every output, that a network predicts."""
    outputs = network(inputs, training=False)
    named = {"expression": network.values(outputs)}
    named |= {f"output {n}": tensor for n, tensor in enumerate(keras.tree.flatten(outputs))}
    return {k: ops.convert_to_numpy(v).astype(np.float64) for k, v in named.items()}


def same(first: Outputs, second: Outputs) -> bool:
    """Return whether two predictions are equal up to rounding."""
    return all(
        np.allclose(second[name], values, rtol=0, atol=SAME * np.abs(values).max())
        for name, values in first.items()
    )


def listed(words: Sequence[str]) -> str:
    """Join words for a message, and leave out what would make it long."""
    rest = f" and {len(words) - LISTED} more" if len(words) > LISTED else ""
    return ", ".join(words[:LISTED]) + rest


def shape_of(tensor: keras.KerasTensor) -> str:
    """Return a tensor's shape as messages show it."""
    batch, *others = tensor.shape
    return f"({', '.join(map(str, ['batch' if batch is None else batch, *others]))})"
