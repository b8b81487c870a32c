"""Malinois, a network for MPRAs in three cell types: first, core, final block and trainer.

Source: Gosai et al., machine-guided design of cis-regulatory elements (Nature 634:1211, 2024), and
the code published with it (boda2, BassetBranched), in PyTorch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from dream_keras.common.errors import at_least
from dream_keras.menu.registry import Head, register
from dream_keras.menu.trainer import Trainer
from dream_keras.nn.initializers import Uniform, torch_init
from dream_keras.nn.layers import batch_norm, check_length
from dream_keras.nn.losses import ActivityShareError, task_values
from dream_keras.nn.optimizers import Adam

SOURCE = "Gosai et al. 2024, Malinois"
FIRST_POOL, POOL = 3, 4
"""Positions that a max-pool takes together, in the first and in the core block."""
BRANCH_LAYERS = 3
"""Dense layers of each branch before its value."""


@register(
    "first",
    "malinois",
    source=SOURCE,
    torch_names={"conv": "conv1.conv", "conv_norm": "conv1.bn_layer"},
    smoke={"out_channels": 24},
)
def malinois_first(
    x: keras.KerasTensor, out_channels: int = 300, kernel_size: int = 19
) -> keras.KerasTensor:
    """Convolution, batch normalisation, ReLU and a max-pool of 3.

    Args:
        x: (batch, length, channels); 600 positions and A, C, G, T as published.
        out_channels: Filters; 300 as published.
        kernel_size: Width of the convolution; 19 as published.

    Returns:
        (batch, length // 3, out_channels).
    """
    check_length(x, FIRST_POOL)
    x = _conv_norm_relu(x, out_channels, kernel_size, "first_conv")
    return keras.layers.MaxPooling1D(FIRST_POOL, name="first_conv_pool")(x)


@register(
    "core",
    "malinois",
    source=SOURCE,
    torch_names={r"conv(\d+)": r"conv\1.conv", r"conv(\d+)_norm": r"conv\1.bn_layer"},
    smoke={"out_channels": 24, "widths": (16,)},
)
def malinois_core(
    x: keras.KerasTensor,
    out_channels: int = 200,
    widths: Sequence[int] = (200,),
    kernel_sizes: Sequence[int] = (11, 7),
) -> keras.KerasTensor:
    """Convolutions, each with batch normalisation, ReLU and a max-pool of 4.

    A zero is put on both ends before the last max-pool.

    Args:
        x: (batch, length, channels).
        out_channels: Filters of the last convolution; 200 as published.
        widths: Filters of those before it; 200 as published.
        kernel_sizes: Width of each convolution; 11 and 7 as published.

    Returns:
        (batch, positions, out_channels): 13 positions from 200.
    """
    filters = [*widths, out_channels]
    if len(filters) != len(kernel_sizes):
        raise ValueError(f"{len(filters)} convolutions, but {len(kernel_sizes)} kernel_sizes")
    check_length(x, (POOL - 2) * POOL ** len(widths))
    # The published names count from the first block's convolution.
    for index, (width, size) in enumerate(zip(filters, kernel_sizes, strict=True), 2):
        name = f"core_conv{index}"
        x = _conv_norm_relu(x, width, size, name)
        if index == len(filters) + 1:
            x = keras.layers.ZeroPadding1D(1, name=f"{name}_ends")(x)
        x = keras.layers.MaxPooling1D(POOL, name=f"{name}_pool")(x)
    return x


@register(
    "final",
    "malinois",
    source=SOURCE,
    head=Head(losses={"value": ActivityShareError}, expression=task_values),
    torch_names={
        "hidden": "linear1.linear",
        "hidden_norm": "linear1.bn_layer",
        r"branch(\d+)": r"branched.branched_layer_\1",
        "value": "output",
    },
    smoke={"hidden": 24, "branch": 8},
)
def malinois_final(
    x: keras.KerasTensor,
    tasks: int = 3,
    hidden: int = 1000,
    branch: int = 140,
    dropout: float = 0.11625456877954289,
    branch_dropout: float = 0.5757068086404574,
) -> keras.KerasTensor:
    """Flatten channel by channel, a dense layer, then a branch of dense layers for each task.

    ReLU and dropout stand behind all of them but the last of a branch, which has neither.

    Args:
        x: (batch, length, channels); the length is part of the first layer's size.
        tasks: Measured values per sequence; 3 as published, K562, HepG2 and SK-N-SH.
        hidden: Units of the layer that the tasks share; 1,000 as published.
        branch: Units of the three layers of each branch; 140 as published.
        dropout: After the shared layer; 0.116 as published.
        branch_dropout: Within the branches; 0.576 as published.

    Returns:
        Values, (batch, tasks), float32.
    """
    at_least(1, tasks=tasks)
    x = keras.layers.Permute((2, 1), name="final_channels_first")(x)
    x = keras.layers.Flatten(name="final_flatten")(x)
    x = keras.layers.Dense(hidden, **torch_init(x.shape[-1]), name="final_hidden")(x)
    x = keras.layers.Activation("relu", name="final_hidden_relu")(
        batch_norm("final_hidden_norm")(x)
    )
    x = keras.layers.Dropout(dropout, name="final_hidden_dropout")(x)
    x = keras.layers.RepeatVector(tasks, name="final_branches")(x)
    for layer in range(1, BRANCH_LAYERS + 1):
        inner = layer < BRANCH_LAYERS
        x = _dense_of_each_task(x, branch, f"final_branch{layer}", "relu" if inner else None)
        if inner:
            x = keras.layers.Dropout(branch_dropout, name=f"final_branch{layer}_dropout")(x)
    x = _dense_of_each_task(x, 1, "final_value", dtype="float32")
    return keras.layers.Reshape((tasks,), name="final_values", dtype="float32")(x)


@register("trainer", "malinois", source=SOURCE)
@dataclass(frozen=True, kw_only=True)
class MalinoisTrainer(Trainer):
    """Adam with AMSGrad and decay in the gradient; the rate falls to 0 again and again.

    Attributes:
        restart_steps: Steps from the highest rate to 0, along half a cosine, before it starts anew.
        l2: This times each weight is added to its gradient.
        beta_1: Share of the mean gradient that is kept in a step.
        beta_2: Share of the mean squared gradient that is kept in a step.
    """

    learning_rate: float = 0.0032658700881052086
    batch_size: int = 1076
    epochs: int = 200
    steps_per_epoch: int | None = None
    patience: int | None = 30
    restart_steps: int = 4096
    l2: float = 0.0003438210249762151
    beta_1: float = 0.8661062881299633
    beta_2: float = 0.879223105336538

    def __post_init__(self) -> None:
        """Refuse numbers that no run can be made with."""
        super().__post_init__()
        at_least(1, restart_steps=self.restart_steps)
        at_least(0, l2=self.l2)

    def optimizer(self, total_steps: int) -> keras.optimizers.Optimizer:
        """Build the optimiser; the schedule does not depend on ``total_steps``."""
        rate = keras.optimizers.schedules.CosineDecayRestarts(
            self.learning_rate, self.restart_steps, t_mul=1.0
        )
        return Adam(rate, l2=self.l2, beta_1=self.beta_1, beta_2=self.beta_2, amsgrad=True)


def _conv_norm_relu(
    x: keras.KerasTensor, filters: int, kernel_size: int, name: str
) -> keras.KerasTensor:
    """Convolution, batch normalisation, ReLU."""
    fan_in = kernel_size * x.shape[-1]
    x = keras.layers.Conv1D(filters, kernel_size, padding="same", **torch_init(fan_in), name=name)(
        x
    )
    return keras.layers.Activation("relu", name=f"{name}_relu")(batch_norm(f"{name}_norm")(x))


def _dense_of_each_task(
    x: keras.KerasTensor,
    units: int,
    name: str,
    activation: str | None = None,
    dtype: str | None = None,
) -> keras.KerasTensor:
    """Put a dense layer of its own on each task: (batch, tasks, channels) to (batch, tasks, units).

    The published code draws its weights with PyTorch's Kaiming-uniform rule, which takes their
    shape, (tasks, channels, units), for a convolution's with channels * units inputs.
    """
    tasks, channels = x.shape[1:]
    fan_in = channels * units
    return keras.layers.EinsumDense(
        "bti,tio->bto",
        (tasks, units),
        activation=activation,
        bias_axes="to",
        kernel_initializer=Uniform(math.sqrt(1.5 / fan_in)),
        bias_initializer=Uniform(1 / math.sqrt(fan_in)),
        name=name,
        dtype=dtype,
    )(x)
