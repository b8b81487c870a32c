"""DeepSTARR, the network of the fly STARR-seq benchmark: first, core, final block and trainer.

Source: de Almeida et al., DeepSTARR (Nature Genetics 54:613, 2022), and the notebook published
with it, in Keras 2.2: its default initial weights, and batch normalisation with its momentum and
epsilon.
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

SOURCE = "de Almeida et al. 2022, DeepSTARR"
POOL = 2
"""Positions that each max-pool takes together."""


@register(
    "first",
    "deepstarr",
    source=SOURCE,
    torch_names={"conv": "conv.0", "conv_norm": "conv_norm.0"},
    smoke={"out_channels": 24},
)
def deepstarr_first(
    x: keras.KerasTensor, out_channels: int = 256, kernel_size: int = 7
) -> keras.KerasTensor:
    """Convolution, batch normalisation, ReLU and a max-pool of 2.

    Args:
        x: (batch, length, channels); 249 positions and A, C, G, T as published.
        out_channels: Filters; 256 as published.
        kernel_size: Width of the convolution; 7 as published.

    Returns:
        (batch, length // 2, out_channels).
    """
    check_length(x, POOL)
    return _stage(x, out_channels, kernel_size, "first_conv")


@register(
    "core",
    "deepstarr",
    source=SOURCE,
    torch_names={r"conv(\d+)": r"conv.\1", r"conv(\d+)_norm": r"conv_norm.\1"},
    smoke={"out_channels": 24, "widths": (16, 8)},
)
def deepstarr_core(
    x: keras.KerasTensor,
    out_channels: int = 120,
    widths: Sequence[int] = (60, 60),
    kernel_sizes: Sequence[int] = (3, 5, 3),
) -> keras.KerasTensor:
    """Stages like the first block, one after the other.

    Args:
        x: (batch, length, channels).
        out_channels: Filters of the last stage; 120 as published.
        widths: Filters of the stages before it; 60 and 60 as published.
        kernel_sizes: Width of each stage's convolution; 3, 5, 3 as published.

    Returns:
        (batch, length // 8, out_channels) with three stages.
    """
    filters = [*widths, out_channels]
    if len(filters) != len(kernel_sizes):
        raise ValueError(f"{len(filters)} stages, but {len(kernel_sizes)} kernel_sizes")
    check_length(x, POOL ** len(filters))
    for stage, (width, size) in enumerate(zip(filters, kernel_sizes, strict=True), 1):
        x = _stage(x, width, size, f"core_conv{stage}")
    return x


@register(
    "final",
    "deepstarr",
    source=SOURCE,
    head=Head(losses={"value": TaskError}, expression=task_values),
    torch_names={
        r"hidden(\d)": r"dense.\1",
        r"hidden(\d)_norm": r"dense_norm.\1",
        "value1": "dev",
        "value2": "hk",
        r"value(\d+)": r"value.\1",
    },
    smoke={"hidden": 8},
)
def deepstarr_final(
    x: keras.KerasTensor, tasks: int = 2, hidden: int = 256, dropout: float = 0.4
) -> keras.KerasTensor:
    """Flatten position by position, two dense layers with batch normalisation, a value per task.

    Args:
        x: (batch, length, channels); the length is part of the first layer's size.
        tasks: Measured values per sequence; 2 as published, developmental and housekeeping.
        hidden: Units of both hidden layers; 256 as published.
        dropout: After each hidden layer; 0.4 as published.

    Returns:
        Values, (batch, tasks), float32.
    """
    at_least(1, tasks=tasks)
    start = {"kernel_initializer": GlorotUniform()}
    x = keras.layers.Flatten(name="final_flatten")(x)
    for index in range(2):
        name = f"final_hidden{index}"
        x = _norm_relu(keras.layers.Dense(hidden, **start, name=name)(x), name)
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    values = [
        keras.layers.Dense(1, **start, name=f"final_value{task + 1}", dtype="float32")(x)
        for task in range(tasks)
    ]
    if tasks == 1:
        return values[0]
    return keras.layers.Concatenate(name="final_values", dtype="float32")(values)


@register("trainer", "deepstarr", source=SOURCE)
@dataclass(frozen=True, kw_only=True)
class DeepSTARRTrainer(Trainer):
    """Adam at a constant rate."""

    learning_rate: float = 0.002
    batch_size: int = 128
    epochs: int = 100
    steps_per_epoch: int | None = None
    best: Literal["pearson", "mse"] = "mse"
    patience: int | None = 10

    def optimizer(self, total_steps: int) -> keras.optimizers.Optimizer:
        """Build the optimiser; it does not depend on ``total_steps``."""
        return keras.optimizers.Adam(self.learning_rate)


def _stage(x: keras.KerasTensor, filters: int, kernel_size: int, name: str) -> keras.KerasTensor:
    """Convolution, batch normalisation, ReLU and a max-pool."""
    x = keras.layers.Conv1D(
        filters, kernel_size, padding="same", kernel_initializer=GlorotUniform(), name=name
    )(x)
    return keras.layers.MaxPooling1D(POOL, name=f"{name}_pool")(_norm_relu(x, name))


def _norm_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.Activation("relu", name=f"{name}_relu")(keras_batch_norm(f"{name}_norm")(x))
