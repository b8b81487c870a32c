"""Trainer of the autosome team: AdamW and one cycle of the learning rate."""

from dataclasses import dataclass
from typing import Any

from dream_keras.menu.registry import register
from dream_keras.training.trainer import Trainer


@register("trainer", "autosome", source="Prix Fixe, autosome.org trainer")
@dataclass(frozen=True, kw_only=True)
class Autosome(Trainer):
    """AdamW with decay on every weight; the rate rises and falls once, beta1 against it.

    The rate starts at 1/25 of its maximum, reaches it after 30 % of the steps and ends at
    1/10,000 of its start, along half cosines; beta1 goes from 0.95 to 0.85 and back.

    Attributes:
        weight_decay: Decoupled decay of every weight.
    """

    learning_rate: float = 0.005
    batch_size: int = 1024
    epochs: int = 80
    steps_per_epoch: int | None = 1000
    weight_decay: float = 0.01

    def optimizer(self, total_steps: int) -> Any:
        """Build the optimiser for a run of ``total_steps`` steps."""
        from dream_keras.training.optimizers import AdamW
        from dream_keras.training.schedules import OneCycle

        start = self.learning_rate / 25
        return AdamW(
            OneCycle(start, self.learning_rate, start / 10_000, total_steps),
            weight_decay=self.weight_decay,
            beta_1=OneCycle(0.95, 0.85, 0.95, total_steps),
        )
