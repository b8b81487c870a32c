"""What orders from the menu are made of: which can be built, how large they are, what they cost.

A block sees only the shape of what comes before it, so each is built once per shape, and only its
numbers are kept.
"""

import itertools
import json
import math
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import Choice, Order
from dream_keras.data.processor import Processor
from dream_keras.menu.registry import Slot
from dream_keras.model.network import BLOCKS, Network, build_block
from dream_keras.runtime.steps import target_kind

OTHER_DATA = ("autosome_regression",)
"""Final blocks for other data than the challenge's; no part of the 3 x 3 x 3 x 3 orders."""

STAND_IN = "autosome"
"""The team whose blocks stand in for what another lacks."""

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

    output: Any
    parameters: int
    multiply_adds: int
    target: str | None = None


@dataclass(frozen=True)
class Found:
    """What is known of an order.

    Attributes:
        order: The order.
        length: Positions of its input.
        planes: Channels of its input.
        parts: Its first, core and final block; empty if it cannot be built or trained.
        reason: Why it cannot; None if it can.
    """

    order: Order
    length: int
    planes: int
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

    def plain(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            **self.order.plain(),
            "length": self.length,
            "planes": self.planes,
            "builds": self.reason is None,
            "reason": self.reason,
            "parameters": self.parameters or None,
            "multiply_adds": self.multiply_adds or None,
            "output": self.parts[-1].output if self.parts else None,
            "target": self.parts[-1].target if self.parts else None,
        }


class Survey:
    """Tries orders; remembers every block it has built."""

    def __init__(self) -> None:
        self._parts: dict[str, Part | UserError] = {}

    def order(self, order: Order, length: int | None = None, planes: int | None = None) -> Found:
        """Try an order on an input of this size, by default the one its processor makes."""
        processor = _processor(order)
        length, planes = length or processor.length, planes or processor.planes
        parts: list[Part] = []
        shape: Shape = (length, planes)
        try:
            for slot in BLOCKS:
                parts.append(self._part(slot, order, shape, processor))
                shape = parts[-1].output
        except UserError as error:
            return Found(order, length, planes, (), str(error))
        return Found(order, length, planes, tuple(parts))

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


def orders(finals: Iterable[str] = ()) -> list[Order]:
    """Return every order on the menu, all options at their defaults.

    A processor goes with the trainer of its name, so trainers add no orders.

    Args:
        finals: Final blocks to take; by default all but those for other data (``OTHER_DATA``).

    Raises:
        UserError: If a final block is not on the menu.
    """
    finals = list(finals) or [name for name in menu.names("final") if name not in OTHER_DATA]
    for name in finals:
        menu.get("final", name)
    names = (menu.names("processor"), menu.names("first"), menu.names("core"), finals)
    return [Order(*map(Choice, choices)) for choices in itertools.product(*names)]


def own_order(item: menu.Item) -> Order:
    """Return the order that a block is shown in: its team's own, as far as there is one."""
    slots: tuple[Slot, ...] = ("processor", *BLOCKS)
    own = (item.name if item.name in menu.names(slot) else STAND_IN for slot in slots)
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
    """
    total = 0
    for node in itertools.chain.from_iterable(network._nodes_by_depth.values()):
        layer = node.operation
        if not node.is_input and isinstance(layer, keras.Layer):
            total += _layer_multiply_adds(
                layer, node.input_tensors[0].shape, node.output_tensors[0].shape
            )
    return total


def _layer_multiply_adds(layer: keras.Layer, inputs: Any, outputs: Any) -> int:
    if hasattr(layer, "multiply_adds"):
        return layer.multiply_adds(inputs)
    if isinstance(layer, keras.Sequential):
        layer = layer._functional
    if isinstance(layer, keras.Model):
        return multiply_adds(layer)
    if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
        outputs = inputs
    weights = sum(math.prod(w.shape) for w in layer.weights if len(w.shape) >= 2)
    return weights * math.prod(outputs[1:-1])


def advice(order: Order, length: int, planes: int, slot: Slot) -> str:
    """Return a sentence that names the nearest order that can be built, or nothing.

    Nearest is the one with the fewest changes, changes of ``slot`` first: one option back at its
    default, then all of them, then another block.

    Args:
        order: The order that cannot be built.
        length: Positions of its input.
        planes: Channels of its input.
        slot: The slot of the block that failed.
    """
    survey = Survey()
    for changed in _neighbours(order, slot):
        if survey.order(changed, length, planes).reason is None:
            settings = [_setting(s, getattr(order, s), getattr(changed, s)) for s in BLOCKS]
            return f". Nearest order that can: {' '.join(filter(None, settings))}"
    return ""


def _neighbours(order: Order, slot: Slot) -> Iterator[Order]:
    """Yield orders with one, two or three changed blocks, the nearest ones first."""
    variants = {at: list(_variants(at, getattr(order, at))) for at in BLOCKS}
    for count in (1, 2, 3):
        together = itertools.combinations(BLOCKS, count)
        for slots in sorted(together, key=lambda slots: slot not in slots):
            for choices in itertools.product(*(variants[at] for at in slots)):
                yield replace(order, **dict(zip(slots, choices, strict=True)))


def _variants(slot: Slot, choice: Choice) -> Iterator[Choice]:
    """Yield what could stand in a choice's place, the nearest first."""
    for dropped in choice.options if len(choice.options) > 1 else ():
        yield Choice(choice.name, {k: v for k, v in choice.options.items() if k != dropped})
    if choice.options:
        yield Choice(choice.name)
    yield from (Choice(name) for name in menu.names(slot) if name != choice.name)


def _setting(slot: Slot, before: Choice, after: Choice) -> str:
    """Return the command line's words that turn one choice into another."""
    if after == before:
        return ""
    dropped = [name for name in before.options if name not in after.options]
    if after.name == before.name and len(dropped) == 1:
        default = menu.get(slot, after.name).options[dropped[0]]
        value = json.dumps(default, separators=(",", ":"))
        return f"--set {shlex.quote(f'model.{slot}.{dropped[0]}={value}')}"
    return f"--set model.{slot}={after.name}"


def _processor(order: Order) -> Processor:
    return menu.get("processor", order.processor.name).build(**order.processor.options)


def _build(slot: Slot, order: Order, shape: Shape, processor: Processor) -> Part:
    """Build one block of an order on an input of its own; only numbers of it are kept."""
    inputs = keras.Input(shape)
    outputs = build_block(slot, getattr(order, slot), inputs)
    network = Network(inputs, outputs, order, *shape)
    return Part(
        keras.tree.map_structure(lambda tensor: tuple(tensor.shape[1:]), outputs),
        sum(math.prod(w.shape) for w in network.trainable_weights),
        multiply_adds(network),
        target_kind(network, processor) if slot == "final" else None,
    )
