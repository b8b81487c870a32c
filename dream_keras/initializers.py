"""Initial weights: the autosome team's law, PyTorch's defaults and Keras's."""

import math
from typing import Any, Literal

import keras

register = keras.saving.register_keras_serializable(package="dream_keras")

Start = Literal["torch", "keras"]
"""Whose default initial weights a block has: Prix Fixe's are PyTorch's, Unlock_DNA's own model was
written in Keras."""


@register
class AutosomeInitializer(keras.initializers.Initializer):
    """The autosome team's start: conv ~ N(0, sqrt(2 / (k * out))), dense ~ N(0, 0.001).

    ``out`` is the number of filters, not divided by the number of groups. Biases start at 0,
    which is the layers' own default. Source: Prix Fixe, autosome.org blocks.
    """

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Draw a kernel of shape (k, in, out) or (in, out)."""
        deviation = math.sqrt(2 / (shape[0] * shape[-1])) if len(shape) == 3 else 0.001
        return keras.random.normal(shape, stddev=deviation, dtype=dtype)


@register
class TorchUniform(keras.initializers.Initializer):
    """PyTorch's default for dense, convolution and LSTM: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    Args:
        fan_in: Inputs that one output sums over; for an LSTM, its units.
    """

    def __init__(self, fan_in: int):
        self.fan_in = fan_in

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """Draw a weight of the given shape."""
        limit = 1 / math.sqrt(self.fan_in)
        return keras.random.uniform(shape, -limit, limit, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"fan_in": self.fan_in}


def torch_start(fan_in: int, *, bias: bool = True) -> dict[str, Any]:
    """Return the keyword arguments that give a dense or conv layer PyTorch's initial weights."""
    start: dict[str, Any] = {"kernel_initializer": TorchUniform(fan_in)}
    return start | ({"bias_initializer": TorchUniform(fan_in)} if bias else {"use_bias": False})


def dense_start(start: Start, fan_in: int, *, bias: bool = True) -> dict[str, Any]:
    """Return a dense or conv layer's keyword arguments for PyTorch's or Keras's own start."""
    return torch_start(fan_in, bias=bias) if start == "torch" else {"use_bias": bias}


def glorot(fan_in: int, fan_out: int) -> keras.initializers.Initializer:
    """Return Glorot's uniform start for fans that the weight's own shape does not tell."""
    limit = math.sqrt(6 / (fan_in + fan_out))
    return keras.initializers.RandomUniform(-limit, limit)
