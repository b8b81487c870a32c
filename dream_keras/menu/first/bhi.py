"""First block of the BHI team: two convolutions of different width side by side."""

import keras

from dream_keras.layers import parallel_convs
from dream_keras.menu.registry import register


@register(
    "first",
    "bhi",
    source="Prix Fixe, BHI first layers",
    torch_names={r"branch(\d+)_conv": r"conv_list.\1.conv"},
)
def bhi(
    x: keras.KerasTensor,
    out_channels: int = 320,
    kernel_sizes: tuple[int, ...] = (9, 15),
    dropout: float = 0.2,
) -> keras.KerasTensor:
    """Convolutions side by side, each with ReLU and dropout, concatenated.

    Args:
        x: Planes, (batch, length, planes).
        out_channels: Filters in all; 320 in the DREAM models, 512 in the team's own.
        kernel_sizes: One branch each; 9 and 15 as published.
        dropout: Share of values dropped in training; 0.2 as published.

    Returns:
        (batch, length, out_channels).
    """
    return parallel_convs(x, out_channels, tuple(kernel_sizes), dropout, "first")
