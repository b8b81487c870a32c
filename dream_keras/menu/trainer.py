"""What a trainer is: an optimiser with its schedule, and how long and how wide to train."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dream_keras.common.errors import at_least

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
            rows, or their lowest mean squared error; with several tasks the mean over them.
        patience: End the run after this many epochs without a better one; None trains all.
        seed: Of initial weights, dropout, order of rows and the held-out rows.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    steps_per_epoch: int | None
    best: Literal["pearson", "mse"] = "pearson"
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that no run can be made with."""
        at_least(
            1,
            batch_size=self.batch_size,
            epochs=self.epochs,
            steps_per_epoch=self.steps_per_epoch,
            patience=self.patience,
        )
        at_least(0, learning_rate=self.learning_rate, seed=self.seed)

    @abstractmethod
    def optimizer(self, total_steps: int) -> "keras.optimizers.Optimizer":
        """Build the Keras optimiser for a run of ``total_steps`` steps."""
