"""The BHI team (DeepGXP): all five slots.

Source: Prix Fixe, BHI blocks; the team's submission for the options.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from scipy.special import ndtr

from dream_keras.common.errors import at_least
from dream_keras.data import alphabet, yeast
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Lengths, ScalingProcessor, one_hot, strand_of
from dream_keras.menu.registry import PRIX_FIXE, Head, register
from dream_keras.menu.trainer import Trainer
from dream_keras.nn import Tensor
from dream_keras.nn.initializers import Init, dense_init, lstm_init, torch_init
from dream_keras.nn.layers import TorchLSTM
from dream_keras.nn.losses import HuberError, task_values
from dream_keras.nn.optimizers import AdamW

CHANNELS = (alphabet.A, alphabet.G, alphabet.C, alphabet.T)
"""Order of the one-hot channels, which matters when published weights are imported."""
LABEL_CENTER = 11.0
"""Subtracted from every label; the team's own number, about the mean of the challenge's labels."""
RIGHT_ONLY, LEFT_ONLY = 0.333, 0.667 * 0.334
"""Shares of short rows filled on one side only; the others are filled on both, with the smaller
half on the left. The team's code draws in this way, other than its comment and report say."""
LONGER = 32
"""bp by which a sequence may exceed the input: the challenge's longest rows have 142."""
PUBLISHED_MEAN = 0.0620103851
"""Mean of the challenge's scaled labels, as the team's prediction step has it."""


@register(
    "processor",
    "bhi",
    source="Prix Fixe, BHI data processor; DeepGXP for the options",
    collection=PRIX_FIXE,
)
class BHIProcessor(ScalingProcessor):
    """110 bp: longer rows are cut on the right, shorter ones filled with the vector's bases.

    Channels: one-hot A, G, C, T (N is all zeros). The side on which a short row is filled up is
    drawn anew whenever it is trained on; at prediction it is filled up on both. Every step trains
    on both strands of its rows. The target is (label - 11) / sd of the training labels.

    Args:
        length: Positions of the input in bp; 110 as published.
        shifts: Predict windows moved by up to this many bp to either side as well, and average;
            0 in Prix Fixe, 2 in the team's own DeepGXP.
        normal_cdf: Pass the prediction through the normal distribution function, around the mean
            scaled training label, as DeepGXP does; it then lies between 0 and 1.
        label_mean: Mean of the training labels of each task; None takes it from them.
        label_std: Their standard deviations; None takes them from the labels.

    Examples:
        >>> processor = BHIProcessor(label_std=(2.0,))
        >>> processor.to_expression(np.array([[[0.5], [1.5]]]), "value").tolist()
        [[13.0]]
    """

    channels = 4
    targets = ("value", "label")
    strands = "step"
    label_ranges = MappingProxyType({"label": yeast.BIN_RANGE})
    label_center = (LABEL_CENTER,)
    cuts_adapters = False

    def __init__(
        self,
        length: int = 110,
        shifts: int = 0,
        normal_cdf: bool = False,
        label_mean: tuple[float, ...] | None = None,
        label_std: tuple[float, ...] | None = None,
    ):
        at_least(1, length=length)
        at_least(0, shifts=shifts)
        self.length = length
        self.shifts = shifts
        self.normal_cdf = normal_cdf
        self.label_mean = label_mean
        self.label_std = label_std
        self.max_length = length + LONGER
        self.left_adapter = alphabet.encode(yeast.LEFT_ADAPTER)
        self.right_adapter = alphabet.encode(yeast.RIGHT_ADAPTER)
        # N beyond the known vector: 150 bp on the left, of which the published code has 37, and 76
        # on the right.
        unknown = np.full(length + shifts, alphabet.N, np.uint8)
        self._left = np.concatenate([unknown, alphabet.encode(yeast.LEFT_FLANK)])
        self._right = np.concatenate([alphabet.encode(yeast.RIGHT_FLANK), unknown])

    def encode(self, tokens: Tokens, lengths: Lengths) -> Tokens:
        """Take the first ``length`` bases; shorter rows are marked behind their end."""
        encoded = np.full((len(tokens), self.length), alphabet.END, np.uint8)
        width = min(tokens.shape[1], self.length)
        inside = np.arange(width) < lengths[:, None]
        encoded[:, :width] = np.where(inside, tokens[:, :width], alphabet.END)
        return encoded

    def flanks(self, tokens: Tokens, reach: int) -> tuple[Tokens, Tokens]:
        """Return the vector's bases; behind a row that is cut on the right, bases to be drawn."""
        ends = tokens[:, -len(self.right_adapter) :]
        is_whole = (ends == self.right_adapter).all(axis=1, keepdims=True)
        before = np.tile(self._left[len(self._left) - reach :], (len(tokens), 1))
        return before, np.where(is_whole, self._right[:reach], np.uint8(alphabet.MASK))

    def training_view(self, tokens: Tokens, random: np.random.Generator) -> Tokens:
        """Fill short rows up on the right, on the left or on both sides, as drawn."""
        missing = (tokens == alphabet.END).sum(axis=1)
        drawn = random.random(len(tokens))
        one_sided = np.where(drawn < RIGHT_ONLY, 0, missing)
        left = np.where(drawn < RIGHT_ONLY + LEFT_ONLY, one_sided, missing // 2)
        return self._window(tokens, left)

    def prediction_views(self, tokens: Tokens) -> Sequence[Tokens]:
        """Fill short rows up on both sides; one window per shift."""
        left = (tokens == alphabet.END).sum(axis=1) // 2
        return [
            self._window(tokens, left - shift) for shift in range(-self.shifts, self.shifts + 1)
        ]

    def _window(self, tokens: Tokens, left: npt.NDArray[np.int64]) -> Tokens:
        """Return the window that begins ``left`` bp before the sequence does; (rows,) of them."""
        lengths = (tokens != alphabet.END).sum(axis=1)
        if not left.any() and lengths.min(initial=self.length) == self.length:
            return tokens
        at = np.arange(self.length) - left[:, None]
        past = at - lengths[:, None]
        inner = np.take_along_axis(tokens, np.clip(at, 0, self.length - 1), axis=1)
        before = self._left[np.minimum(at, -1)]
        behind = self._right[np.maximum(past, 0)]
        return np.where(at < 0, before, np.where(past < 0, inner, behind))

    def make_channels(self, tokens: Tensor, strand: Tensor, flags: Tensor) -> Tensor:
        """Make the four channels; shapes as in ``Processor.make_channels``."""
        return one_hot(strand_of(tokens, strand), CHANNELS)

    def in_label_units(self, values: Tensor, target_type: str) -> Tensor:
        """Undo the scaling, or take the normal distribution function."""
        if not self.normal_cdf or target_type != "value":
            return super().in_label_units(values, target_type)
        mean = np.array(PUBLISHED_MEAN, values.dtype)
        if self.label_mean is not None and self.label_std is not None:
            mean = (np.array(self.label_mean) - LABEL_CENTER) / np.array(self.label_std)
            mean = mean.astype(values.dtype)
        if isinstance(values, np.ndarray):
            return ndtr(values - mean)
        return 0.5 * (1 + ops.erf((values - mean) / math.sqrt(2)))


@register(
    "first",
    "bhi",
    source="Prix Fixe, BHI first layers",
    torch_names={r"branch(\d+)_conv": r"conv_list.\1.conv"},
    collection=PRIX_FIXE,
    smoke={"out_channels": 24},
)
def bhi_first(
    x: keras.KerasTensor,
    out_channels: int = 320,
    kernel_sizes: tuple[int, ...] = (9, 15),
    dropout: float = 0.2,
    init: Init = "torch",
) -> keras.KerasTensor:
    """Convolutions side by side, each with ReLU and dropout, concatenated.

    Args:
        x: (batch, length, channels).
        out_channels: Filters in all; 320 in the DREAM models, 512 in the team's own.
        kernel_sizes: One branch each; 9 and 15 as published.
        dropout: Share of values dropped in training; 0.2 as published.
        init: Whose initial weights: PyTorch's as in Prix Fixe, or Keras's as in its ATAC benchmark.

    Returns:
        (batch, length, out_channels).
    """
    return parallel_convs(x, out_channels, tuple(kernel_sizes), dropout, "first", init)


@register(
    "core",
    "bhi",
    source="Prix Fixe, BHI core layers",
    torch_names={"lstm": "lstm", r"branch(\d+)_conv": r"conv_list.\1.conv"},
    collection=PRIX_FIXE,
    smoke={"out_channels": 24, "units": 8},
)
def bhi_core(
    x: keras.KerasTensor,
    out_channels: int = 320,
    units: int = 320,
    kernel_sizes: tuple[int, ...] = (9, 15),
    branch_dropout: float = 0.2,
    dropout: float = 0.5,
    one_bias: bool = False,
    init: Init = "torch",
) -> keras.KerasTensor:
    """Bidirectional LSTM, then convolutions with ReLU and dropout side by side, then dropout.

    Args:
        x: (batch, length, channels).
        out_channels: Filters of the convolutions in all; 320 as published.
        units: Of the LSTM, per direction; 320 as published.
        kernel_sizes: One convolution each; 9 and 15 as published.
        branch_dropout: After each convolution; 0.2 as published.
        dropout: At the end; 0.5 as published.
        one_bias: Give the LSTM one bias per gate, as Keras does, instead of PyTorch's two.
        init: Whose initial weights: PyTorch's as in Prix Fixe, or Keras's as in its ATAC benchmark.

    Returns:
        (batch, length, out_channels).
    """
    name = "core_lstm_direction"
    if one_bias:
        lstm = keras.layers.LSTM(units, return_sequences=True, name=name, **lstm_init(init, units))
    else:
        lstm = TorchLSTM(units, return_sequences=True, init=init, name=name)
    x = keras.layers.Bidirectional(lstm, name="core_lstm")(x)
    x = parallel_convs(x, out_channels, tuple(kernel_sizes), branch_dropout, "core", init)
    return keras.layers.Dropout(dropout, name="core_dropout")(x)


@register(
    "final",
    "bhi",
    source="Prix Fixe, BHI final layers",
    head=Head(losses={"value": HuberError}, expression=task_values),
    torch_names={"hidden0": "main.0", "hidden1": "main.2", "value": "main.4"},
    collection=PRIX_FIXE,
    smoke={"hidden": 8},
)
def bhi_final(x: keras.KerasTensor, hidden: int = 64) -> keras.KerasTensor:
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
            hidden, "relu", **torch_init(x.shape[-1]), name=f"final_hidden{index}"
        )(x)
    return keras.layers.Dense(1, **torch_init(x.shape[-1]), name="final_value", dtype="float32")(x)


@register("trainer", "bhi", source="Prix Fixe, BHI trainer; DeepGXP", collection=PRIX_FIXE)
@dataclass(frozen=True, kw_only=True)
class BHITrainer(Trainer):
    """AdamW with decay on every weight; the rate falls from its maximum to 0 over all steps.

    Attributes:
        weight_decay: Decoupled decay of every weight.
        cosine_counts_rows: Stretch the cosine over rows instead of steps, as the reference
            implementation does by mistake: the rate then hardly falls.
    """

    learning_rate: float = 0.0015
    batch_size: int = 512
    epochs: int = 15
    steps_per_epoch: int | None = None
    weight_decay: float = 0.01
    cosine_counts_rows: bool = False

    def optimizer(self, total_steps: int) -> keras.optimizers.Optimizer:
        """Build the optimiser for a run of ``total_steps`` steps."""
        length = total_steps * (self.batch_size if self.cosine_counts_rows else 1)
        schedule = keras.optimizers.schedules.CosineDecay(self.learning_rate, length)
        return AdamW(schedule, weight_decay=self.weight_decay)


def parallel_convs(
    x: keras.KerasTensor,
    out_channels: int,
    kernel_sizes: tuple[int, ...],
    dropout: float,
    prefix: str,
    init: Init,
) -> keras.KerasTensor:
    """Put convolutions of several kernel sizes side by side and concatenate them in that order.

    Each has ``out_channels / len(kernel_sizes)`` filters with bias, then ReLU, then dropout.
    """
    if out_channels % len(kernel_sizes):
        raise ValueError(
            f"out_channels={out_channels} does not divide by the {len(kernel_sizes)} kernel sizes"
        )
    branches = []
    for index, size in enumerate(kernel_sizes):
        y = keras.layers.Conv1D(
            out_channels // len(kernel_sizes),
            size,
            padding="same",
            activation="relu",
            **dense_init(init, size * x.shape[-1]),
            name=f"{prefix}_branch{index}_conv",
        )(x)
        branches.append(keras.layers.Dropout(dropout, name=f"{prefix}_branch{index}_dropout")(y))
    return keras.layers.Concatenate(name=f"{prefix}_branches")(branches)
