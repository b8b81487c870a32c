"""The transformer of Vaishnav et al., trained on yeast promoters before the challenge.

First, core, final block and trainer. Source: Vaishnav et al. (Nature 603:455, 2022), and the code
published with it, in TensorFlow 1: Keras's initial weights, and batch normalisation with its
momentum and epsilon. The defaults are those of the paper's notebook; the published weights for
complex and defined medium were trained with half the width, one convolution less and hardly any
dropout.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import keras
from keras import ops

from dream_keras.common.errors import at_least
from dream_keras.menu.registry import Head, register
from dream_keras.menu.trainer import Trainer
from dream_keras.nn import Tensor
from dream_keras.nn.initializers import GlorotNormal, HeNormal, Orthogonal
from dream_keras.nn.layers import keras_batch_norm, named
from dream_keras.nn.losses import TaskError, task_values
from dream_keras.nn.optimizers import RMSprop

SOURCE = "Vaishnav et al. 2022, transformer"
BASES = 4
"""Channels of the bases, in an order whose reverse is that of their complements: A, C, G, T or
A, G, C, T."""
EPSILON = 1e-14
"""Of the layer normalisations."""


@register(
    "first",
    "vaishnav_transformer",
    source=SOURCE,
    torch_names={
        "motifs": "motifs",
        "motifs_norm": "motifs_norm",
        "strands": "strands",
        "strands_norm": "strands_norm",
    },
    smoke={"out_channels": 24, "motifs": 16},
)
def vaishnav_first(
    x: keras.KerasTensor, out_channels: int = 128, motifs: int = 256, kernel_size: int = 30
) -> keras.KerasTensor:
    """Motifs looked for on both strands, then a convolution over the strands together.

    Each convolution has no bias, and batch normalisation and ReLU behind it.

    Args:
        x: (batch, length, channels); 110 positions and A, C, G, T as published. Channels behind
            the four bases are taken to be the same on both strands.
        out_channels: Filters of the second convolution; 128 in the notebook, 64 in the published
            weights.
        motifs: Filters of the first one, for each strand; 256 as published.
        kernel_size: Width of both; 30 as published.

    Returns:
        (batch, length, out_channels).
    """
    if x.shape[-1] < BASES:
        raise ValueError(f"{BASES} channels of bases are needed")
    x = BothStrandsConv1D(motifs, kernel_size, name="first_motifs")(x)
    x = _norm_relu(x, "first_motifs")
    return _conv_norm_relu(x, out_channels, kernel_size, "first_strands")


_LAYER = r"encoder(\d+)_"


@register(
    "core",
    "vaishnav_transformer",
    source=SOURCE,
    torch_names={
        r"conv(\d+)": r"conv.\1",
        r"conv(\d+)_norm": r"conv_norm.\1",
        rf"{_LAYER}(query|key|value|output|hidden|feed|norm\d)": r"encoder.\1.\2",
    },
    smoke={"layers": 1, "convolutions": 1},
)
def vaishnav_core(
    x: keras.KerasTensor,
    convolutions: int = 2,
    layers: int = 2,
    num_heads: int = 8,
    kernel_size: int = 30,
    dropout: float = 0.2,
) -> keras.KerasTensor:
    """Convolutions, then transformer layers without a code of the positions.

    Args:
        x: (batch, length, channels).
        convolutions: Their number, each with batch normalisation and ReLU; 2 in the notebook, 1 in
            the published weights.
        layers: Transformer layers; 2 as published.
        num_heads: Attention heads, and units of the feed-forward layer as well; 8 as published.
        kernel_size: Width of the convolutions; 30 as published.
        dropout: Behind attention and feed-forward layers; 0.2 in the notebook, 0 in the published
            weights.

    Returns:
        (batch, length, channels).
    """
    at_least(0, convolutions=convolutions, layers=layers)
    at_least(1, num_heads=num_heads)
    if x.shape[-1] % num_heads:
        raise ValueError(f"{x.shape[-1]} channels do not divide by num_heads={num_heads}")
    for index in range(convolutions):
        x = _conv_norm_relu(x, x.shape[-1], kernel_size, f"core_conv{index}")
    for layer in range(layers):
        x = _transformer_layer(x, num_heads, dropout, named(f"core_encoder{layer}"))
    return x


@register(
    "final",
    "vaishnav_transformer",
    source=SOURCE,
    head=Head(losses={"value": TaskError}, expression=task_values),
    torch_names={"lstm": "lstm", r"hidden(\d)": r"dense.\1", "values": "out"},
    smoke={"hidden": 16},
)
def vaishnav_final(
    x: keras.KerasTensor,
    tasks: int = 1,
    units: int = 8,
    hidden: int = 128,
    dropout: float = 0.2,
) -> keras.KerasTensor:
    """Bidirectional LSTM, flatten position by position, two dense layers with ReLU, the values.

    Args:
        x: (batch, length, channels); the length is part of the first dense layer's size.
        tasks: Measured values per sequence; 1 as published.
        units: Of the LSTM, per direction; 8 as published.
        hidden: Units of both dense layers; 128 in the notebook, 64 in the published weights.
        dropout: Of the LSTM's inputs, and behind it and each dense layer; 0.2 in the notebook,
            0.05 in the published weights.

    Returns:
        Values, (batch, tasks), float32.
    """
    at_least(1, tasks=tasks)
    start = {"kernel_initializer": HeNormal()}
    lstm = keras.layers.LSTM(
        units,
        recurrent_activation=hard_sigmoid,
        recurrent_initializer=Orthogonal(),
        dropout=dropout,
        return_sequences=True,
        **start,
        name="final_lstm_direction",
    )
    x = keras.layers.Bidirectional(lstm, name="final_lstm")(x)
    x = keras.layers.Dropout(dropout, name="final_lstm_dropout")(x)
    x = keras.layers.Flatten(name="final_flatten")(x)
    for index in range(2):
        name = f"final_hidden{index}"
        x = keras.layers.Dense(hidden, "relu", **start, name=name)(x)
        x = keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)
    return keras.layers.Dense(tasks, **start, name="final_values", dtype="float32")(x)


@register("trainer", "vaishnav_transformer", source=SOURCE)
@dataclass(frozen=True, kw_only=True)
class VaishnavTrainer(Trainer):
    """RMSprop at a constant rate.

    Attributes:
        l2: This times the sum of squares of each kernel is part of the loss; 0.0001 in the
            notebook, 0 for the published weights.
    """

    learning_rate: float = 0.001
    batch_size: int = 1024
    epochs: int = 100
    steps_per_epoch: int | None = None
    best: Literal["pearson", "mse"] = "mse"
    patience: int | None = 10
    l2: float = 0.0001

    def __post_init__(self) -> None:
        """Refuse numbers that no run can be made with."""
        super().__post_init__()
        at_least(0, l2=self.l2)

    def optimizer(self, total_steps: int) -> keras.optimizers.Optimizer:
        """Build the optimiser; it does not depend on ``total_steps``."""
        return RMSprop(self.learning_rate, l2=self.l2)


@keras.saving.register_keras_serializable(package="dream_keras")
def hard_sigmoid(x: Tensor) -> Tensor:
    """Return TensorFlow 1's default of LSTM gates, a line cut off at 0 and 1: slope 1/5, not 1/6.

    Examples:
        >>> ops.convert_to_numpy(hard_sigmoid(ops.array([-3.0, 0.0, 1.0]))).tolist()
        [0.0, 0.5, 0.699999988079071]
    """
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="dream_keras")
class BothStrandsConv1D(keras.layers.Layer):
    """Convolution, same padding, no bias, with each filter as it is and reverse-complemented.

    Args:
        filters: Their number.
        kernel_size: Their width.

    Examples:
        >>> layer = BothStrandsConv1D(3, 5)
        >>> tuple(layer(ops.ones((1, 10, 4))).shape), tuple(layer.kernel.shape)
        ((1, 10, 6), (5, 4, 3))
    """

    def __init__(self, filters: int, kernel_size: int, **kwargs: object):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the kernel for (batch, length, channels)."""
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, input_shape[-1], self.filters),
            initializer=HeNormal(),
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Turn (batch, length, channels) into (batch, length, 2 * filters): one strand's first."""
        turned = ops.flip(self.kernel, 0)
        complement = [ops.flip(turned[:, :BASES], 1), turned[:, BASES:]]
        kernel = ops.concatenate([self.kernel, ops.concatenate(complement, 1)], -1)
        return ops.conv(inputs, kernel, strides=1, padding="same")

    def multiply_adds(self, input_shape: tuple[int | None, ...]) -> int:
        """Return the multiply-adds per row: the kernel's weights, twice at each position."""
        return int(input_shape[1] or 0) * 2 * math.prod(self.kernel.shape)

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        config = super().get_config()
        return config | {"filters": self.filters, "kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable(package="dream_keras")
class HeadedAttention(keras.layers.Layer):
    """Scaled dot-product attention of heads that share the channels; no weights of its own.

    Args:
        num_heads: Heads; the channels must divide by it.

    Examples:
        >>> x = ops.ones((1, 10, 6))
        >>> tuple(HeadedAttention(2)(x, x, x).shape)
        (1, 10, 6)
    """

    def __init__(self, num_heads: int, **kwargs: object):
        super().__init__(**kwargs)
        self.num_heads = num_heads

    def call(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend among the positions; all are (batch, length, channels)."""
        length, width = query.shape[1:]
        size = width // self.num_heads
        query, key, value = (
            ops.reshape(part, (-1, length, self.num_heads, size)) for part in (query, key, value)
        )
        scores = ops.cast(ops.einsum("bqhc,bkhc->bhqk", query, key), "float32")
        shares = ops.cast(ops.softmax(scores * size**-0.5), value.dtype)
        return ops.reshape(ops.einsum("bhqk,bkhc->bqhc", shares, value), (-1, length, width))

    def compute_output_shape(
        self, query_shape: tuple[int | None, ...], *_: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the query's shape."""
        return query_shape

    def multiply_adds(self, input_shape: tuple[int | None, ...]) -> int:
        """Return the multiply-adds per row: each pair of positions costs each channel two."""
        _, length, width = input_shape
        return 2 * int(length or 0) ** 2 * int(width or 0)

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return super().get_config() | {"num_heads": self.num_heads}


def _transformer_layer(
    x: keras.KerasTensor, num_heads: int, dropout: float, name: Callable[[str], str]
) -> keras.KerasTensor:
    """Attention and a feed-forward layer, each added to its input and normalised behind that.

    As published, ReLU stands behind all four projections of the attention, and the feed-forward
    layer has as many units as there are heads.
    """
    width = x.shape[-1]

    def dense(
        x: keras.KerasTensor, units: int, part: str, activation: str | None = "relu"
    ) -> Tensor:
        start = {"kernel_initializer": GlorotNormal()}
        return keras.layers.Dense(units, activation, **start, name=name(part))(x)

    def added(x: keras.KerasTensor, y: keras.KerasTensor, number: int) -> keras.KerasTensor:
        y = keras.layers.Dropout(dropout, name=name(f"dropout{number}"))(y)
        y = keras.layers.Add(name=name(f"add{number}"))([x, y])
        return keras.layers.LayerNormalization(epsilon=EPSILON, name=name(f"norm{number}"))(y)

    parts = (dense(x, width, part) for part in ("query", "key", "value"))
    y = HeadedAttention(num_heads, name=name("attention"))(*parts)
    x = added(x, dense(y, width, "output"), 0)
    y = dense(x, num_heads, "hidden")
    return added(x, dense(y, width, "feed", activation=None), 1)


def _conv_norm_relu(
    x: keras.KerasTensor, filters: int, kernel_size: int, name: str
) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation, ReLU."""
    x = keras.layers.Conv1D(
        filters,
        kernel_size,
        padding="same",
        use_bias=False,
        kernel_initializer=HeNormal(),
        name=name,
    )(x)
    return _norm_relu(x, name)


def _norm_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.Activation("relu", name=f"{name}_relu")(keras_batch_norm(f"{name}_norm")(x))
