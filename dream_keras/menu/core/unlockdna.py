"""Core block of the UnlockDNA team: conformer layers, attention with convolution."""

from collections.abc import Callable

import keras

from dream_keras.layers import (
    AddPositionEmbedding,
    SelfAttention,
    SwiGLU,
    TorchUniform,
    named,
    torch_start,
)
from dream_keras.menu.registry import register

_LAYER = r"layer(\d+)_"
_BLOCK = r"blocks.\1."


@register(
    "core",
    "unlockdna",
    source="Prix Fixe, Unlock_DNA core layers",
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
) -> keras.KerasTensor:
    """Learned position embedding, then conformer layers; the width stays as it comes in.

    Args:
        x: (batch, length, channels).
        layers: Conformer layers; 4 as published.
        num_heads: Attention heads, which share the channels; the reference uses 4 whatever is
            asked of it.
        kernel_size: Of the depthwise convolution; 15 as published.
        expansion: The feed-forward part widens to this many times the channels before its gate
            halves them; 4 as published.
        dropout: In the convolution and feed-forward parts.

    Returns:
        (batch, length, channels).
    """
    x = AddPositionEmbedding(name="core_position")(x)
    for layer in range(layers):
        name = named(f"core_layer{layer}")
        x = _half_feed_forward(x, expansion, dropout, name, "ff1")
        h = keras.layers.LayerNormalization(epsilon=1e-6, name=name("conv_norm"))(x)
        x = keras.layers.Add(name=name("conv_add"))(
            [x, h, _convolution(h, kernel_size, dropout, name)]
        )
        # The published block normalises the stream itself here, not only a branch of it.
        x = keras.layers.LayerNormalization(epsilon=1e-6, name=name("attention_norm"))(x)
        attended = SelfAttention(num_heads, name=name("attention"))(x)
        x = keras.layers.Add(name=name("attention_add"))([x, attended])
        x = _half_feed_forward(x, expansion, dropout, name, "ff2")
    return x


def _convolution(
    x: keras.KerasTensor, kernel_size: int, dropout: float, name: Callable[[str], str]
) -> keras.KerasTensor:
    width = x.shape[-1]
    x = keras.layers.DepthwiseConv1D(
        kernel_size,
        padding="same",
        use_bias=False,
        depthwise_initializer=TorchUniform(kernel_size),
        name=name("depthwise"),
    )(x)
    x = keras.layers.Conv1D(
        width, 1, activation="relu", **torch_start(width), name=name("pointwise")
    )(x)
    return keras.layers.Dropout(dropout, name=name("conv_dropout"))(x)


def _half_feed_forward(
    x: keras.KerasTensor, expansion: int, dropout: float, name: Callable[[str], str], part: str
) -> keras.KerasTensor:
    """Return x + FF(x) / 2, FF = norm, dense, SwiGLU, dropout, dense, dropout."""
    width = x.shape[-1]
    inner = expansion * width // 2
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=name(f"{part}_norm"))(x)
    y = keras.layers.Dense(
        2 * inner, **torch_start(width, bias=False), name=name(f"{part}_expand")
    )(y)
    y = SwiGLU(name=name(f"{part}_gate"))(y)
    y = keras.layers.Dropout(dropout, name=name(f"{part}_inner_dropout"))(y)
    y = keras.layers.Dense(width, **torch_start(inner, bias=False), name=name(f"{part}_contract"))(
        y
    )
    y = keras.layers.Dropout(dropout, name=name(f"{part}_dropout"))(y)
    y = keras.layers.Rescaling(0.5, name=name(f"{part}_half"))(y)
    return keras.layers.Add(name=name(f"{part}_add"))([x, y])
