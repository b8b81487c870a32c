"""The autosome.org team (LegNet), winner of the challenge: all five slots.

Source: Prix Fixe, autosome.org blocks; Penzar et al., LegNet (Bioinformatics 39:btad457, 2023).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from dream_keras.common.errors import UserError, at_least
from dream_keras.data import alphabet, yeast
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import (
    Bounds,
    Flags,
    Lengths,
    Processor,
    Values,
    one_hot,
    strand_of,
)
from dream_keras.menu.registry import PRIX_FIXE, Head, register
from dream_keras.menu.trainer import Trainer
from dream_keras.nn import Tensor
from dream_keras.nn.initializers import AutosomeInitializer, GlorotUniform, Normal, Uniform
from dream_keras.nn.layers import GroupedConv1D, batch_norm, named
from dream_keras.nn.losses import (
    BinDivergence,
    ExpectedBinError,
    TaskError,
    bin_spread,
    expected_bin,
    task_values,
)
from dream_keras.nn.optimizers import AdamW
from dream_keras.nn.schedules import OneCycle

LABEL_STD = 0.5
"""Standard deviation of the normal distribution that a label is spread over the bins with."""
CHANNELS = (alphabet.A, alphabet.G, alphabet.C, alphabet.T)
"""Order of the one-hot channels, which matters when published weights are imported."""


@register(
    "processor",
    "autosome",
    source="Prix Fixe, autosome.org data processor",
    collection=PRIX_FIXE,
)
class AutosomeProcessor(Processor):
    """150 bp that end where the read ends, filled up on the left with the plasmid's own bases.

    Channels: one-hot A, G, C, T (N is all zeros), is_reverse, is_singleton. Every row is trained on
    as both strands. At test is_singleton is 0 and the two strands' scores are averaged.

    Args:
        length: Positions of the input in bp; 150 as published.
        singleton_in_validation: Take is_singleton from the label on validation rows too, as the
            reference does; the default leaves it 0 there, as at test.
        average_validation_strands: Average the two strands' scores of a validation row, as at
            test; the reference scores each strand as a row of its own.

    Examples:
        >>> processor = AutosomeProcessor(length=20)
        >>> tokens = alphabet.encode(yeast.LEFT_ADAPTER + "ACGTACGT")[None]
        >>> alphabet.decode(processor.encode(tokens, np.array([25]))[0])
        'TTTTTTCACATCACGTACGT'
    """

    channels = 6
    targets = ("bins", "value")
    strands = "rows"
    label_ranges = MappingProxyType({"bins": yeast.BIN_RANGE})

    def __init__(
        self,
        length: int = 150,
        singleton_in_validation: bool = False,
        average_validation_strands: bool = True,
    ):
        self.length = length
        self.singleton_in_validation = singleton_in_validation
        self.average_validation_strands = average_validation_strands
        self.left_adapter = alphabet.encode(yeast.LEFT_ADAPTER)
        self.right_adapter = alphabet.encode(yeast.RIGHT_ADAPTER)
        self.max_length = length + len(self.left_adapter)
        self._upstream = alphabet.encode(yeast.LEFT_FLANK + yeast.LEFT_ADAPTER)

    def encode(self, tokens: Tokens, lengths: Lengths) -> Tokens:
        """Take the last ``length`` of plasmid + sequence without its left adapter.

        Shapes as in ``Processor.encode``. Rows of the same length are done together.
        """
        encoded = np.empty((len(tokens), self.length), np.uint8)
        for length in np.unique(lengths):
            rows = lengths == length
            kept = int(np.clip(length - len(self.left_adapter), 0, self.length))
            upstream = self.length - kept
            encoded[rows, upstream:] = tokens[rows, length - kept : length]
            encoded[rows, :upstream] = self._upstream[len(self._upstream) - upstream :]
        return encoded

    def insert_bounds(self, tokens: Tokens, left: int, right: int) -> Bounds:
        """Find the insert behind the left adapter; rows end with the right one."""
        start = self._insert_start(tokens) + max(left - len(self.left_adapter), 0)
        return start, np.full(len(tokens), self.length - right)

    def flanks(self, tokens: Tokens, reach: int) -> tuple[Tokens, Tokens]:
        """Return the plasmid's bases, as far as they are known."""
        unknown = np.full(self.length + reach, alphabet.MASK, np.uint8)
        before = np.concatenate([unknown, self._upstream])
        first = len(before) - self._insert_start(tokens)[:, None] - reach
        behind = np.concatenate([alphabet.encode(yeast.RIGHT_FLANK), unknown])[:reach]
        return before[first + np.arange(reach)], np.tile(behind, (len(tokens), 1))

    def _insert_start(self, tokens: Tokens) -> npt.NDArray[np.int64]:
        """Return the position behind the left adapter, or behind what is left of it, (batch,)."""
        found = np.ones((len(tokens), self.length + 1), bool)
        for back, base in enumerate(self.left_adapter[::-1], 1):
            found[:, back:] &= tokens[:, : self.length + 1 - back] == base
        return self.length - found[:, ::-1].argmax(axis=1)

    def make_channels(self, tokens: Tensor, strand: Tensor, flags: Tensor) -> Tensor:
        """Make the six channels; shapes as in ``Processor.make_channels``."""
        bases = one_hot(strand_of(tokens, strand), CHANNELS)
        ones = ops.ones_like(bases[..., :1])
        constant = [
            ones * ops.reshape(ops.cast(flag, "float32"), (-1, 1, 1)) for flag in (strand, flags)
        ]
        return ops.concatenate([bases, *constant], axis=-1)

    def make_target(self, labels: Tensor, tokens: Tensor, target_type: str) -> Tensor:
        """Return soft bins, (batch, 18), for ``"bins"`` and the labels for ``"value"``."""
        return soft_bins(labels[:, 0]) if target_type == "bins" else labels

    def row_flags(self, labels: Values) -> Flags:
        """Return is_singleton: an integer label comes from a single read or cell."""
        return (labels[:, 0] == np.round(labels[:, 0])).astype(np.uint8)

    def validation_flags(self, flags: Flags) -> Flags:
        """Return is_singleton with ``singleton_in_validation``, and 0, as at test, without."""
        return flags if self.singleton_in_validation else np.zeros_like(flags)

    def check_outputs(self, outputs: keras.KerasTensor, target_type: str) -> None:
        """Refuse another number of bins."""
        if target_type == "bins" and outputs.shape[-1] != yeast.BINS:
            raise UserError(
                f"the final block has {outputs.shape[-1]} bins, the processor's target "
                f"{yeast.BINS}: set model.final.bins to {yeast.BINS}"
            )


def soft_bins(values: Tensor) -> Tensor:
    """Spread labels over the sorting bins.

    Args:
        values: Labels, (batch,), on the scale of 0 to 17.

    Returns:
        Probabilities, (batch, 18): Normal(label + 0.5, sd 0.5) integrated over
        (-inf, 1], (1, 2], ..., (17, inf).

    Examples:
        >>> probabilities = np.array(soft_bins(np.array([3.0])))[0]
        >>> [round(float(share), 3) for share in probabilities[:6]]
        [0.0, 0.001, 0.157, 0.683, 0.157, 0.001]
    """
    values = ops.expand_dims(ops.cast(values, "float32"), -1)
    edges = ops.arange(1, yeast.BINS, dtype="float32")
    z = (edges - (values + 0.5)) / (LABEL_STD * math.sqrt(2))
    below = 0.5 * (1 + ops.erf(z))
    below = ops.concatenate([ops.zeros_like(values), below, ops.ones_like(values)], axis=-1)
    return below[:, 1:] - below[:, :-1]


@register(
    "first",
    "autosome",
    source="Prix Fixe, autosome.org first layers",
    torch_names={"conv": "block.0", "conv_norm": "block.1"},
    collection=PRIX_FIXE,
    smoke={"out_channels": 24},
)
def autosome_first(
    x: keras.KerasTensor, out_channels: int = 256, kernel_size: int = 7
) -> keras.KerasTensor:
    """Convolution without bias, batch normalisation, SiLU.

    Args:
        x: (batch, length, channels).
        out_channels: Filters; 256 as published.
        kernel_size: Width of the convolution; 7 as published.

    Returns:
        (batch, length, out_channels).
    """
    return conv_norm_silu(x, out_channels, kernel_size, "first_conv")


@dataclass(frozen=True)
class Style:
    """How the team's units normalise, and their initial weights; see ``autosome_core``."""

    momentum: float = 0.9
    epsilon: float = 1e-5
    unbiased: bool = True
    init: Literal["autosome", "keras"] = "autosome"

    @property
    def initializer(self) -> keras.initializers.Initializer:
        """A new initialiser of kernels."""
        return AutosomeInitializer() if self.init == "autosome" else GlorotUniform()


TORCH_STYLE = Style()
"""The published one."""
_STAGE = r"stage(\d+)_"
_BRANCH = r"seqextractor.inv_res_blc\1."


@register(
    "core",
    "autosome",
    source="Prix Fixe, autosome.org core layers; LegNet as submitted for the options",
    torch_names={
        f"{_STAGE}expand": f"{_BRANCH}0",
        f"{_STAGE}expand_norm": f"{_BRANCH}1",
        f"{_STAGE}grouped": f"{_BRANCH}3",
        f"{_STAGE}grouped_norm": f"{_BRANCH}4",
        f"{_STAGE}squeeze": f"{_BRANCH}6.fc.0",
        f"{_STAGE}excite": f"{_BRANCH}6.fc.2",
        f"{_STAGE}project": f"{_BRANCH}7",
        f"{_STAGE}project_norm": f"{_BRANCH}8",
        f"{_STAGE}resize": r"seqextractor.resize_blc\1.0",
        f"{_STAGE}resize_norm": r"seqextractor.resize_blc\1.1",
    },
    collection=PRIX_FIXE,
    smoke={"out_channels": 24, "widths": (16, 8)},
)
def autosome_core(
    x: keras.KerasTensor,
    out_channels: int = 64,
    widths: Sequence[int] = (128, 128, 64, 64, 64),
    kernel_size: int = 7,
    expansion: int = 4,
    channels_per_group: int = 2,
    squeeze: int = 4,
    bilinear: bool = False,
    momentum: float = 0.9,
    epsilon: float = 1e-5,
    unbiased: bool = True,
    init: Literal["autosome", "keras"] = "autosome",
) -> keras.KerasTensor:
    """Stages of: inverted bottleneck with a grouped convolution, joined to its input, resized.

    Args:
        x: (batch, length, channels).
        out_channels: Width of the last stage; 64 as published.
        widths: Widths of the stages before it; 128, 128, 64, 64, 64 as published.
        kernel_size: Of the grouped and the resizing convolution; 7 as published.
        expansion: The bottleneck is this many times the stage's width; 4 as published.
        channels_per_group: Of the grouped convolution; 2 as published.
        squeeze: The squeeze layer is the stage's input width divided by this; 4 as published.
        bilinear: Give the gates products of pairs of squeezed channels as well, as the team's own
            LegNet does; Prix Fixe does not.
        momentum: Share of batch normalisation's running averages that is kept in a step; 0.9 as
            published, 0.1 in the ATAC benchmark of Prix Fixe.
        epsilon: Of batch normalisation; 1e-5 as published, 1e-3 in the ATAC benchmark.
        unbiased: Whether the running variance is that over n - 1, as in PyTorch, or over n.
        init: Whose initial weights: the team's own, or Keras's as in the ATAC benchmark.

    Returns:
        (batch, length, out_channels).
    """
    style = Style(momentum, epsilon, unbiased, init)
    for stage, width in enumerate([*widths, out_channels]):
        name = named(f"core_stage{stage}")
        previous, inner = x.shape[-1], expansion * width
        y = conv_norm_silu(x, inner, 1, name("expand"), style)
        y = GroupedConv1D(kernel_size, channels_per_group, style.initializer, name=name("grouped"))(
            y
        )
        y = norm_silu(y, name("grouped"), style)
        y = squeeze_excite(y, previous // squeeze, name, bilinear, style)
        y = conv_norm_silu(y, previous, 1, name("project"), style)
        x = keras.layers.Concatenate(name=name("join"))([x, y])
        x = conv_norm_silu(x, width, kernel_size, name("resize"), style)
    return x


@keras.saving.register_keras_serializable(package="dream_keras")
class LowRankBilinear(keras.layers.Layer):
    """A bilinear map of a vector with itself: out_o = sum over i, j of v_i v_j W_ijo, plus b_o.

    W, (channels, channels, units), is a canonical polyadic decomposition: W_ijo = sum over r of
    scale_r left_ir right_jr out_or. Its factors have half as many weights as W has entries. At
    the start ``scale`` is 1, the factors are normal such that the entries of W have standard
    deviation 0.00075, and the bias is U(-1, 1). Source: autosome.org's submission; the bias is its
    tensor library's default.

    Args:
        units: Channels of the output.
    """

    SHARE = 0.5
    DEVIATION = 0.00075

    def __init__(self, units: int, **kwargs: object):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for (..., channels)."""
        channels = int(input_shape[-1] or 0)
        full = channels * channels * self.units
        rank = max(round(self.SHARE * full / (2 * channels + self.units)), 1)
        # An entry of W is a sum of ``rank`` products of three factors.
        deviation = (self.DEVIATION / math.sqrt(rank)) ** (1 / 3)

        def factor(name: str, rows: int) -> keras.Variable:
            return self.add_weight(name=name, shape=(rows, rank), initializer=Normal(deviation))

        self.scale = self.add_weight(name="scale", shape=(rank,), initializer="ones")
        self.left = factor("left", channels)
        self.right = factor("right", channels)
        self.out = factor("out", self.units)
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer=Uniform(1))

    def call(self, inputs: Tensor) -> Tensor:
        """Turn (..., channels) into (..., units)."""
        products = ops.matmul(inputs, self.left) * ops.matmul(inputs, self.right) * self.scale
        return ops.matmul(products, ops.transpose(self.out)) + self.bias

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return super().get_config() | {"units": self.units}


@register(
    "final",
    "autosome",
    source="Prix Fixe, autosome.org final layers",
    head=Head(
        losses={"bins": BinDivergence, "label": ExpectedBinError},
        expression=expected_bin,
        spread=bin_spread,
    ),
    torch_names={"bins": "mapper.0"},
    collection=PRIX_FIXE,
)
def autosome_final(x: keras.KerasTensor, bins: int = 18, silu: bool = False) -> keras.KerasTensor:
    """Convolution of width 1 to one channel per bin, mean over the length, softmax in float32.

    The predicted expression is the mean bin, sum over i of i * p_i.

    Args:
        x: (batch, length, channels).
        bins: Sorting bins; 18 in the yeast experiment.
        silu: Put a SiLU in front of the mean, as the team's own LegNet has it; Prix Fixe has none.

    Returns:
        Probabilities, (batch, bins), float32.
    """
    x = keras.layers.Conv1D(bins, 1, kernel_initializer=AutosomeInitializer(), name="final_bins")(x)
    if silu:
        x = keras.layers.Activation("silu", name="final_silu")(x)
    x = keras.layers.GlobalAveragePooling1D(name="final_mean", dtype="float32")(x)
    return keras.layers.Softmax(name="final_probabilities", dtype="float32")(x)


@register(
    "final",
    "autosome_regression",
    source="Prix Fixe, autosome.org final layers for human and fly data",
    head=Head(losses={"value": TaskError}, expression=task_values),
    torch_names={r"features(\d*)": r"mapper\1", r"value(\d*)": r"linear\1.0"},
    smoke={"features": 16},
)
def autosome_regression(
    x: keras.KerasTensor, tasks: int = 1, features: int = 256
) -> keras.KerasTensor:
    """One head per task: convolution of width 1, mean over the length, dense to one value.

    Args:
        x: (batch, length, channels).
        tasks: Measured values per sequence: 1 for lentiMPRA, 2 for STARR-seq.
        features: Filters of the convolution; 256 as published.

    Returns:
        Values, (batch, tasks), float32.
    """
    at_least(1, tasks=tasks)
    start = {"kernel_initializer": AutosomeInitializer()}
    values = []
    for number in [""] if tasks == 1 else [str(task + 1) for task in range(tasks)]:
        y = keras.layers.Conv1D(features, 1, **start, name=f"final_features{number}")(x)
        y = keras.layers.GlobalAveragePooling1D(name=f"final_mean{number}", dtype="float32")(y)
        values.append(
            keras.layers.Dense(1, **start, name=f"final_value{number}", dtype="float32")(y)
        )
    if tasks == 1:
        return values[0]
    return keras.layers.Concatenate(name="final_values", dtype="float32")(values)


@register("trainer", "autosome", source="Prix Fixe, autosome.org trainer", collection=PRIX_FIXE)
@dataclass(frozen=True, kw_only=True)
class AutosomeTrainer(Trainer):
    """AdamW with decay on every weight; one-cycle learning rate, and beta1 in the other direction.

    The rate starts at 1/25 of its maximum, reaches it after 30 % of the steps and ends at
    1/10,000 of its start, along half cosines; beta1 goes from 0.95 to 0.85 and back.

    Attributes:
        weight_decay: Decoupled decay of every weight.

    Examples:
        >>> optimizer = AutosomeTrainer(learning_rate=0.01).optimizer(total_steps=100)
        >>> round(float(optimizer.learning_rate), 6)
        0.0004
    """

    learning_rate: float = 0.005
    batch_size: int = 1024
    epochs: int = 80
    steps_per_epoch: int | None = 1000
    weight_decay: float = 0.01

    def optimizer(self, total_steps: int) -> keras.optimizers.Optimizer:
        """Build the optimiser for a run of ``total_steps`` steps."""
        start = self.learning_rate / 25
        return AdamW(
            OneCycle(start, self.learning_rate, start / 10_000, total_steps),
            weight_decay=self.weight_decay,
            beta_1=OneCycle(0.95, 0.85, 0.95, total_steps),
        )


def conv_norm_silu(
    x: keras.KerasTensor, filters: int, kernel_size: int, name: str, style: Style = TORCH_STYLE
) -> keras.KerasTensor:
    """Apply the autosome team's unit: convolution without bias, batch normalisation, SiLU."""
    x = keras.layers.Conv1D(
        filters,
        kernel_size,
        padding="same",
        use_bias=False,
        kernel_initializer=style.initializer,
        name=name,
    )(x)
    return norm_silu(x, name, style)


def norm_silu(x: keras.KerasTensor, name: str, style: Style = TORCH_STYLE) -> keras.KerasTensor:
    """Normalise over the batch, then SiLU, as the autosome team does behind a convolution."""
    norm = batch_norm(f"{name}_norm", style.momentum, style.epsilon, style.unbiased)
    return keras.layers.Activation("silu", name=f"{name}_silu")(norm(x))


def squeeze_excite(
    x: keras.KerasTensor,
    width: int,
    name: Callable[[str], str],
    bilinear: bool = False,
    style: Style = TORCH_STYLE,
) -> keras.KerasTensor:
    """Scale each channel by a gate computed from all channels' means over the length."""
    start = {"kernel_initializer": style.initializer}
    gate = keras.layers.GlobalAveragePooling1D(keepdims=True, name=name("mean"))(x)
    gate = keras.layers.Dense(width, "silu", **start, name=name("squeeze"))(gate)
    if bilinear:
        gate = keras.layers.Dense(width, **start, name=name("mix"))(gate)
        products = LowRankBilinear(max(width // 2, 1), name=name("bilinear"))(gate)
        gate = keras.layers.Concatenate(name=name("bilinear_join"))([gate, products])
        gate = keras.layers.Activation("silu", name=name("bilinear_silu"))(gate)
    gate = keras.layers.Dense(x.shape[-1], "sigmoid", **start, name=name("excite"))(gate)
    return keras.layers.Multiply(name=name("scale"))([x, gate])
