"""Layers shared by the blocks, written with ``keras.ops``.

Shapes are channels-last, ``(batch, length, channels)``. Every argument of a layer is an attribute
of the same name and part of its config.
"""

import math
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from dream_keras.nn import Tensor
from dream_keras.nn.initializers import (
    GlorotUniform,
    Init,
    Normal,
    Uniform,
    glorot,
    lstm_init,
    torch_uniform,
)

register = keras.saving.register_keras_serializable(package="dream_keras")


@register
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation as PyTorch does it: momentum 0.1 (0.9 here), epsilon 1e-5.

    PyTorch normalises with the batch's variance over n values but keeps a running average of the
    variance over n - 1; Keras keeps the former. The difference shows in evaluation.

    Args:
        momentum: Share of the running averages that is kept in a step, Keras's sense of the word.
        epsilon: Added to the variance.
        unbiased: Keep the variance over n - 1; otherwise the one over n, as Keras does.
        **kwargs: Those of ``keras.layers.BatchNormalization``.
    """

    def __init__(
        self,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        unbiased: bool = True,
        **kwargs: object,
    ):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        self.unbiased = unbiased

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Normalise (batch, length, channels) over batch and length."""
        if not (training and self.trainable and self.unbiased):
            return super().call(inputs, training=training, mask=mask)
        kept = ops.multiply(self.moving_variance, self.momentum)
        outputs = super().call(inputs, training=training, mask=mask)
        count = ops.cast(ops.prod(ops.shape(inputs)[:-1]), kept.dtype) * self._replicas()
        added = ops.subtract(self.moving_variance, kept)
        self.moving_variance.assign(kept + added * (count / ops.maximum(count - 1, 1)))
        return outputs

    def _replicas(self) -> int:
        if not (self.synchronized and keras.backend.backend() == "tensorflow"):
            return 1
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments; what is the default is left out, as it always was."""
        return super().get_config() | ({} if self.unbiased else {"unbiased": False})


@register
class GroupedConv1D(keras.layers.Layer):
    """Grouped convolution, same padding, stride 1, no bias, as depthwise convolutions.

    Every group reads and writes ``channels_per_group`` channels. Each output channel is a sum over
    its group's input channels: of its own, of the next one, and so on around the group. Each term
    is a depthwise convolution of the input with its channels turned within their groups. This
    needs no XLA, which Keras wraps around grouped convolutions on TensorFlow; on a CPU it is about
    2.5 times as fast as PyTorch's grouped convolution, forward and backward, and 3 times as fast as
    one depthwise convolution with a channel multiplier. The kernel has the grouped convolution's
    own shape, (k, channels_per_group, channels).

    Args:
        kernel_size: k.
        channels_per_group: Channels in a group; must divide the number of channels.
        kernel_initializer: Initialiser of the kernel; Glorot's uniform one by default.

    Examples:
        >>> layer = GroupedConv1D(kernel_size=3)
        >>> tuple(layer(ops.ones((1, 10, 8))).shape), tuple(layer.kernel.shape)
        ((1, 10, 8), (3, 2, 8))
    """

    def __init__(
        self,
        kernel_size: int,
        channels_per_group: int = 2,
        kernel_initializer: keras.initializers.Initializer | dict[str, object] | None = None,
        **kwargs: object,
    ):
        super().__init__(**kwargs)
        self.kernel_size = kernel_size
        self.channels_per_group = channels_per_group
        self.kernel_initializer = keras.initializers.get(kernel_initializer or GlorotUniform())

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the kernel for (batch, length, channels)."""
        channels = int(input_shape[-1] or 0)
        if channels % self.channels_per_group:
            raise ValueError(f"{channels} channels do not divide by {self.channels_per_group}")
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.channels_per_group, channels),
            initializer=self.kernel_initializer,
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Convolve (batch, length, channels) to the same shape."""
        terms = []
        for turn in range(self.channels_per_group):
            x, kernel = self.turned(inputs, turn), self.turned_kernel(turn)
            terms.append(ops.depthwise_conv(x, kernel, strides=1, padding="same"))
        return sum(terms[1:], terms[0])

    def turned(self, inputs: Tensor, turn: int) -> Tensor:
        """Return (batch, length, channels) with the channels turned within their groups."""
        if not turn:
            return inputs
        length, channels = inputs.shape[1:]
        per_group = self.channels_per_group
        x = ops.reshape(inputs, (-1, length, channels // per_group, per_group))
        # Turning a pair is flipping it, which costs far less than a roll.
        x = ops.flip(x, -1) if per_group == 2 else ops.roll(x, -turn, axis=-1)
        return ops.reshape(x, (-1, length, channels))

    def turned_kernel(self, turn: int) -> Tensor:
        """Return what the channels that are turned by ``turn`` are convolved with.

        Output o of a group reads the group's input (o + turn) mod channels_per_group.

        Returns:
            (k, channels, 1), for a depthwise convolution.
        """
        size, per_group, channels = self.kernel.shape
        kernel = ops.reshape(self.kernel, (size, per_group, channels // per_group, per_group))
        reads = np.roll(np.eye(per_group, dtype=np.float32), turn, axis=0)
        mask = ops.cast(reads[:, None, :], kernel.dtype)
        return ops.reshape(ops.sum(kernel * mask, axis=1), (size, channels, 1))

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return super().get_config() | {
            "kernel_size": self.kernel_size,
            "channels_per_group": self.channels_per_group,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


class AddEmbedding(keras.layers.Layer):
    """Base of the layers that add a learned table.

    Args:
        init: PyTorch's initial weights, N(0, 1), or Keras's, U(-0.05, 0.05).
    """

    def __init__(self, init: Init = "torch", **kwargs: object):
        super().__init__(**kwargs)
        self.init = init

    def _add_table(self, *shape: int | None) -> None:
        weights = Normal(1) if self.init == "torch" else Uniform(0.05)
        self.embedding = self.add_weight(name="embedding", shape=shape, initializer=weights)

    def multiply_adds(self, input_shape: tuple[int | None, ...]) -> int:
        """Return the multiply-adds per row: none, a table is only added."""
        return 0

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return super().get_config() | {"init": self.init}


@register
class AddPositionEmbedding(AddEmbedding):
    """Add a learned vector per position, shape (length, channels)."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the table for (batch, length, channels)."""
        self._add_table(*input_shape[1:])

    def call(self, inputs: Tensor) -> Tensor:
        """Return the inputs plus the table."""
        return inputs + ops.cast(self.embedding, inputs.dtype)


class _TwoBiasCell(keras.layers.LSTMCell):
    """An LSTM cell whose bias is the sum of two weights."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.recurrent_bias = self.add_weight(
            name="recurrent_bias", shape=(4 * self.units,), initializer=self.bias_initializer
        )

    @property
    def bias(self) -> Tensor:
        return ops.add(self.input_bias, self.recurrent_bias)

    @bias.setter
    def bias(self, weight: keras.Variable) -> None:
        self.input_bias = weight


@register
class TorchLSTM(keras.layers.LSTM):
    """An LSTM that trains as PyTorch's does: two biases per gate, initial U(+-1/sqrt(units)).

    Both biases get the same gradient, so under Adam their sum moves twice as far in a step as the
    one bias of Keras would; that changes what is learnt, so both are kept.

    Args:
        units: Of the state.
        return_sequences: As in Keras.
        go_backwards: As in Keras.
        init: PyTorch's initial weights or Keras's; see ``lstm_init``.
        **kwargs: Those of ``keras.layers.RNN``.
    """

    def __init__(
        self,
        units: int,
        return_sequences: bool = False,
        go_backwards: bool = False,
        init: Init = "torch",
        **kwargs: object,
    ):
        cell = _TwoBiasCell(
            units,
            **lstm_init(init, units),
            dtype=kwargs.get("dtype"),
            name="lstm_cell",
        )
        # LSTM's own constructor makes its cell and takes no other; what is wanted of LSTM is its
        # loop, which uses cuDNN where it can.
        keras.layers.RNN.__init__(
            self, cell, return_sequences=return_sequences, go_backwards=go_backwards, **kwargs
        )
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.use_cudnn = "auto"
        self.init = init

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        config = super().get_config()
        kept = ("name", "trainable", "dtype", "units", "return_sequences", "go_backwards")
        return {key: config[key] for key in kept} | {"init": self.init}


@register
class SwiGLU(keras.layers.Layer):
    """Gate: the first half of the channels times the SiLU of the second half.

    Examples:
        >>> tuple(SwiGLU()(ops.ones((1, 10, 8))).shape)
        (1, 10, 4)
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Turn (batch, length, 2 * channels) into (batch, length, channels)."""
        value, gate = ops.split(inputs, 2, axis=-1)
        return value * ops.silu(gate)


@register
class SelfAttention(keras.layers.Layer):
    """Multi-head self-attention over the positions, as PyTorch's ``MultiheadAttention``.

    Query, key and value come from one matrix; all projections have biases.

    Args:
        num_heads: Heads.
        head_width: Channels of each head. None lets the heads share the input's channels, whose
            number must then divide by ``num_heads``.
        init: PyTorch's initial weights: the input projection Xavier-uniform over its whole
            matrix, the output projection U(+-1/sqrt(its inputs)). Or those of Keras's
            ``MultiHeadAttention`` in 2022. Biases start at 0 in both.

    Examples:
        >>> layer = SelfAttention(num_heads=2, head_width=4)
        >>> tuple(layer(ops.ones((1, 10, 6))).shape), tuple(layer.in_kernel.shape)
        ((1, 10, 6), (6, 24))
    """

    def __init__(
        self,
        num_heads: int,
        head_width: int | None = None,
        init: Init = "torch",
        **kwargs: object,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.head_width = head_width
        self.init = init

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for (batch, length, channels)."""
        width, heads = int(input_shape[-1] or 0), self.num_heads
        if self.head_width is None and width % heads:
            raise ValueError(f"{width} channels do not divide by num_heads={heads}")
        size = width // heads if self.head_width is None else self.head_width
        inner = heads * size
        if self.init == "torch":
            into, out = glorot(width, 3 * inner), torch_uniform(inner)
        else:
            # Keras took its kernels (width, heads, size) and (heads, size, width) for those of
            # convolutions, whose first axis is in both fans, until 2026 (keras #22789).
            into, out = glorot(width * heads, width * size), glorot(inner, heads * width)
        self.in_kernel = self.add_weight(
            name="in_kernel", shape=(width, 3 * inner), initializer=into
        )
        self.in_bias = self.add_weight(name="in_bias", shape=(3 * inner,), initializer="zeros")
        self.out_kernel = self.add_weight(name="out_kernel", shape=(inner, width), initializer=out)
        self.out_bias = self.add_weight(name="out_bias", shape=(width,), initializer="zeros")

    def call(self, inputs: Tensor) -> Tensor:
        """Attend among the positions of (batch, length, channels); same shape out.

        One head after another, each with its own part of the weights. With all heads in one array,
        as ``keras.ops.dot_product_attention`` wants them, rearranging them takes a CPU as long as
        the products; parts cut from the projected rows cost a TPU twice the memory traffic.
        """
        heads = self.num_heads
        scale = (self.out_kernel.shape[0] // heads) ** -0.5
        kernels = ops.split(self.in_kernel, 3 * heads, axis=1)
        biases = ops.split(self.in_bias, 3 * heads)
        found = []
        for head in range(heads):
            query, key, value = (
                ops.matmul(inputs, kernels[part]) + biases[part]
                for part in (head, heads + head, 2 * heads + head)
            )
            scores = ops.matmul(query, ops.transpose(key, (0, 2, 1)))
            shares = ops.softmax(ops.cast(scores, "float32") * scale)
            found.append(ops.matmul(ops.cast(shares, value.dtype), value))
        return ops.matmul(ops.concatenate(found, axis=-1), self.out_kernel) + self.out_bias

    def multiply_adds(self, input_shape: tuple[int | None, ...]) -> int:
        """Return the multiply-adds per row of (batch, length, channels), built.

        Beside the projections, each pair of positions costs each channel of the heads two: one
        for the pair's score and one for the sum of the values.
        """
        length, inner = int(input_shape[1] or 0), self.out_kernel.shape[0]
        weights = math.prod(self.in_kernel.shape) + math.prod(self.out_kernel.shape)
        return length * weights + 2 * length**2 * inner

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return super().get_config() | {
            "num_heads": self.num_heads,
            "head_width": self.head_width,
            "init": self.init,
        }


def batch_norm(
    name: str, momentum: float = 0.9, epsilon: float = 1e-5, unbiased: bool = True
) -> BatchNormalization:
    """Make the batch normalisation that the blocks use, synchronised between replicas."""
    replicas = 1
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return BatchNormalization(momentum, epsilon, unbiased, synchronized=replicas > 1, name=name)


def keras_batch_norm(name: str) -> BatchNormalization:
    """Make it with Keras's own momentum and epsilon, for networks that were published in Keras."""
    return batch_norm(name, momentum=0.99, epsilon=1e-3)


def check_length(x: keras.KerasTensor, positions: int) -> None:
    """Refuse an input that is shorter than a block's convolutions and pools need.

    Args:
        x: (batch, length, channels).
        positions: The smallest length.

    Raises:
        ValueError: If it is shorter.

    Examples:
        >>> check_length(keras.KerasTensor((None, 5, 4)), 8)
        Traceback (most recent call last):
            ...
        ValueError: at least 8 positions are needed
    """
    if x.shape[1] < positions:
        raise ValueError(f"at least {positions} positions are needed")


def named(prefix: str) -> Callable[[str], str]:
    """Return a function that prefixes a layer name with ``prefix_``.

    Examples:
        >>> named("core_stage0")("expand")
        'core_stage0_expand'
    """
    return lambda name: f"{prefix}_{name}"
