"""First block of the UnlockDNA team: an embedding of every k-mer, plus one of the strand."""

from typing import Any

import keras
from keras import ops

from dream_keras.initializers import Start, dense_start, glorot
from dream_keras.layers import AddPositionEmbedding, AddStrandEmbedding
from dream_keras.menu.registry import register


@register(
    "first",
    "unlockdna",
    source="Prix Fixe, Unlock_DNA first layers; Proformer for the options",
    torch_names={"kmer": "kmer_dense", "strand": "strand_embedding"},
)
def unlockdna(
    x: keras.KerasTensor,
    out_channels: int = 512,
    kmer: int = 10,
    pseudo_tokens: int = 0,
    position: bool = False,
    start: Start = "torch",
) -> keras.KerasTensor:
    """One dense layer on every window of ``kmer`` positions, plus a learned strand vector.

    The windows, flattened position by position, through one dense layer are a convolution: kernel
    (kmer, planes, out). Padding is (kmer - 1) // 2 zeros on the left and kmer // 2 on the right.

    Args:
        x: Planes, (batch, length, planes).
        out_channels: Width of the embedding; 512 as published.
        kmer: Positions in a window; 10 as published.
        pseudo_tokens: Positions put in front, which carry no base and from which the team's final
            block reads the expression; 32 in the team's own Proformer, 0 in Prix Fixe.
        position: Add a learned vector per base as well, as Proformer does; Prix Fixe adds it in
            the core block.
        start: Whose initial weights: PyTorch's as in Prix Fixe, or Keras's as in Proformer.

    Returns:
        (batch, pseudo_tokens + length, out_channels).
    """
    fan_in = kmer * x.shape[-1]
    weights = dense_start(start, fan_in)
    if start == "keras":
        # A dense layer on the windows; the fans of a convolution would count kmer twice.
        weights["kernel_initializer"] = glorot(fan_in, out_channels)
    x = keras.layers.Conv1D(out_channels, kmer, padding="same", **weights, name="first_kmer")(x)
    if position:
        x = AddPositionEmbedding(start, name="first_position")(x)
    x = AddStrandEmbedding(start, name="first_strand")(x)
    if pseudo_tokens:
        x = PseudoTokens(pseudo_tokens, start, name="first_tokens")(x)
    return x


@keras.saving.register_keras_serializable(package="dream_keras")
class PseudoTokens(keras.layers.Layer):
    """Put copies of one learned vector in front of the sequence.

    As submitted it is a dense layer on a constant zero: only the bias shows and learns, while the
    kernel stays as it starts. It is kept because the team's count of weights includes it.

    Args:
        count: Copies.
        start: PyTorch's initial weights, U(-1, 1) for a dense layer on one value, or Keras's,
            with the bias at 0.
    """

    def __init__(self, count: int, start: Start = "torch", **kwargs: Any):
        super().__init__(**kwargs)
        self.count = count
        self.start = start

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for (batch, length, channels)."""
        width, weights = input_shape[-1], dense_start(self.start, 1)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(1, width),
            initializer=weights["kernel_initializer"],
        )
        self.bias = self.add_weight(
            name="bias", shape=(width,), initializer=weights.get("bias_initializer", "zeros")
        )

    def call(self, inputs: Any) -> Any:
        """Turn (batch, length, channels) into (batch, count + length, channels)."""
        token = ops.zeros_like(inputs[:, :1]) * self.kernel + self.bias
        token = ops.cast(token, inputs.dtype)
        return ops.concatenate([ops.repeat(token, self.count, axis=1), inputs], axis=1)

    def multiply_adds(self, input_shape: tuple[int | None, ...]) -> int:
        """Return the multiply-adds per row: none, the vector is only copied."""
        return 0

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {"count": self.count, "start": self.start}
