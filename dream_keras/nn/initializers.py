"""Initial weights: the autosome team's, PyTorch's defaults and Keras's.

All are drawn by numpy, so that a seed gives a network the same start on every backend.
"""

import math
import random
from typing import Literal

import keras
import numpy as np
from keras import ops
from scipy.special import ndtr, ndtri

from dream_keras.nn import Tensor

register = keras.saving.register_keras_serializable(package="dream_keras")

Init = Literal["torch", "keras"]
"""Whose default initial weights a block has: Prix Fixe's are PyTorch's, Unlock_DNA's own model was
written in Keras."""

DEVIATION_WITHIN_TWO = 0.87962566103423978
"""Standard deviation of N(0, 1) without what is beyond -2 and 2."""


@register
class Uniform(keras.initializers.Initializer):
    """U(-limit, limit).

    Args:
        limit: The largest value.
    """

    def __init__(self, limit: float):
        self.limit = limit

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """Draw a weight of the given shape; each call gives another."""
        return _tensor(_generator().uniform(-self.limit, self.limit, shape), dtype)

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return {"limit": self.limit}


@register
class Normal(keras.initializers.Initializer):
    """N(0, deviation).

    Args:
        deviation: Standard deviation.
    """

    def __init__(self, deviation: float):
        self.deviation = deviation

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """Draw a weight of the given shape; each call gives another."""
        return _tensor(_generator().normal(0, self.deviation, shape), dtype)

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return {"deviation": self.deviation}


@register
class AutosomeInitializer(keras.initializers.Initializer):
    """The autosome team's initial weights: conv ~ N(0, sqrt(2 / (k * out))), dense ~ N(0, 0.001).

    ``out`` is the number of filters, not divided by the number of groups. Biases start at 0,
    which is the layers' own default. Source: Prix Fixe, autosome.org blocks.

    Examples:
        >>> kernel = AutosomeInitializer()((7, 4, 256))
        >>> round(float(ops.std(kernel)), 2), round(math.sqrt(2 / (7 * 256)), 2)
        (0.03, 0.03)
    """

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """Draw a kernel of shape (k, in, out) or (in, out)."""
        return Normal(math.sqrt(2 / (shape[0] * shape[-1])) if len(shape) == 3 else 0.001)(
            shape, dtype
        )


@register
class GlorotUniform(keras.initializers.Initializer):
    """Keras's default for dense and convolution layers: U(+-sqrt(6 / (fan_in + fan_out)))."""

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """Draw a kernel of shape (..., in, out)."""
        taps = math.prod(shape[:-2])
        return glorot(taps * shape[-2], taps * shape[-1])(shape, dtype)


@register
class GlorotNormal(keras.initializers.Initializer):
    """Keras's ``glorot_normal``: variance 2 / (fan_in + fan_out), cut off at two deviations."""

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """Draw a kernel of shape (..., in, out)."""
        return _cut_normal(2 / (math.prod(shape[:-2]) * (shape[-2] + shape[-1])), shape, dtype)


@register
class HeNormal(keras.initializers.Initializer):
    """Keras's ``he_normal``: variance 2 / fan_in, cut off at two deviations.

    Examples:
        >>> kernel = HeNormal()((30, 4, 256))
        >>> round(float(ops.std(kernel)), 2), round(math.sqrt(2 / (30 * 4)), 2)
        (0.13, 0.13)
    """

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """Draw a kernel of shape (..., in, out)."""
        return _cut_normal(2 / math.prod(shape[:-1]), shape, dtype)


@register
class Orthogonal(keras.initializers.Initializer):
    """Keras's default for the recurrent kernel of an LSTM: a matrix with orthonormal rows."""

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """Draw a matrix of shape (rows, columns), with no more rows than columns."""
        rows, triangle = np.linalg.qr(_generator().normal(size=shape[::-1]))
        return _tensor((rows * np.sign(np.diag(triangle))).T, dtype)


def glorot(fan_in: int, fan_out: int) -> Uniform:
    """Return Glorot's uniform initialiser for fans other than those of the weight's shape.

    Examples:
        >>> glorot(fan_in=4, fan_out=2).limit
        1.0
    """
    return Uniform(math.sqrt(6 / (fan_in + fan_out)))


def torch_uniform(fan_in: int) -> Uniform:
    """Return PyTorch's default for dense, convolution and LSTM: U(+-1/sqrt(fan_in)).

    Args:
        fan_in: Inputs that one output sums over; for an LSTM, its units.

    Examples:
        >>> torch_uniform(fan_in=4).limit
        0.5
    """
    return Uniform(1 / math.sqrt(fan_in))


def torch_init(fan_in: int, *, bias: bool = True) -> dict[str, object]:
    """Return the keyword arguments that give a dense or conv layer PyTorch's initial weights.

    Examples:
        >>> layer = keras.layers.Dense(8, **torch_init(fan_in=4))
        >>> layer.bias_initializer.limit
        0.5
    """
    weights: dict[str, object] = {"kernel_initializer": torch_uniform(fan_in)}
    return weights | ({"bias_initializer": torch_uniform(fan_in)} if bias else {"use_bias": False})


def dense_init(init: Init, fan_in: int, *, bias: bool = True) -> dict[str, object]:
    """Return a dense or conv layer's keyword arguments for PyTorch's or Keras's initial weights."""
    if init == "torch":
        return torch_init(fan_in, bias=bias)
    return {"kernel_initializer": GlorotUniform(), "use_bias": bias}


def lstm_init(init: Init, units: int) -> dict[str, object]:
    """Return an LSTM's keyword arguments for PyTorch's or Keras's initial weights.

    Keras's recurrent kernel is orthogonal, and its biases are 0, but 1 for the forget gate.
    """
    if init == "torch":
        weights = torch_uniform(units)
        names = ("kernel_initializer", "recurrent_initializer", "bias_initializer")
        return dict.fromkeys(names, weights) | {"unit_forget_bias": False}
    return {"kernel_initializer": GlorotUniform(), "recurrent_initializer": Orthogonal()}


def _cut_normal(variance: float, shape: tuple[int, ...], dtype: str | None) -> Tensor:
    """Draw from a normal distribution without its tails, with the variance of what is left."""
    drawn = ndtri(_generator().uniform(ndtr(-2), ndtr(2), shape))
    return _tensor(math.sqrt(variance) / DEVIATION_WITHIN_TWO * drawn, dtype)


def _tensor(drawn: np.ndarray, dtype: str | None) -> Tensor:
    return ops.convert_to_tensor(drawn, dtype or keras.config.floatx())


def _generator() -> np.random.Generator:
    """Return a generator that follows from ``keras.utils.set_random_seed``."""
    return np.random.default_rng(random.getrandbits(64))
