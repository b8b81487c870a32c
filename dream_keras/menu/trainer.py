"""Base class of trainers: an optimiser with its schedule, epochs, steps and batch size."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dream_keras.common.errors import UserError, at_least

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class Trainer(ABC):
    """Plain data, plus a small builder.

    Attributes:
        learning_rate: Highest learning rate of the schedule.
        batch_size: Rows in a step, over all replicas.
        epochs: Epochs; after each the validation rows are scored.
        steps_per_epoch: Steps in an epoch; None takes as many as the training rows fill.
        best: What decides which epoch's weights are kept: the highest Pearson r of the validation
            rows, or their lowest mean squared error, with several tasks the mean over them; or, of
            networks that predict profiles, the lowest loss of the validation rows.
        patience: End the run after this many epochs without a better one; None trains all.
        freeze: Slots whose weights are not trained; for runs that start from another one.
        unfreeze_epoch: Epoch, counted from 1, from which these are trained too; None never does.
            Until then their batch normalisation follows the new rows.
        first_rate: Multiplier of the learning rate in the first layers.
        core_rate: Likewise in the core layers.
        final_rate: Likewise in the final layers.
        lora_rank: Train first and core through low-rank updates of their dense and convolution
            kernels (LoRA) of this rank, and nothing else of them; None trains all weights.
        ema: Decay per step of an exponential moving average of the weights, which validation, saved
            weights and predictions then use: 0.99 averages over about the last 100 steps. None
            takes the weights as they are trained.
        seed: Of initial weights, dropout, order of rows and the held-out rows.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    steps_per_epoch: int | None
    best: Literal["pearson", "mse", "loss"] = "pearson"
    patience: int | None = None
    freeze: tuple[Literal["first", "core", "final"], ...] = ()
    unfreeze_epoch: int | None = None
    first_rate: float = 1.0
    core_rate: float = 1.0
    final_rate: float = 1.0
    lora_rank: int | None = None
    ema: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        at_least(
            1,
            batch_size=self.batch_size,
            epochs=self.epochs,
            steps_per_epoch=self.steps_per_epoch,
            patience=self.patience,
            unfreeze_epoch=self.unfreeze_epoch,
            lora_rank=self.lora_rank,
        )
        at_least(
            0,
            learning_rate=self.learning_rate,
            first_rate=self.first_rate,
            core_rate=self.core_rate,
            final_rate=self.final_rate,
            seed=self.seed,
        )
        if self.ema is not None and not 0 < self.ema < 1:
            raise UserError(f"ema={self.ema:g}: expected a number between 0 and 1, such as 0.99")
        if self.unfreeze_epoch is not None and not self.freeze:
            raise UserError("unfreeze_epoch: no slot is frozen (--freeze first,core)")
        if len(set(self.freeze)) == 3 and self.unfreeze_epoch is None:
            raise UserError("freeze: with all three slots frozen there is nothing to train")

    @property
    def is_for_fine_tuning(self) -> bool:
        """Whether weights are frozen or updated at low rank, which fresh weights should not be."""
        return bool(self.freeze) or self.lora_rank is not None

    @abstractmethod
    def optimizer(self, total_steps: int) -> "keras.optimizers.Optimizer":
        """Build the Keras optimiser for a run of ``total_steps`` steps."""
