"""MPRAnn, a network of the human lentiMPRA benchmark: first, core, final block and trainer.

Source: Agarwal et al., lentiMPRA in three cell types (Nature 639:411, 2025), and the code published
with it, model "standard", in Keras: its default initial weights, and batch normalisation with its
momentum and epsilon.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import keras

from dream_keras.common.errors import at_least
from dream_keras.menu.registry import Head, register
from dream_keras.menu.trainer import Trainer
from dream_keras.nn.initializers import GlorotUniform
from dream_keras.nn.layers import check_length, keras_batch_norm
from dream_keras.nn.losses import TaskError, task_values

SOURCE = "Agarwal et al. 2025, MPRAnn"
POOL = 2
"""Positions that the core block's max-pool takes together."""


@register(
    "first",
    "mprann",
    source=SOURCE,
    torch_names={"conv": "conv.0", "conv_norm": "norm.0"},
    smoke={"out_channels": 24},
)
def mprann_first(
    x: keras.KerasTensor, out_channels: int = 250, kernel_size: int = 7
) -> keras.KerasTensor:
    """Convolution without padding, ReLU, then batch normalisation.

    Args:
        x: (batch, length, channels); 230 positions and A, C, G, T as published.
        out_channels: Filters; 250 as published.
        kernel_size: Width of the convolution; 7 as published.

    Returns:
        (batch, length - kernel_size + 1, out_channels).
    """
    check_length(x, kernel_size)
    return _conv_norm(x, out_channels, kernel_size, "relu", "first_conv")


@register(
    "core",
    "mprann",
    source=SOURCE,
    torch_names={r"conv(\d+)": r"conv.\1", r"conv(\d+)_norm": r"norm.\1"},
    smoke={"out_channels": 24, "widths": (16, 8)},
)
def mprann_core(
    x: keras.KerasTensor,
    out_channels: int = 100,
    widths: Sequence[int] = (250, 250),
    kernel_sizes: Sequence[int] = (8, 3, 2),
    dropout: float = 0.1,
) -> keras.KerasTensor:
    """Convolutions without padding, each with a softmax over its filters and batch normalisation.

    A max-pool of 2 stands behind the first, dropout behind the first and the last.

    Args:
        x: (batch, length, channels).
        out_channels: Filters of the last convolution; 100 as published.
        widths: Filters of those before it; 250 and 250 as published.
        kernel_sizes: Width of each convolution; 8, 3, 2 as published.
        dropout: Share of values dropped in training; 0.1 as published.

    Returns:
        (batch, positions, out_channels): 105 positions from 224.
    """
    filters = [*widths, out_channels]
    if len(filters) != len(kernel_sizes):
        raise ValueError(f"{len(filters)} convolutions, but {len(kernel_sizes)} kernel_sizes")
    behind_pool = sum(kernel_sizes[1:]) - len(kernel_sizes[1:]) + 1
    check_length(x, POOL * behind_pool + kernel_sizes[0] - 1)
    for index, (width, size) in enumerate(zip(filters, kernel_sizes, strict=True), 1):
        name = f"core_conv{index}"
        x = _conv_norm(x, width, size, "softmax", name)
        if index == 1:
            x = keras.layers.MaxPooling1D(POOL, name=f"{name}_pool")(x)
        if index in (1, len(filters)):
            x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return x


@register(
    "final",
    "mprann",
    source=SOURCE,
    head=Head(losses={"value": TaskError}, expression=task_values),
    torch_names={r"hidden(\d)": r"dense.\1", "values": "out"},
    smoke={"hidden": (8, 8)},
)
def mprann_final(
    x: keras.KerasTensor,
    tasks: int = 1,
    hidden: Sequence[int] = (300, 200),
    dropout: float = 0.3,
) -> keras.KerasTensor:
    """Flatten position by position, dense layers with sigmoid, dense to the values.

    Args:
        x: (batch, length, channels); the length is part of the first layer's size.
        tasks: Measured values per sequence; 1 as published.
        hidden: Units of the hidden layers; 300 and 200 as published.
        dropout: Between the hidden layers; 0.3 as published.

    Returns:
        Values, (batch, tasks), float32.
    """
    at_least(1, tasks=tasks)
    start = {"kernel_initializer": GlorotUniform()}
    x = keras.layers.Flatten(name="final_flatten")(x)
    for index, units in enumerate(hidden):
        if index:
            x = keras.layers.Dropout(dropout, name=f"final_dropout{index}")(x)
        x = keras.layers.Dense(units, "sigmoid", **start, name=f"final_hidden{index}")(x)
    return keras.layers.Dense(tasks, **start, name="final_values", dtype="float32")(x)


@register("trainer", "mprann", source=SOURCE)
@dataclass(frozen=True, kw_only=True)
class MPRAnnTrainer(Trainer):
    """Adam at a constant rate."""

    learning_rate: float = 0.001
    batch_size: int = 128
    epochs: int = 100
    steps_per_epoch: int | None = None
    best: Literal["pearson", "mse"] = "mse"
    patience: int | None = 10

    def optimizer(self, total_steps: int) -> keras.optimizers.Optimizer:
        """Build the optimiser; it does not depend on ``total_steps``."""
        return keras.optimizers.Adam(self.learning_rate)


def _conv_norm(
    x: keras.KerasTensor, filters: int, kernel_size: int, activation: str, name: str
) -> keras.KerasTensor:
    """Convolution without padding, activation over the filters, batch normalisation."""
    x = keras.layers.Conv1D(
        filters,
        kernel_size,
        activation=activation,
        kernel_initializer=GlorotUniform(),
        name=name,
    )(x)
    return keras_batch_norm(f"{name}_norm")(x)
