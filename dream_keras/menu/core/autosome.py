"""Core block of the autosome team: LegNet's stages with squeeze and excitation."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from dream_keras.initializers import AutosomeInitializer, Normal, Uniform
from dream_keras.layers import GroupedConv1D, conv_norm_silu, named, norm_silu
from dream_keras.menu.registry import register

_STAGE = r"stage(\d+)_"
_BRANCH = r"seqextractor.inv_res_blc\1."


@register(
    "core",
    "autosome",
    source="Prix Fixe, autosome.org core layers; LegNet as submitted for the options",
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
    bilinear: bool = False,
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
        bilinear: Give the gates products of pairs of squeezed channels as well, as the team's own
            LegNet does; Prix Fixe does not.

    Returns:
        (batch, length, out_channels).
    """
    for stage, width in enumerate([*widths, out_channels]):
        name = named(f"core_stage{stage}")
        previous, inner = x.shape[-1], expansion * width
        y = conv_norm_silu(x, inner, 1, name("expand"))
        y = GroupedConv1D(
            kernel_size, channels_per_group, AutosomeInitializer(), name=name("grouped")
        )(y)
        y = norm_silu(y, name("grouped"))
        y = _squeeze_excite(y, previous // squeeze, bilinear, name)
        y = conv_norm_silu(y, previous, 1, name("project"))
        x = keras.layers.Concatenate(name=name("join"))([x, y])
        x = conv_norm_silu(x, width, kernel_size, name("resize"))
    return x


def _squeeze_excite(
    x: keras.KerasTensor, width: int, bilinear: bool, name: Callable[[str], str]
) -> Any:
    """Scale each channel by a gate computed from all channels' means over the length."""
    start = {"kernel_initializer": AutosomeInitializer()}
    gate = keras.layers.GlobalAveragePooling1D(keepdims=True, name=name("mean"))(x)
    gate = keras.layers.Dense(width, "silu", **start, name=name("squeeze"))(gate)
    if bilinear:
        gate = keras.layers.Dense(width, **start, name=name("mix"))(gate)
        products = LowRankBilinear(max(width // 2, 1), name=name("bilinear"))(gate)
        gate = keras.layers.Concatenate(name=name("bilinear_join"))([gate, products])
        gate = keras.layers.Activation("silu", name=name("bilinear_silu"))(gate)
    gate = keras.layers.Dense(x.shape[-1], "sigmoid", **start, name=name("excite"))(gate)
    return keras.layers.Multiply(name=name("scale"))([x, gate])


@keras.saving.register_keras_serializable(package="dream_keras")
class LowRankBilinear(keras.layers.Layer):
    """A bilinear map of a vector with itself: out_o = sum over i, j of v_i v_j W_ijo, plus b_o.

    W, (channels, channels, units), is a canonical polyadic decomposition: W_ijo = sum over r of
    scale_r left_ir right_jr out_or. Its factors have half as many weights as W has entries. At
    the start ``scale`` is 1, the factors are normal such that the entries of W have standard
    deviation 0.00075, and the bias is U(-1, 1). Source: autosome.org's submission; the bias is its
    tensor library's default.

    Args:
        units: Channels of the output.
    """

    SHARE = 0.5
    DEVIATION = 0.00075

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for (..., channels)."""
        channels = int(input_shape[-1] or 0)
        full = channels * channels * self.units
        rank = max(round(self.SHARE * full / (2 * channels + self.units)), 1)
        # An entry of W is a sum of ``rank`` products of three factors.
        deviation = (self.DEVIATION / math.sqrt(rank)) ** (1 / 3)

        def factor(name: str, rows: int) -> Any:
            return self.add_weight(name=name, shape=(rows, rank), initializer=Normal(deviation))

        self.scale = self.add_weight(name="scale", shape=(rank,), initializer="ones")
        self.left = factor("left", channels)
        self.right = factor("right", channels)
        self.out = factor("out", self.units)
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer=Uniform(1))

    def call(self, inputs: Any) -> Any:
        """Turn (..., channels) into (..., units)."""
        products = ops.matmul(inputs, self.left) * ops.matmul(inputs, self.right) * self.scale
        return ops.matmul(products, ops.transpose(self.out)) + self.bias

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {"units": self.units}
