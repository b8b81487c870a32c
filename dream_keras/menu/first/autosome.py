"""First block of the autosome team: one convolution over the planes."""

import keras

from dream_keras.layers import AutosomeInitializer, batch_norm
from dream_keras.menu.registry import register


@register(
    "first",
    "autosome",
    source="Prix Fixe, autosome.org first layers",
    torch_names={"conv": "block.0", "norm": "block.1"},
)
def autosome(
    x: keras.KerasTensor, out_channels: int = 256, kernel_size: int = 7
) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation, SiLU.

    Args:
        x: Planes, (batch, length, planes).
        out_channels: Filters; 256 as published.
        kernel_size: Width of the convolution; 7 as published.

    Returns:
        (batch, length, out_channels).
    """
    x = keras.layers.Conv1D(
        out_channels,
        kernel_size,
        padding="same",
        use_bias=False,
        kernel_initializer=AutosomeInitializer(),
        name="first_conv",
    )(x)
    return keras.layers.Activation("silu", name="first_silu")(batch_norm("first_norm")(x))
