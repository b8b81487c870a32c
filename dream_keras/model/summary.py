"""Summary of orders: which can be built, their size and their multiply-adds.

A block sees only the shape of what comes before it, so each is built once per shape, and only its
numbers are kept.
"""

import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.config.order import Choice, Order
from dream_keras.data.processor import Processor
from dream_keras.menu.registry import BLOCKS, ORDER_SLOTS, PRIX_FIXE, Slot
from dream_keras.model.network import Network, build_block
from dream_keras.model.targets import choose_target_type

STAND_IN = "autosome"
"""The team whose blocks are used where another team has none."""
PARTNERS = {"bpnet": "profile"}
"""Names under which the rest of a network is on the menu."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """One block of an order, as it is built.

    Attributes:
        output: Shape of its output without the batch, or a mapping of such shapes.
        parameters: Trainable weights.
        multiply_adds: Per sequence, see ``multiply_adds``.
        target: Kind of target that a final block is trained on; None for other blocks.
    """

    output: Shape | dict[str, Shape]
    parameters: int
    multiply_adds: int
    target: str | None = None


@dataclass(frozen=True)
class Found:
    """Summary of an order.

    Attributes:
        order: The order.
        length: Positions of its input.
        channels: Channels of its input.
        parts: Its first, core and final block; empty if it cannot be built or trained.
        reason: Why it cannot; None if it can.
    """

    order: Order
    length: int
    channels: int
    parts: tuple[Part, ...]
    reason: str | None = None

    @property
    def parameters(self) -> int:
        """Trainable weights of all blocks."""
        return sum(part.parameters for part in self.parts)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of a forward pass per sequence."""
        return sum(part.multiply_adds for part in self.parts)

    def plain(self) -> dict[str, object]:
        """Return it as JSON takes it."""
        return {
            **self.order.plain(),
            "length": self.length,
            "channels": self.channels,
            "builds": self.reason is None,
            "reason": self.reason,
            "parameters": self.parameters or None,
            "multiply_adds": self.multiply_adds or None,
            "output": self.parts[-1].output if self.parts else None,
            "target": self.parts[-1].target if self.parts else None,
        }


class Survey:
    """Builds orders; keeps the numbers of every block it has built."""

    def __init__(self) -> None:
        self._parts: dict[str, Part | UserError] = {}

    def order(self, order: Order, length: int | None = None, channels: int | None = None) -> Found:
        """Try an order on an input of this size, by default the one its processor makes."""
        processor = _processor(order)
        length, channels = length or processor.length, channels or processor.channels
        parts: list[Part] = []
        shape: Any = (length, channels)
        try:
            for slot in BLOCKS:
                parts.append(self._part(slot, order, shape, processor))
                shape = parts[-1].output
        except UserError as error:
            return Found(order, length, channels, (), str(error))
        return Found(order, length, channels, tuple(parts))

    def _part(self, slot: Slot, order: Order, shape: Shape, processor: Processor) -> Part:
        # Only a final block has to do with the processor: it must fit the processor's target.
        told = order.processor.plain() if slot == "final" else None
        key = repr((slot, getattr(order, slot).plain(), shape, told))
        if key not in self._parts:
            try:
                self._parts[key] = _build(slot, order, shape, processor)
            except UserError as error:
                self._parts[key] = error
        part = self._parts[key]
        if isinstance(part, UserError):
            raise part
        return part


def orders(finals: Iterable[str] = (), collection: str = PRIX_FIXE) -> list[Order]:
    """Return every order of a collection, all options at their defaults.

    A processor goes with the trainer of its name, so trainers add no orders.

    Args:
        finals: Final blocks to take instead of the collection's.
        collection: The entries that are combined.

    Raises:
        UserError: If a final block is not on the menu.

    Examples:
        >>> len(orders())
        81
        >>> orders(finals=["bhi"])[0].final
        Choice(name='bhi', options={})
    """
    names = {slot: menu.names(slot, collection) for slot in ORDER_SLOTS}
    names["final"] = [menu.get("final", name).name for name in finals] or names["final"]
    return [Order(*map(Choice, choices)) for choices in itertools.product(*names.values())]


def own_order(item: menu.MenuEntry) -> Order:
    """Return the order that a block is shown in: its team's own, as far as there is one.

    Examples:
        >>> own_order(menu.get("core", "bhi")).plain()
        {'processor': 'bhi', 'first': 'bhi', 'core': 'bhi', 'final': 'bhi'}
    """
    names = (item.name, PARTNERS.get(item.name, STAND_IN), STAND_IN)
    own = (next(name for name in names if name in menu.names(slot)) for slot in ORDER_SLOTS)
    return Order(*map(Choice, own))


def multiply_adds(network: keras.Model) -> int:
    """Count the multiply-adds of a forward pass of one sequence.

    Every weight with two or more dimensions is applied once at every position of its layer's
    output: once if the output has no positions, and at every position of the input in a
    recurrent layer. A layer with a method ``multiply_adds(input_shape)`` says it itself; only such
    a layer counts products of activations with each other, as in attention. Additions,
    normalisations and activation functions are left out.

    Args:
        network: A functional model, (batch, length, channels) in.

    Examples:
        >>> x = keras.Input((20, 4))
        >>> multiply_adds(keras.Model(x, keras.layers.Conv1D(8, 5, padding="same")(x)))
        3200
    """
    total = 0
    for node in itertools.chain.from_iterable(network._nodes_by_depth.values()):
        layer = node.operation
        if not node.is_input and isinstance(layer, keras.Layer):
            total += _layer_multiply_adds(
                layer, node.input_tensors[0].shape, node.output_tensors[0].shape
            )
    return total


def _layer_multiply_adds(layer: keras.Layer, inputs: Shape, outputs: Shape) -> int:
    if hasattr(layer, "multiply_adds"):
        return layer.multiply_adds(inputs)
    if isinstance(layer, keras.Sequential):
        layer = layer._functional
    if isinstance(layer, keras.Model):
        return multiply_adds(layer)
    if isinstance(layer, keras.layers.EinsumDense):
        _, kernel, output = re.split(",|->", layer.equation)
        axes = zip(kernel, layer.kernel.shape, strict=True)
        return math.prod(outputs[1:]) * math.prod(n for axis, n in axes if axis not in output)
    if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
        outputs = inputs
    weights = sum(math.prod(w.shape) for w in layer.weights if len(w.shape) >= 2)
    return weights * math.prod(outputs[1:-1])


def _processor(order: Order) -> Processor:
    return menu.get("processor", order.processor.name).build(**order.processor.options)


def _build(slot: Slot, order: Order, shape: Shape, processor: Processor) -> Part:
    """Build one block of an order on an input of its own; only numbers of it are kept."""
    inputs = keras.Input(shape)
    # Keras 3.13 refuses a model whose output is its input, as a block that passes it on makes.
    outputs = build_block(slot, getattr(order, slot), keras.layers.Identity()(inputs))
    network = Network(inputs, outputs, order, *shape)
    return Part(
        keras.tree.map_structure(lambda tensor: tuple(tensor.shape[1:]), outputs),
        sum(math.prod(w.shape) for w in network.trainable_weights),
        multiply_adds(network),
        choose_target_type(network, processor) if slot == "final" else None,
    )
