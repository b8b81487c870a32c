"""The UnlockDNA team (Proformer): all five slots.

Source: Prix Fixe, Unlock_DNA blocks; Kwak et al., Proformer (BMC Bioinformatics 25:81,
2024) for the options.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import keras
import numpy as np
from keras import ops

from dream_keras.common.errors import UserError, at_least
from dream_keras.data import alphabet, yeast
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Lengths, ScalingProcessor, one_hot
from dream_keras.menu.registry import PRIX_FIXE, Head, register
from dream_keras.menu.trainer import Trainer
from dream_keras.nn import Tensor, Tensors
from dream_keras.nn.initializers import (
    GlorotUniform,
    Init,
    dense_init,
    glorot,
    torch_uniform,
)
from dream_keras.nn.layers import (
    AddEmbedding,
    AddPositionEmbedding,
    SelfAttention,
    SwiGLU,
    named,
)
from dream_keras.nn.losses import ExpressionError, MaskedError, expression_output
from dream_keras.nn.optimizers import ClippedAdam
from dream_keras.nn.schedules import WarmUp

CHANNELS = (alphabet.A, alphabet.C, alphabet.G, alphabet.T, alphabet.N, alphabet.MASK)
"""The team's tokens 0 to 5 are channels 0 to 5."""


@register(
    "processor",
    "unlockdna",
    source="Prix Fixe, Unlock_DNA data processor; Proformer",
    collection=PRIX_FIXE,
)
class UnlockDNAProcessor(ScalingProcessor):
    """200 tokens: the insert in the middle of 100, then the reverse complement of these 100.

    Channels: one-hot A, C, G, T, N, M. The adapters are cut off and the insert is padded with N on
    both sides, an odd N on the right. In training some bases are masked (M), on each strand for
    itself, for a final block that is asked for them. The target is the label minus the mean of
    the training labels, divided by their standard deviation. Longer inserts do not fit: the team
    left such rows out (``data.long_rows=drop``).

    Args:
        insert_length: Longest insert in bp; 100 as published.
        head: bp cut off in front; 17, the left adapter, in the team's own code. The reference
            implementation's default is 20.
        tail: bp cut off behind; 13, the right adapter, in the team's own code. The reference
            implementation's default is 20.
        mask_rate: Share of the bases masked in training; 0.05 in the team's own code, 0.2 in the
            reference implementation.
        label_mean: Mean of the training labels of each task; None takes it from them.
        label_std: Their standard deviations; None takes them from the labels.
    """

    channels = 6
    targets = ("masked", "value", "label")
    strands = "input"
    length_option = "insert_length"
    label_ranges = MappingProxyType({"label": yeast.BIN_RANGE})

    def __init__(
        self,
        insert_length: int = 100,
        head: int = 17,
        tail: int = 13,
        mask_rate: float = 0.05,
        label_mean: tuple[float, ...] | None = None,
        label_std: tuple[float, ...] | None = None,
    ):
        at_least(1, insert_length=insert_length)
        at_least(0, head=head, tail=tail)
        if not 0 <= mask_rate <= 1:
            raise UserError(f"mask_rate: expected a share between 0 and 1, got {mask_rate}")
        self.insert_length = insert_length
        self.head = head
        self.tail = tail
        self.mask_rate = mask_rate
        self.label_mean = label_mean
        self.label_std = label_std
        self.length = 2 * insert_length
        self.max_length = head + insert_length + tail
        self.left_adapter = alphabet.encode(yeast.LEFT_ADAPTER)
        self.right_adapter = alphabet.encode(yeast.RIGHT_ADAPTER)
        self.cuts_adapters = head + tail > 0

    @property
    def label_center(self) -> tuple[float, ...]:
        """The mean of the training labels."""
        return self.label_mean or (0.0,)

    def encode(self, tokens: Tokens, lengths: Lengths) -> Tokens:
        """Cut the adapters off, pad with N, append the reverse complement.

        Shapes as in ``Processor.encode``. Rows of the same length are done together.
        """
        first = np.full((len(tokens), self.insert_length), alphabet.N, np.uint8)
        for length in np.unique(lengths):
            rows = lengths == length
            inner = int(np.clip(length - self.head - self.tail, 0, self.insert_length))
            start = (self.insert_length - inner) // 2
            first[rows, start : start + inner] = tokens[rows, self.head : self.head + inner]
        return np.concatenate([first, alphabet.reverse_complement(first)], axis=1)

    def edit(self, tokens: Tokens, change: Callable[[Tokens], Tokens]) -> Tokens:
        """Change the first half of the rows; the second becomes its reverse complement."""
        first = change(tokens[:, : self.insert_length])
        return np.concatenate([first, alphabet.reverse_complement(first)], axis=1)

    def training_view(self, tokens: Tokens, random: np.random.Generator) -> Tokens:
        """Mark the bases to be masked; an N never is one."""
        masked = random.random(tokens.shape, np.float32) < self.mask_rate
        return np.where(masked & (tokens != alphabet.N), tokens + alphabet.MASKED, tokens)

    def make_channels(self, tokens: Tensor, strand: Tensor, flags: Tensor) -> Tensor:
        """Make the six channels; shapes as in ``Processor.make_channels``."""
        tokens = ops.cast(tokens, "int32")
        return one_hot(ops.where(tokens >= alphabet.MASKED, alphabet.MASK, tokens), CHANNELS)

    def check_outputs(self, outputs: Mapping[str, keras.KerasTensor], target_type: str) -> None:
        """Refuse logits for more positions than the input has."""
        if target_type == "masked" and outputs["nucleotides"].shape[1] > self.length:
            raise UserError(
                f"the final block predicts the bases of {outputs['nucleotides'].shape[1]} "
                f"positions, the input has {self.length}: set model.final.sequence_length to "
                f"{self.length}"
            )

    def make_target(self, labels: Tensor, tokens: Tensor, target_type: str) -> Tensors:
        """Return scaled labels; for ``"masked"`` also which base stands where and was masked.

        For ``"masked"``: ``"value"``, (batch, tasks), ``"bases"`` and ``"masked"``, (batch,
        length).
        """
        if target_type != "masked":
            return super().make_target(labels, tokens, target_type)
        tokens = ops.cast(tokens, "int32")
        return {
            "value": super().make_target(labels, tokens, "value"),
            "bases": tokens % alphabet.MASKED,
            "masked": ops.cast(tokens >= alphabet.MASKED, "float32"),
        }


@register(
    "first",
    "unlockdna",
    source="Prix Fixe, Unlock_DNA first layers; Proformer for the options",
    torch_names={"kmer": "kmer_dense", "strand": "strand_embedding"},
    collection=PRIX_FIXE,
    smoke={"out_channels": 24, "pseudo_tokens": 4},
)
def unlockdna_first(
    x: keras.KerasTensor,
    out_channels: int = 512,
    kmer: int = 10,
    pseudo_tokens: int = 0,
    position: bool = False,
    init: Init = "torch",
) -> keras.KerasTensor:
    """One dense layer on every window of ``kmer`` positions, plus a learned strand vector.

    The windows, flattened position by position, through one dense layer are a convolution: kernel
    (kmer, channels, out). Padding is (kmer - 1) // 2 zeros on the left and kmer // 2 on the right.

    Args:
        x: (batch, length, channels).
        out_channels: Width of the embedding; 512 as published.
        kmer: Positions in a window; 10 as published.
        pseudo_tokens: Positions put in front, which carry no base and from which the team's final
            block reads the expression; 32 in the team's own Proformer, 0 in Prix Fixe.
        position: Add a learned vector per base as well, as Proformer does; Prix Fixe adds it in
            the core block.
        init: Whose initial weights: PyTorch's as in Prix Fixe, or Keras's as in Proformer.

    Returns:
        (batch, pseudo_tokens + length, out_channels).
    """
    fan_in = kmer * x.shape[-1]
    weights = dense_init(init, fan_in)
    if init == "keras":
        # A dense layer on the windows; the fans of a convolution would count kmer twice.
        weights["kernel_initializer"] = glorot(fan_in, out_channels)
    x = keras.layers.Conv1D(out_channels, kmer, padding="same", **weights, name="first_kmer")(x)
    if position:
        x = AddPositionEmbedding(init, name="first_position")(x)
    x = AddStrandEmbedding(init, name="first_strand")(x)
    if pseudo_tokens:
        x = PseudoTokens(pseudo_tokens, init, name="first_tokens")(x)
    return x


@keras.saving.register_keras_serializable(package="dream_keras")
class AddStrandEmbedding(AddEmbedding):
    """Add one learned vector to the first half of the positions and another to the second."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the table, shape (2, channels)."""
        self._add_table(2, input_shape[-1])

    def call(self, inputs: Tensor) -> Tensor:
        """Return (batch, length, channels) plus the vector of each position's half."""
        length, width = inputs.shape[1:]
        # Not a lookup: TensorFlow gives a gradient of slices for one, of which Keras's Adam squares
        # each by itself instead of their sum.
        halves = [
            ops.broadcast_to(self.embedding[strand], (positions, width))
            for strand, positions in enumerate((length // 2, length - length // 2))
        ]
        return inputs + ops.cast(ops.concatenate(halves), inputs.dtype)


@keras.saving.register_keras_serializable(package="dream_keras")
class PseudoTokens(keras.layers.Layer):
    """Put copies of one learned vector in front of the sequence.

    As submitted it is a dense layer on a constant zero: only the bias shows and learns, while the
    kernel stays as it starts. It is kept because the team's count of weights includes it.

    Args:
        count: Copies.
        init: PyTorch's initial weights, U(-1, 1) for a dense layer on one value, or Keras's,
            with the bias at 0.
    """

    def __init__(self, count: int, init: Init = "torch", **kwargs: object):
        super().__init__(**kwargs)
        self.count = count
        self.init = init

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for (batch, length, channels)."""
        width, weights = input_shape[-1], dense_init(self.init, 1)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(1, width),
            initializer=weights["kernel_initializer"],
        )
        self.bias = self.add_weight(
            name="bias", shape=(width,), initializer=weights.get("bias_initializer", "zeros")
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Turn (batch, length, channels) into (batch, count + length, channels)."""
        token = ops.zeros_like(inputs[:, :1]) * self.kernel + self.bias
        token = ops.cast(token, inputs.dtype)
        return ops.concatenate([ops.repeat(token, self.count, axis=1), inputs], axis=1)

    def multiply_adds(self, input_shape: tuple[int | None, ...]) -> int:
        """Return the multiply-adds per row: none, the vector is only copied."""
        return 0

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return super().get_config() | {"count": self.count, "init": self.init}


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
    collection=PRIX_FIXE,
    smoke={"layers": 1, "head_width": 8},
)
def unlockdna_core(
    x: keras.KerasTensor,
    layers: int = 4,
    num_heads: int = 4,
    kernel_size: int = 15,
    expansion: int = 4,
    dropout: float = 0.1,
    head_width: int | None = None,
    position: bool = True,
    plain_residual: bool = False,
    init: Init = "torch",
) -> keras.KerasTensor:
    """Learned position embedding, then conformer layers of the input's width.

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
        init: Whose initial weights: PyTorch's as in Prix Fixe, or Keras's as in Proformer.

    Returns:
        (batch, length, channels).
    """
    if position:
        x = AddPositionEmbedding(init, name="core_position")(x)
    for layer in range(layers):
        name = named(f"core_layer{layer}")
        x = _half_feed_forward(x, expansion, dropout, init, name, "ff1")
        h = keras.layers.LayerNormalization(epsilon=1e-6, name=name("conv_norm"))(x)
        convolved = _convolution(h, kernel_size, dropout, init, name)
        terms = [x, convolved] if plain_residual else [x, h, convolved]
        x = keras.layers.Add(name=name("conv_add"))(terms)
        # The published block normalises the stream itself here, not only a branch of it.
        x = keras.layers.LayerNormalization(epsilon=1e-6, name=name("attention_norm"))(x)
        attended = SelfAttention(num_heads, head_width, init, name=name("attention"))(x)
        x = keras.layers.Add(name=name("attention_add"))([x, attended])
        x = _half_feed_forward(x, expansion, dropout, init, name, "ff2")
    return x


def _convolution(
    x: keras.KerasTensor,
    kernel_size: int,
    dropout: float,
    init: Init,
    name: Callable[[str], str],
) -> keras.KerasTensor:
    width = x.shape[-1]
    x = keras.layers.DepthwiseConv1D(
        kernel_size,
        padding="same",
        use_bias=False,
        depthwise_initializer=torch_uniform(kernel_size) if init == "torch" else GlorotUniform(),
        name=name("depthwise"),
    )(x)
    x = keras.layers.Conv1D(
        width, 1, activation="relu", **dense_init(init, width), name=name("pointwise")
    )(x)
    return keras.layers.Dropout(dropout, name=name("conv_dropout"))(x)


def _half_feed_forward(
    x: keras.KerasTensor,
    expansion: int,
    dropout: float,
    init: Init,
    name: Callable[[str], str],
    part: str,
) -> keras.KerasTensor:
    """Return x + FF(x) / 2, FF = norm, dense, SwiGLU, dropout, dense, dropout."""
    width = x.shape[-1]
    inner = expansion * width // 2
    y = keras.layers.LayerNormalization(epsilon=1e-6, name=name(f"{part}_norm"))(x)
    y = keras.layers.Dense(
        2 * inner, **dense_init(init, width, bias=False), name=name(f"{part}_expand")
    )(y)
    y = SwiGLU(name=name(f"{part}_gate"))(y)
    y = keras.layers.Dropout(dropout, name=name(f"{part}_inner_dropout"))(y)
    y = keras.layers.Dense(
        width, **dense_init(init, inner, bias=False), name=name(f"{part}_contract")
    )(y)
    y = keras.layers.Dropout(dropout, name=name(f"{part}_dropout"))(y)
    y = keras.layers.Rescaling(0.5, name=name(f"{part}_half"))(y)
    return keras.layers.Add(name=name(f"{part}_add"))([x, y])


@register(
    "final",
    "unlockdna",
    source="Prix Fixe, Unlock_DNA final layers",
    head=Head(
        losses={"masked": MaskedError, "value": ExpressionError}, expression=expression_output
    ),
    torch_names={"expression": "expression_dense", "nucleotides": "nucleotide_dense"},
    collection=PRIX_FIXE,
    smoke={"num_projectors": 4},
)
def unlockdna_final(
    x: keras.KerasTensor,
    num_projectors: int = 32,
    nucleotides: int = 5,
    sequence_length: int | None = None,
    dropout: float = 0.2,
    init: Init = "torch",
) -> dict[str, keras.KerasTensor]:
    """Expression from the first positions, nucleotide logits for the last ones.

    Args:
        x: (batch, length, channels).
        num_projectors: Leading positions whose values are averaged.
        nucleotides: Classes of the logits: 5 (A, C, G, T, N), or 6 with the mask.
        sequence_length: Trailing positions that get logits; all positions when None.
        dropout: Before the expression's dense layer; 0.2 as published, 0.1 in the team's own
            Proformer.
        init: Whose initial weights: PyTorch's as in Prix Fixe, or Keras's as in Proformer.

    Returns:
        ``"expression"``, (batch, 1), and ``"nucleotides"``, (batch, sequence_length,
        nucleotides), both float32.
    """
    length, width = x.shape[1:]
    averaged, kept = min(num_projectors, length), sequence_length or length
    y = keras.layers.Cropping1D((0, length - averaged), name="final_projectors")(x)
    y = keras.layers.Dropout(dropout, name="final_dropout")(y)
    y = keras.layers.Dense(1, **dense_init(init, width), name="final_expression", dtype="float32")(
        y
    )
    y = keras.layers.GlobalAveragePooling1D(name="final_mean", dtype="float32")(y)
    z = keras.layers.Cropping1D((length - kept, 0), name="final_sequence")(x)
    z = keras.layers.Dense(
        nucleotides, **dense_init(init, width), name="final_nucleotides", dtype="float32"
    )(z)
    return {"expression": y, "nucleotides": z}


@register(
    "trainer",
    "unlockdna",
    source="Prix Fixe, Unlock_DNA trainer; Proformer",
    collection=PRIX_FIXE,
)
@dataclass(frozen=True, kw_only=True)
class UnlockDNATrainer(Trainer):
    """Adam with beta 0.9 and 0.98; the rate rises linearly, then falls with the root of the step.

    At step n, counted from 1, the rate is d^-0.5 * min(n^-0.5, n * warmup_steps^-1.5), d being
    the width of the network; its maximum stands here as ``learning_rate``. The gradient of all
    weights together is clipped to a norm of at most 1, then value by value, as Prix Fixe does.

    Attributes:
        learning_rate: The highest rate, d^-0.5 * warmup_steps^-0.5: d = 512 as published.
        warmup_steps: Steps until it is reached; 12,500 as published, about an epoch.
        clip_value: Largest value of a gradient.
        clip_norm: Largest norm of the gradient.
        clip_each_weight: Clip value by value first, then the gradient of each weight to the norm,
            as the team's own code does.
    """

    learning_rate: float = 3.952847e-4
    batch_size: int = 512
    epochs: int = 20
    steps_per_epoch: int | None = None
    warmup_steps: int = 12_500
    clip_value: float = 0.5
    clip_norm: float = 1.0
    clip_each_weight: bool = False

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        super().__post_init__()
        at_least(1, warmup_steps=self.warmup_steps)
        at_least(0, clip_value=self.clip_value, clip_norm=self.clip_norm)

    def optimizer(self, total_steps: int) -> keras.optimizers.Optimizer:
        """Build the optimiser; the schedule does not depend on ``total_steps``."""
        return ClippedAdam(
            WarmUp(self.learning_rate, self.warmup_steps),
            beta_1=0.9,
            beta_2=0.98,
            epsilon=1e-9,
            clip_norm=self.clip_norm,
            clip_value=self.clip_value,
            each_weight=self.clip_each_weight,
        )
