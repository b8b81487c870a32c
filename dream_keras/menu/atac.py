"""The ATAC benchmark of Prix Fixe: processor and final block of count profiles, and trainer.

Source: Prix Fixe, benchmarks/atac-seq, which trains the DREAM networks in ChromBPNet's place;
Pampari et al., ChromBPNet (bioRxiv 2024.12.25.630221), for data, heads and loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
from keras import ops

from dream_keras.common.errors import UserError, at_least
from dream_keras.data.processor import PROFILE, Labels, strand_of
from dream_keras.data.region_rows import Windows
from dream_keras.menu.plain import PlainProcessor
from dream_keras.menu.registry import Head, register
from dream_keras.menu.trainer import Trainer
from dream_keras.nn import Tensor, Tensors
from dream_keras.nn.initializers import GlorotUniform
from dream_keras.nn.losses import ProfileLoss, counts_output
from dream_keras.nn.schedules import LinearCosine

SOURCE = "Prix Fixe, ATAC benchmark; ChromBPNet"


@register("processor", "profile", source=SOURCE)
class ProfileProcessor(PlainProcessor):
    """Windows of a genome, and the counts at each position of their middle.

    Channels: one-hot A, C, G, T (N is all zeros). Training rows are wider than the input: a window
    is cut out of each, and half of them are turned to the other strand, inside the compiled step.
    Predictions are those of the given strand; the value of a sequence is log(1 + its total count).

    Args:
        length: Positions of the input in bp; 2,114 as published.
        positions: Positions in its middle whose counts are predicted; 1,000 as published.
        jitter: bp by which a training window may lie to either side of its region's centre; 500 as
            published.
        counts_weight: Weight of the squared error of the log counts beside the likelihood of the
            profile; None takes a tenth of the median total count of the training regions, at
            least 1.
        counts_start: Log count that a fresh network starts from, before the sequence adds to it:
            the initial bias of ``final_counts``; None takes the mean of the training regions, 0 is
            as published.

    Examples:
        >>> processor = ProfileProcessor(length=8, positions=4, jitter=2)
        >>> processor.wide_length, processor.wide_positions
        (12, 8)
    """

    targets = (PROFILE,)

    def __init__(
        self,
        length: int = 2114,
        positions: int = 1000,
        jitter: int = 500,
        counts_weight: float | None = None,
        counts_start: float | None = None,
    ):
        at_least(1, length=length, positions=positions)
        at_least(0, jitter=jitter, counts_weight=counts_weight, counts_start=counts_start)
        if (length - positions) % 2 or length < positions:
            raise UserError(
                f"length={length}, positions={positions}: the positions stand in the middle of the "
                "input, so it must be longer by an even number"
            )
        super().__init__(length=length, channel_order="ACGT", reverse="none")
        self.positions = positions
        self.jitter = jitter
        self.counts_weight = counts_weight
        self.counts_start = counts_start

    @property
    def wide_length(self) -> int:
        """Tokens of a training row before the window is cut out."""
        return self.length + 2 * self.jitter

    @property
    def wide_positions(self) -> int:
        """Counts of a training row before the window is cut out."""
        return self.positions + 2 * self.jitter

    def windows(self, jitter: bool = True) -> Windows:
        """Return the sizes of the windows that rows are read in, with the jitter or without."""
        return Windows(self.length, self.positions, self.jitter if jitter else 0)

    def training_window(
        self, tokens: Tensor, strand: Tensor, flags: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Cut out the windows that start at ``flags``, and turn those of the other strand."""
        tokens = strand_of(_cut(tokens, flags, self.length), strand)
        counts = _cut(labels, flags, self.positions)
        turned = ops.reshape(ops.cast(strand, "int32") == 1, (-1, 1, 1))
        counts = ops.where(turned, ops.flip(counts, axis=-1), counts)
        return tokens, strand, ops.zeros_like(flags), ops.cast(counts, "float32")

    def make_target(self, labels: Tensor, tokens: Tensor, target_type: str) -> Tensors:
        """Return counts, (batch, tasks, positions), and their total's weight, (batch, 1)."""
        weight = 1.0 if self.counts_weight is None else self.counts_weight
        first = labels[:, 0] if len(labels.shape) == 2 else labels[:, 0, 0]
        ones = ops.expand_dims(ops.ones_like(ops.cast(first, "float32")), -1)
        return {"profile": labels, "weight": weight * ones}

    def label_statistics(self, labels: Labels) -> Mapping[str, object]:
        """Return the weight of the log counts and where they start, unless they are set.

        Args:
            labels: log(1 + total count) of regions, (rows, tasks).
        """
        labels = labels.astype(np.float64)
        found = {
            "counts_weight": counts_weight(np.rint(np.expm1(labels))),
            "counts_start": round(float(labels.mean()), 4),
        }
        return {name: value for name, value in found.items() if getattr(self, name) is None}

    def check_outputs(self, outputs: Mapping[str, Tensor], target_type: str) -> None:
        """Refuse another number of positions."""
        found = outputs["profile"].shape[-1]
        if found != self.positions:
            raise UserError(
                f"the final block predicts {found} positions, the processor counts at "
                f"{self.positions}: set model.final.positions to {self.positions}"
            )


def _cut(rows: Tensor, starts: Tensor, size: int) -> Tensor:
    """Cut ``size`` positions out of each row's last axis, from ``starts``, (batch,), on."""
    rows, starts = ops.cast(rows, "int32"), ops.cast(starts, "int32")
    at = ops.expand_dims(starts, -1) + ops.arange(size, dtype="int32")
    if len(rows.shape) == 3:
        at = ops.expand_dims(at, 1)
        at = ops.broadcast_to(at, (ops.shape(rows)[0], rows.shape[1], size))
    return ops.take_along_axis(rows, at, axis=-1)


def counts_weight(totals: np.ndarray) -> float:
    """Return the weight of the log counts: a tenth of the median total, 2 decimals, at least 1.

    Examples:
        >>> counts_weight(np.array([10.0, 123.0, 400.0]))
        12.3
    """
    return max(1.0, round(float(np.median(totals)) / 10, 2))


@register(
    "final",
    "profile",
    source=SOURCE,
    head=Head(losses={"profile": ProfileLoss}, expression=counts_output),
    torch_names={"profile": "profile", "counts": "counts"},
)
def profile(
    x: keras.KerasTensor, positions: int = 1000, kernel_size: int = 75
) -> dict[str, keras.KerasTensor]:
    """A convolution without padding to one channel, cut to its middle; a mean and a dense layer.

    The mean is over all positions of the input. The value of a sequence is the log count.

    Args:
        x: (batch, length, channels).
        positions: Positions whose counts are predicted; 1,000 as published.
        kernel_size: Width of the convolution; 75 as published.

    Returns:
        ``"profile"``, logits, (batch, 1, positions), and ``"counts"``, log(1 + total), (batch, 1),
        float32.
    """
    at_least(1, positions=positions)
    free = x.shape[1] - kernel_size + 1 - positions
    if free < 0:
        raise ValueError(
            f"at least {positions + kernel_size - 1} positions are needed: a convolution of width "
            f"{kernel_size} gives the {positions} that are predicted"
        )
    options = {"kernel_initializer": GlorotUniform(), "dtype": "float32"}
    y = keras.layers.Conv1D(1, kernel_size, **options, name="final_profile")(x)
    y = keras.layers.Cropping1D((free // 2, free - free // 2), name="final_cut", dtype="float32")(y)
    logits = keras.layers.Permute((2, 1), name="final_logits", dtype="float32")(y)
    mean = keras.layers.GlobalAveragePooling1D(name="final_mean", dtype="float32")(x)
    return {
        "profile": logits,
        "counts": keras.layers.Dense(1, **options, name="final_counts")(mean),
    }


@register("trainer", "atac", source="Prix Fixe, ATAC benchmark")
@dataclass(frozen=True, kw_only=True)
class ATACTrainer(Trainer):
    """Adam; the rate rises in a line and falls along half a cosine.

    The rate starts at 1/25 of its maximum, reaches it after 30 % of the steps and ends at
    1/10,000 of its start. The epoch with the lowest validation loss is kept.

    Attributes:
        schedule_steps: Steps of the schedule; None takes those of the run. The reference
            implementation has 271,600 whatever the data.
    """

    learning_rate: float = 0.0005
    batch_size: int = 64
    epochs: int = 80
    steps_per_epoch: int | None = None
    best: Literal["pearson", "mse", "loss"] = "loss"
    patience: int | None = 20
    schedule_steps: int | None = None

    def __post_init__(self) -> None:
        """Refuse a schedule without steps."""
        super().__post_init__()
        at_least(1, schedule_steps=self.schedule_steps)

    def optimizer(self, total_steps: int) -> keras.optimizers.Optimizer:
        """Build the optimiser for a run of ``total_steps`` steps."""
        start = self.learning_rate / 25
        steps = self.schedule_steps or total_steps
        return keras.optimizers.Adam(LinearCosine(start, self.learning_rate, start / 10_000, steps))
