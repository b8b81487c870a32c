"""Final block of the BHI team: flatten and three dense layers."""

import keras

from dream_keras.initializers import torch_start
from dream_keras.menu.registry import Head, register
from dream_keras.training.losses import HuberError, single_task


@register(
    "final",
    "bhi",
    source="Prix Fixe, BHI final layers",
    head=Head(losses={"value": HuberError}, expression=single_task),
    torch_names={"hidden0": "main.0", "hidden1": "main.2", "value": "main.4"},
)
def bhi(x: keras.KerasTensor, hidden: int = 64) -> keras.KerasTensor:
    """Flatten channel by channel, two dense layers with ReLU, dense to one value.

    Args:
        x: (batch, length, channels); the length is part of the first layer's size.
        hidden: Units of both hidden layers; 64 as published.

    Returns:
        Value, (batch, 1), float32.
    """
    x = keras.layers.Permute((2, 1), name="final_channels_first")(x)
    x = keras.layers.Flatten(name="final_flatten")(x)
    for index in range(2):
        x = keras.layers.Dense(
            hidden, "relu", **torch_start(x.shape[-1]), name=f"final_hidden{index}"
        )(x)
    return keras.layers.Dense(1, **torch_start(x.shape[-1]), name="final_value", dtype="float32")(x)
