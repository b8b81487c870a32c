"""MPRALegNet, a network of the human lentiMPRA benchmark: first, core, final block and trainer.

Source: Agarwal et al., lentiMPRA in three cell types (Nature 639:411, 2025), and the code published
with it (human_legnet). Built of the autosome team's units: convolution without bias, batch
normalisation and SiLU.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from dream_keras.common.errors import at_least
from dream_keras.menu.autosome import conv_norm_silu, norm_silu, squeeze_excite
from dream_keras.menu.registry import Head, register
from dream_keras.menu.trainer import Trainer
from dream_keras.nn.initializers import AutosomeInitializer
from dream_keras.nn.layers import GroupedConv1D, batch_norm, check_length, named
from dream_keras.nn.losses import TaskError, task_values
from dream_keras.nn.optimizers import AdamW
from dream_keras.nn.schedules import OneCycle

SOURCE = "Agarwal et al. 2025, MPRALegNet"
EXPANSION = 4
"""The bottleneck is this many times the width of the stage's input."""
POOL = 2
"""Positions that each max-pool takes together."""


@register(
    "first",
    "mpralegnet",
    source=SOURCE,
    torch_names={"conv": "stem.block.0", "conv_norm": "stem.block.1"},
    smoke={"out_channels": 24},
)
def mpralegnet_first(
    x: keras.KerasTensor, out_channels: int = 64, kernel_size: int = 11
) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation, SiLU.

    Args:
        x: (batch, length, channels); 230 positions and A, G, C, T as published.
        out_channels: Filters; 64 as published.
        kernel_size: Width of the convolution; 11 as published, 5 in the short version.

    Returns:
        (batch, length, out_channels).
    """
    return conv_norm_silu(x, out_channels, kernel_size, "first_conv")


_STAGE = r"stage(\d+)_"
_BRANCH = r"main.\1.0.fn.block."


@register(
    "core",
    "mpralegnet",
    source=SOURCE,
    torch_names={
        f"{_STAGE}expand": f"{_BRANCH}0",
        f"{_STAGE}expand_norm": f"{_BRANCH}1",
        f"{_STAGE}depthwise": f"{_BRANCH}3",
        f"{_STAGE}depthwise_norm": f"{_BRANCH}4",
        f"{_STAGE}squeeze": f"{_BRANCH}6.fc.0",
        f"{_STAGE}excite": f"{_BRANCH}6.fc.2",
        f"{_STAGE}project": f"{_BRANCH}7",
        f"{_STAGE}project_norm": f"{_BRANCH}8",
        f"{_STAGE}resize": r"main.\1.1.block.0",
        f"{_STAGE}resize_norm": r"main.\1.1.block.1",
    },
    smoke={"out_channels": 24, "widths": (16, 8, 8)},
)
def mpralegnet_core(
    x: keras.KerasTensor,
    out_channels: int = 128,
    widths: Sequence[int] = (80, 96, 112),
    kernel_size: int = 9,
) -> keras.KerasTensor:
    """Stages of: inverted bottleneck, depthwise, joined to its input, resized, and a max-pool of 2.

    The bottleneck's output stands before its input where they are joined; in the autosome block of
    DREAM it stands behind.

    Args:
        x: (batch, length, channels).
        out_channels: Width of the last stage; 128 as published.
        widths: Widths of the stages before it; 80, 96, 112 as published.
        kernel_size: Of the depthwise and the resizing convolution; 9 as published, 3 in the short
            version.

    Returns:
        (batch, length // 16, out_channels) with four stages.
    """
    stages = [*widths, out_channels]
    check_length(x, POOL ** len(stages))
    for stage, width in enumerate(stages):
        name = named(f"core_stage{stage}")
        previous = x.shape[-1]
        y = conv_norm_silu(x, EXPANSION * previous, 1, name("expand"))
        y = GroupedConv1D(kernel_size, 1, AutosomeInitializer(), name=name("depthwise"))(y)
        y = norm_silu(y, name("depthwise"))
        y = squeeze_excite(y, previous, name)
        y = conv_norm_silu(y, previous, 1, name("project"))
        x = keras.layers.Concatenate(name=name("join"))([y, x])
        x = conv_norm_silu(x, width, kernel_size, name("resize"))
        x = keras.layers.MaxPooling1D(POOL, name=name("pool"))(x)
    return x


@register(
    "final",
    "mpralegnet",
    source=SOURCE,
    head=Head(losses={"value": TaskError}, expression=task_values),
    torch_names={
        "norm": "mapper.block.0",
        "features": "mapper.block.1",
        "hidden": "head.0",
        "hidden_norm": "head.1",
        "values": "head.3",
    },
    smoke={"features": 16},
)
def mpralegnet_final(
    x: keras.KerasTensor, tasks: int = 1, features: int = 256
) -> keras.KerasTensor:
    """Batch normalisation, convolution of width 1, mean over the length, two dense layers.

    Args:
        x: (batch, length, channels).
        tasks: Measured values per sequence; 1 as published.
        features: Filters of the convolution, and units of the hidden layer; 256 as published.

    Returns:
        Values, (batch, tasks), float32.
    """
    at_least(1, tasks=tasks)
    start = {"kernel_initializer": AutosomeInitializer()}
    x = batch_norm("final_norm")(x)
    x = keras.layers.Conv1D(features, 1, **start, name="final_features")(x)
    x = keras.layers.GlobalAveragePooling1D(name="final_mean")(x)
    x = norm_silu(keras.layers.Dense(features, **start, name="final_hidden")(x), "final_hidden")
    return keras.layers.Dense(tasks, **start, name="final_values", dtype="float32")(x)


@register("trainer", "mpralegnet", source=SOURCE)
@dataclass(frozen=True, kw_only=True)
class MPRALegNetTrainer(Trainer):
    """AdamW with decay on every weight; the rate rises and falls once, beta1 stays.

    The rate starts at 1/25 of its maximum, reaches it after 30 % of the steps and ends at
    1/10,000 of its start, along half cosines.

    Attributes:
        weight_decay: Decoupled decay of every weight.
        clip_norm: Largest norm of the gradient of all weights together.
    """

    learning_rate: float = 0.01
    batch_size: int = 1024
    epochs: int = 25
    steps_per_epoch: int | None = None
    weight_decay: float = 0.1
    clip_norm: float = 1.0

    def optimizer(self, total_steps: int) -> keras.optimizers.Optimizer:
        """Build the optimiser for a run of ``total_steps`` steps."""
        start = self.learning_rate / 25
        return AdamW(
            OneCycle(start, self.learning_rate, start / 10_000, total_steps),
            weight_decay=self.weight_decay,
            global_clipnorm=self.clip_norm,
        )
