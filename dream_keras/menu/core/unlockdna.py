"""Core block of the UnlockDNA team: conformer layers, attention with convolution."""

from collections.abc import Callable

import keras

from dream_keras.initializers import GlorotUniform, Start, dense_start, torch_uniform
from dream_keras.layers import AddPositionEmbedding, SelfAttention, SwiGLU, named
from dream_keras.menu.registry import register

_LAYER = r"layer(\d+)_"
_BLOCK = r"blocks.\1."


@register(
    "core",
    "unlockdna",
    source="Prix Fixe, Unlock_DNA core layers; Proformer for the options",
    torch_names={
        "position": "pos_embedding",
        f"{_LAYER}(ff[12])_norm": rf"{_BLOCK}\2.layernorm",
        f"{_LAYER}(ff[12])_expand": rf"{_BLOCK}\2.linear1",
        f"{_LAYER}(ff[12])_contract": rf"{_BLOCK}\2.linear2",
        f"{_LAYER}conv_norm": f"{_BLOCK}layernorm1",
        f"{_LAYER}depthwise": f"{_BLOCK}conv.0",
        f"{_LAYER}pointwise": f"{_BLOCK}conv.1",
        f"{_LAYER}attention_norm": f"{_BLOCK}layernorm2",
        f"{_LAYER}attention": f"{_BLOCK}attn",
    },
)
def unlockdna(
    x: keras.KerasTensor,
    layers: int = 4,
    num_heads: int = 4,
    kernel_size: int = 15,
    expansion: int = 4,
    dropout: float = 0.1,
    head_width: int | None = None,
    position: bool = True,
    plain_residual: bool = False,
    start: Start = "torch",
) -> keras.KerasTensor:
    """Learned position embedding, then conformer layers; the width stays as it comes in.

    Args:
        x: (batch, length, channels).
        layers: Conformer layers; 4 as published.
        num_heads: Attention heads; the reference implementation uses 4 whatever is asked of it,
            the team's own Proformer has 8.
        kernel_size: Of the depthwise convolution; 15 as published.
        expansion: The feed-forward part widens to this many times the channels before its gate
            halves them; 4 as published.
        dropout: In the convolution and feed-forward parts.
        head_width: Channels of each head; 512 in Proformer. None, as in Prix Fixe, lets the heads
            share the channels.
        position: Add the position embedding; Proformer does so in its first block.
        plain_residual: Add only the convolution's result to the stream, as Proformer does; Prix
            Fixe adds the convolution's normalised input once more.
        start: Whose initial weights: PyTorch's as in Prix Fixe, or Keras's as in Proformer.

    Returns:
        (batch, length, channels).
    """
    if position:
        x = AddPositionEmbedding(start, name="core_position")(x)
    for layer in range(layers):
        name = named(f"core_layer{layer}")
        x = _half_feed_forward(x, expansion, dropout, start, name, "ff1")
        h = keras.layers.LayerNormalization(epsilon=1e-6, name=name("conv_norm"))(x)
        convolved = _convolution(h, kernel_size, dropout, start, name)
        terms = [x, convolved] if plain_residual else [x, h, convolved]
        x = keras.layers.Add(name=name("conv_add"))(terms)
        # The published block normalises the stream itself here, not only a branch of it.
        x = keras.layers.LayerNormalization(epsilon=1e-6, name=name("attention_norm"))(x)
        attended = SelfAttention(num_heads, head_width, start, name=name("attention"))(x)
        x = keras.layers.Add(name=name("attention_add"))([x, attended])
        x = _half_feed_forward(x, expansion, dropout, start, name, "ff2")
    return x


def _convolution(
    x: keras.KerasTensor,
    kernel_size: int,
    dropout: float,
    start: Start,
    name: Callable[[str], str],
) -> keras.KerasTensor:
    width = x.shape[-1]
    x = keras.layers.DepthwiseConv1D(
        kernel_size,
        padding="same",
        use_bias=False,
        depthwise_initializer=torch_uniform(kernel_size) if start == "torch" else GlorotUniform(),
        name=name("depthwise"),
    )(x)
    x = keras.layers.Conv1D(
        width, 1, activation="relu", **dense_start(start, width), name=name("pointwise")
    )(x)
    return keras.layers.Dropout(dropout, name=name("conv_dropout"))(x)


def _half_feed_forward(
    x: keras.KerasTensor,
    expansion: int,
    dropout: float,
    start: Start,
    name: Callable[[str], str],
    part: str,
) -> keras.KerasTensor:
    """Return x + FF(x) / 2, FF = norm, dense, SwiGLU, dropout, dense, dropout."""
    width = x.shape[-1]
    inner = expansion * width // 2
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=name(f"{part}_norm"))(x)
    y = keras.layers.Dense(
        2 * inner, **dense_start(start, width, bias=False), name=name(f"{part}_expand")
    )(y)
    y = SwiGLU(name=name(f"{part}_gate"))(y)
    y = keras.layers.Dropout(dropout, name=name(f"{part}_inner_dropout"))(y)
    y = keras.layers.Dense(
        width, **dense_start(start, inner, bias=False), name=name(f"{part}_contract")
    )(y)
    y = keras.layers.Dropout(dropout, name=name(f"{part}_dropout"))(y)
    y = keras.layers.Rescaling(0.5, name=name(f"{part}_half"))(y)
    return keras.layers.Add(name=name(f"{part}_add"))([x, y])
