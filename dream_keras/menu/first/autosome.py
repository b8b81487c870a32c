"""First block of the autosome team: one convolution over the planes."""

import keras

from dream_keras.layers import conv_norm_silu
from dream_keras.menu.registry import register


@register(
    "first",
    "autosome",
    source="Prix Fixe, autosome.org first layers",
    torch_names={"conv": "block.0", "conv_norm": "block.1"},
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
    return conv_norm_silu(x, out_channels, kernel_size, "first_conv")
