"""From an order to a Keras model: the blocks put together, and what their output means."""

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from dream_keras import menu
from dream_keras.common.errors import UserError
from dream_keras.config.experiment import Choice, Order, preset

LENGTH = 150
"""Input length in bp of the autosome processor, which the DREAM presets use."""
PLANES = 6
"""A, C, G, T channels (order A, G, C, T), is_reverse, is_singleton."""
PREDICTION_BATCH = 512
BLOCKS: tuple[menu.registry.Slot, ...] = ("first", "core", "final")
"""The slots that a network is made of, in the order of the data's way."""


class CannotBuildError(UserError):
    """A block that cannot take what the one before it gives.

    Attributes:
        slot: The block's slot.
    """

    def __init__(self, slot: menu.registry.Slot, message: str):
        super().__init__(message)
        self.slot = slot


@keras.saving.register_keras_serializable(package="dream_keras")
class Network(keras.Model):
    """A functional Keras model that knows its order.

    It saves its order rather than its layers, so a saved file is short to read and loads wherever
    the menu has the same blocks. Layers are named ``first_*``, ``core_*``, ``final_*``.

    Attributes:
        order: The order it was built from.
        length: Positions of the input planes.
        planes: Channels of the input planes.
    """

    def __init__(
        self, inputs: Any, outputs: Any, order: Order, length: int, planes: int, **kwargs: Any
    ):
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.order = order
        self.length = length
        self.planes = planes

    @property
    def head(self) -> menu.Head:
        """Losses and score of the final block."""
        head = menu.get("final", self.order.final.name).head
        assert head is not None  # the registry takes no final block without one
        return head

    def expression(self, planes: Any, training: bool = False) -> Any:
        """Return the predicted expression, (batch,) or (batch, tasks), as a backend tensor."""
        return self.head.expression(self(planes, training=training))

    def get_config(self) -> dict[str, Any]:
        """Return the order and the input's size."""
        return {"order": self.order.plain(), "length": self.length, "planes": self.planes}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> "Network":
        """Build the network again from ``get_config``."""
        return assemble(Order.parse(config["order"]), config["length"], config["planes"])


def assemble(
    order: Order, length: int = LENGTH, planes: int = PLANES, precision: str | None = None
) -> Network:
    """Put the blocks of an order together.

    Args:
        order: What to put together; its processor plays no part here.
        length: Positions of the input.
        planes: Channels of the input.
        precision: Keras dtype policy of its layers; the global one by default.

    Returns:
        A network from (batch, length, planes), float32, to the final block's outputs.

    Raises:
        UserError: If a block cannot take what the one before it gives. The message names the
            nearest order that can be built.
    """
    global_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision or global_policy)
    try:
        return _assemble(order, length, planes)
    except CannotBuildError as error:
        from dream_keras.model.summary import advice  # builds with this module

        raise UserError(f"{error}{advice(order, length, planes, error.slot)}") from error
    finally:
        keras.config.set_dtype_policy(global_policy)


def _assemble(order: Order, length: int, planes: int) -> Network:
    inputs = keras.Input((length, planes), name="planes")
    x: Any = inputs
    for slot in BLOCKS:
        x = build_block(slot, getattr(order, slot), x)
    return Network(inputs, x, order, length, planes, name="dream_keras")


def build_block(slot: menu.registry.Slot, choice: Choice, x: keras.KerasTensor) -> Any:
    """Put one block of an order on ``x``, (batch, length, channels).

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
            f"{', '.join(map(str, x.shape[1:]))}): {_reason(error)}",
        ) from error


def _reason(error: Exception) -> str:
    """Return an error's message in one line, without what Keras puts around that of a layer."""
    inner = re.search(r"\x1b\[1m(.*?)\x1b\[0m", str(error), re.DOTALL)
    return " ".join((inner[1] if inner else str(error)).split()).rstrip(".")


def build_network(
    order: Order | Mapping[str, Any] | str, length: int = LENGTH, planes: int = PLANES
) -> Network:
    """Build the network of an order, of a preset or of a config.

    Args:
        order: An ``Order``, a mapping that spells one out, or the name of a preset
            (``"dream_cnn"``, ``"dream_rnn"``, ``"dream_attn"``) or config file.
        length: Positions of the input in bp.
        planes: Channels of the input: A, G, C, T, is_reverse, is_singleton for yeast.

    Returns:
        A ``keras.Model`` from planes, (batch, length, planes), to the final block's outputs.

    Raises:
        UserError: If the order names something that is not on the menu, or cannot be built.
    """
    if isinstance(order, str):
        order = preset(order)
    elif not isinstance(order, Order):
        order = Order.parse(order)
    return assemble(order, length, planes)


def expression(
    network: Network, planes: npt.ArrayLike, batch_size: int = PREDICTION_BATCH
) -> npt.NDArray[np.float64]:
    """Predict the expression of encoded sequences, in batches.

    Args:
        network: What ``build_network`` returned.
        planes: (rows, length, planes).
        batch_size: Rows computed at a time.

    Returns:
        Expression, (rows,), or (rows, tasks) for a final block with several tasks.
    """
    values = np.asarray(planes, np.float32)
    if not len(values):
        return np.empty(0)
    outputs = network.predict(values, batch_size=batch_size, verbose=0)
    return np.asarray(keras.ops.convert_to_numpy(network.head.expression(outputs)), np.float64)
