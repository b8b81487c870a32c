"""BPNet, the network of ChromBPNet and of its bias model: first and core block, and trainer.

Source: Pampari et al., ChromBPNet (bioRxiv 2024.12.25.630221), and the code published with it,
after Avsec et al., BPNet (Nature Genetics 53:354, 2021). Initial weights are Keras's defaults.
"""

from dataclasses import dataclass
from typing import Literal

import keras

from dream_keras.common.errors import at_least
from dream_keras.menu.registry import register
from dream_keras.menu.trainer import Trainer
from dream_keras.nn.initializers import GlorotUniform
from dream_keras.nn.layers import check_length

SOURCE = "Pampari et al. 2024, ChromBPNet"


@register(
    "first",
    "bpnet",
    source=SOURCE,
    torch_names={"conv": "stem"},
    smoke={"out_channels": 24},
)
def bpnet_first(
    x: keras.KerasTensor, out_channels: int = 512, kernel_size: int = 21
) -> keras.KerasTensor:
    """Convolution without padding, ReLU.

    Args:
        x: (batch, length, channels); 2,114 positions and A, C, G, T as published.
        out_channels: Filters; 512 as published, 128 in the bias model.
        kernel_size: Width of the convolution; 21 as published.

    Returns:
        (batch, length - kernel_size + 1, out_channels).
    """
    check_length(x, kernel_size)
    return _conv_relu(x, out_channels, kernel_size, "first_conv")


@register(
    "core",
    "bpnet",
    source=SOURCE,
    torch_names={r"dilated(\d+)": r"dilated.\1"},
    smoke={"layers": 3},
)
def bpnet_core(x: keras.KerasTensor, layers: int = 8, kernel_size: int = 3) -> keras.KerasTensor:
    """Convolutions without padding, each with twice the dilation of the one before and a residual.

    The dilation of the first is 2. What a convolution reads is cut to the positions that it gives
    before both are added.

    Args:
        x: (batch, length, channels).
        layers: Convolutions; 8 as published, 4 in the bias model.
        kernel_size: Their width; 3 as published.

    Returns:
        (batch, positions, channels): 1,020 positions fewer with 8 layers of width 3.
    """
    at_least(1, layers=layers)
    check_length(x, (kernel_size - 1) * (2 ** (layers + 1) - 2) + 1)
    for layer in range(layers):
        name, dilation = f"core_dilated{layer}", 2 ** (layer + 1)
        y = _conv_relu(x, x.shape[-1], kernel_size, name, dilation)
        lost = x.shape[1] - y.shape[1]
        x = keras.layers.Cropping1D((lost // 2, lost - lost // 2), name=f"{name}_cut")(x)
        x = keras.layers.Add(name=f"{name}_sum")([x, y])
    return x


@register("trainer", "bpnet", source=SOURCE)
@dataclass(frozen=True, kw_only=True)
class BPNetTrainer(Trainer):
    """Adam at a constant rate; the epoch with the lowest validation loss is kept."""

    learning_rate: float = 0.001
    batch_size: int = 64
    epochs: int = 50
    steps_per_epoch: int | None = None
    best: Literal["pearson", "mse", "loss"] = "loss"
    patience: int | None = 5

    def optimizer(self, total_steps: int) -> keras.optimizers.Optimizer:
        """Build the optimiser; it does not depend on ``total_steps``."""
        return keras.optimizers.Adam(self.learning_rate)


def _conv_relu(
    x: keras.KerasTensor, filters: int, kernel_size: int, name: str, dilation: int = 1
) -> keras.KerasTensor:
    """Convolution without padding, and ReLU."""
    return keras.layers.Conv1D(
        filters,
        kernel_size,
        dilation_rate=dilation,
        activation="relu",
        kernel_initializer=GlorotUniform(),
        name=name,
    )(x)
