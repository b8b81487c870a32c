"""Core block of the autosome team: LegNet's stages with squeeze and excitation."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from dream_keras.layers import AutosomeInitializer, GroupedConv1D, batch_norm, named
from dream_keras.menu.registry import register

_STAGE = r"stage(\d+)_"
_BRANCH = r"seqextractor.inv_res_blc\1."


@register(
    "core",
    "autosome",
    source="Prix Fixe, autosome.org core layers (LegNet)",
    torch_names={
        f"{_STAGE}expand": f"{_BRANCH}0",
        f"{_STAGE}expand_norm": f"{_BRANCH}1",
        f"{_STAGE}grouped": f"{_BRANCH}3",
        f"{_STAGE}grouped_norm": f"{_BRANCH}4",
        f"{_STAGE}squeeze": f"{_BRANCH}6.fc.0",
        f"{_STAGE}excite": f"{_BRANCH}6.fc.2",
        f"{_STAGE}project": f"{_BRANCH}7",
        f"{_STAGE}project_norm": f"{_BRANCH}8",
        f"{_STAGE}resize": r"seqextractor.resize_blc\1.0",
        f"{_STAGE}resize_norm": r"seqextractor.resize_blc\1.1",
    },
)
def autosome(
    x: keras.KerasTensor,
    out_channels: int = 64,
    widths: Sequence[int] = (128, 128, 64, 64, 64),
    kernel_size: int = 7,
    expansion: int = 4,
    channels_per_group: int = 2,
    squeeze: int = 4,
) -> keras.KerasTensor:
    """Stages of: inverted bottleneck with a grouped convolution, joined to its input, resized.

    Args:
        x: (batch, length, channels).
        out_channels: Width of the last stage; 64 as published.
        widths: Widths of the stages before it; 128, 128, 64, 64, 64 as published.
        kernel_size: Of the grouped and the resizing convolution; 7 as published.
        expansion: The bottleneck is this many times the stage's width; 4 as published.
        channels_per_group: Of the grouped convolution; 2 as published.
        squeeze: The squeeze layer is the stage's input width divided by this; 4 as published.

    Returns:
        (batch, length, out_channels).
    """
    for stage, width in enumerate([*widths, out_channels]):
        name = named(f"core_stage{stage}")
        previous, inner = x.shape[-1], expansion * width
        y = _conv_norm_silu(x, inner, 1, name("expand"))
        y = GroupedConv1D(
            kernel_size, channels_per_group, AutosomeInitializer(), name=name("grouped")
        )(y)
        y = keras.layers.Activation("silu", name=name("grouped_silu"))(
            batch_norm(name("grouped_norm"))(y)
        )
        y = _squeeze_excite(y, previous // squeeze, name)
        y = _conv_norm_silu(y, previous, 1, name("project"))
        x = keras.layers.Concatenate(name=name("join"))([x, y])
        x = _conv_norm_silu(x, width, kernel_size, name("resize"))
    return x


def _conv_norm_silu(
    x: keras.KerasTensor, filters: int, kernel_size: int, name: str
) -> keras.KerasTensor:
    x = keras.layers.Conv1D(
        filters,
        kernel_size,
        padding="same",
        use_bias=False,
        kernel_initializer=AutosomeInitializer(),
        name=name,
    )(x)
    return keras.layers.Activation("silu", name=f"{name}_silu")(batch_norm(f"{name}_norm")(x))


def _squeeze_excite(x: keras.KerasTensor, width: int, name: Callable[[str], str]) -> Any:
    """Scale each channel by a gate computed from all channels' means over the length."""
    start = {"kernel_initializer": AutosomeInitializer()}
    gate = keras.layers.GlobalAveragePooling1D(keepdims=True, name=name("mean"))(x)
    gate = keras.layers.Dense(width, "silu", **start, name=name("squeeze"))(gate)
    gate = keras.layers.Dense(x.shape[-1], "sigmoid", **start, name=name("excite"))(gate)
    return keras.layers.Multiply(name=name("scale"))([x, gate])
