"""Networks for users: built by name, with advice where one cannot be built, and used."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dream_keras.common.cli import load_backend
from dream_keras.common.errors import UserError
from dream_keras.common.text import reason
from dream_keras.config.experiment import preset
from dream_keras.config.order import Order

if TYPE_CHECKING:
    from dream_keras.model.network import Network

PREDICTION_BATCH = 512
"""Rows that ``expression`` computes at a time."""


def build_network(
    order: Order | Mapping[str, object] | str,
    length: int | None = None,
    channels: int | None = None,
    precision: str | None = None,
) -> "Network":
    """Build the network of an order, of a preset or of a config.

    Args:
        order: An ``Order``, a mapping that spells one out, or the name of a preset
            (``"dream_cnn"``, ``"dream_rnn"``, ``"dream_attn"``) or config file.
        length: Positions of the input in bp; those of the order's processor by default.
        channels: Channels of the input; those of the order's processor by default.
        precision: Keras dtype policy of its layers; the global one by default.

    Returns:
        A ``keras.Model`` from channels, (batch, length, channels), to the final block's outputs.

    Raises:
        UserError: If the order names something that is not on the menu, or cannot be built; the
            message then names the nearest order that can.

    Examples:
        >>> from dream_keras.config.experiment import load_experiment
        >>> from dream_keras.config.smoke import shrink
        >>> order = shrink(load_experiment("dream_cnn")).model
        >>> network = build_network(order, length=20, channels=4)
        >>> network.output_shape
        (None, 18)
    """
    load_backend()
    from dream_keras.model.advice import advice
    from dream_keras.model.network import CannotBuildError, assemble

    if isinstance(order, str):
        order = preset(order)
    elif not isinstance(order, Order):
        order = Order.parse(order)
    if length is None or channels is None:
        processor = order.processor.build("processor")
        if not (length or processor.length):
            raise UserError(
                f"the input length of processor {order.processor.name} is taken from a training "
                "table: give length=..."
            )
        length = processor.length if length is None else length
        channels = processor.channels if channels is None else channels
    try:
        return assemble(order, length, channels, precision)
    except CannotBuildError as error:
        raise UserError(f"{error}{advice(order, length, channels, error.slot)}") from error


def load_model(path: str | Path) -> "Network":
    """Load a network that was saved as a ``.keras`` file.

    Args:
        path: What ``network.save`` wrote.

    Raises:
        UserError: If there is no such file, or it holds something else.

    Examples:
        >>> import tempfile
        >>> from dream_keras.config.experiment import load_experiment
        >>> from dream_keras.config.smoke import shrink
        >>> network = build_network(shrink(load_experiment("dream_cnn")).model, length=20)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     network.save(f"{folder}/network.keras")
        ...     load_model(f"{folder}/network.keras").tasks
        1
    """
    if not Path(path).is_file():
        raise UserError(f"no file {path}")
    load_backend()
    import keras

    from dream_keras.model.network import Network

    try:
        model = keras.saving.load_model(path)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} cannot be loaded: {reason(error)}") from error
    if not isinstance(model, Network):
        raise UserError(f"{path} holds a {type(model).__name__}, not a network of dream_keras")
    return model


def expression(
    network: "Network", inputs: npt.ArrayLike, batch_size: int = PREDICTION_BATCH
) -> npt.NDArray[np.float64]:
    """Predict the expression of encoded sequences, in batches.

    Args:
        network: What ``build_network`` returned.
        inputs: (rows, length, channels).
        batch_size: Rows computed at a time.

    Returns:
        Expression, (rows,), or (rows, tasks) for a network with several tasks.

    Examples:
        >>> from dream_keras.config.experiment import load_experiment
        >>> from dream_keras.config.smoke import shrink
        >>> order = shrink(load_experiment("dream_cnn")).model
        >>> network = build_network(order, length=20, channels=4)
        >>> expression(network, np.zeros((3, 20, 4))).shape
        (3,)
    """
    import keras

    rows = np.asarray(inputs, np.float32)
    values = np.empty((0, network.tasks))
    if len(rows):
        outputs = network.predict(rows, batch_size=batch_size, verbose=0)
        values = keras.ops.convert_to_numpy(network.values(outputs)).astype(np.float64)
    return values[:, 0] if network.tasks == 1 else values
