"""From an order to a Keras model: the blocks put together, and what their output means."""

from collections.abc import Mapping
from typing import Any

import keras

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.common.text import reason
from dream_keras.config.order import Choice, Order
from dream_keras.menu.registry import BLOCKS, Slot
from dream_keras.nn import Tensor, Tensors


class CannotBuildError(UserError):
    """A block that cannot be built on the output of the one before it.

    Attributes:
        slot: The block's slot.
    """

    def __init__(self, slot: Slot, message: str):
        super().__init__(message)
        self.slot = slot


@keras.saving.register_keras_serializable(package="dream_keras")
class Network(keras.Model):
    """A functional Keras model that knows its order.

    It saves its order rather than its layers, so a saved file is short to read and loads wherever
    the menu has the same blocks. Layers are named ``first_*``, ``core_*``, ``final_*``.

    Attributes:
        order: The order it was built from.
        length: Positions of the input channels.
        channels: Channels of the input channels.
    """

    def __init__(
        self,
        inputs: keras.KerasTensor,
        outputs: Tensors,
        order: Order,
        length: int,
        channels: int,
        **kwargs: object,
    ):
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.order = order
        self.length = length
        self.channels = channels

    @property
    def head(self) -> menu.Head:
        """Losses and score of the final block."""
        head = menu.get("final", self.order.final.name).head
        assert head is not None  # the registry takes no final block without one
        return head

    def values(self, outputs: Tensors) -> Tensor:
        """Return the task values of outputs, (batch, tasks)."""
        values = self.head.expression(outputs)
        return keras.ops.expand_dims(values, -1) if len(values.shape) == 1 else values

    def columns(self, outputs: Tensors) -> Tensor:
        """Return the task values of outputs and, where the head predicts them, their spreads.

        Returns:
            (batch, tasks), or (batch, 2 * tasks): the values, then their standard deviations.
        """
        values = self.values(outputs)
        if self.head.spread is None:
            return values
        return keras.ops.concatenate([values, self.head.spread(outputs)], axis=-1)

    def explained(self, outputs: Tensors) -> Tensor:
        """Return the numbers that attributions explain, (batch, numbers).

        These are the task values and, where profiles are predicted, the logits' deviations from
        their mean, weighted by the profile itself, which counts as fixed. Source: BPNet.
        """
        values = self.values(outputs)
        if not isinstance(outputs, Mapping) or "profile" not in outputs:
            return values
        logits = outputs["profile"]
        deviations = logits - keras.ops.mean(logits, axis=-1, keepdims=True)
        shares = keras.ops.stop_gradient(keras.ops.softmax(logits, axis=-1))
        scores = keras.ops.sum(shares * deviations, axis=-1)
        return keras.ops.concatenate([values, scores], axis=-1)

    @property
    def tasks(self) -> int:
        """Number of tasks."""
        return self.values(self.output).shape[-1]

    def expression(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Return the predicted values of the tasks, (batch, tasks), as a backend tensor."""
        return self.values(self(inputs, training=training))

    def get_config(self) -> dict[str, object]:
        """Return the order and the input's size."""
        return {"order": self.order.plain(), "length": self.length, "channels": self.channels}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, object] | None = None
    ) -> "Network":
        """Build the network again from ``get_config``."""
        # Version 0.1.0 called them planes.
        channels = config["channels"] if "channels" in config else config["planes"]
        return assemble(Order.parse(config["order"]), config["length"], channels)


def assemble(order: Order, length: int, channels: int, precision: str | None = None) -> Network:
    """Assemble the blocks of an order.

    Args:
        order: What to put together; its processor plays no part here.
        length: Positions of the input.
        channels: Channels of the input.
        precision: Keras dtype policy of its layers; the global one by default.

    Returns:
        A network from (batch, length, channels), float32, to the final block's outputs.

    Raises:
        CannotBuildError: If a block cannot take what the one before it gives.
    """
    global_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision or global_policy)
    try:
        inputs = keras.Input((length, channels), name="channels")
        x: Tensors = inputs
        for slot in BLOCKS:
            x = build_block(slot, getattr(order, slot), x)
        return Network(inputs, x, order, length, channels, name="dream_keras")
    finally:
        keras.config.set_dtype_policy(global_policy)


def build_block(slot: Slot, choice: Choice, x: keras.KerasTensor) -> Tensors:
    """Apply one block of an order to ``x``, (batch, length, channels).

    Raises:
        CannotBuildError: If it cannot take that shape.
    """
    build = menu.get(slot, choice.name).build
    try:
        return build(x, **choice.options)
    except (ValueError, ArithmeticError) as error:
        raise CannotBuildError(
            slot,
            f"{slot} block {choice.name} cannot be built on (batch, "
            f"{', '.join(map(str, x.shape[1:]))}): {reason(error)}",
        ) from error
