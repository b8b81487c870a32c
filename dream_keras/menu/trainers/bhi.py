"""Trainer of the BHI team: AdamW, and a learning rate that falls along half a cosine."""

from dataclasses import dataclass
from typing import Any

from dream_keras.menu.registry import register
from dream_keras.training.trainer import Trainer


@register("trainer", "bhi", source="Prix Fixe, BHI trainer; DeepGXP")
@dataclass(frozen=True, kw_only=True)
class BHI(Trainer):
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

    def optimizer(self, total_steps: int) -> Any:
        """Build the optimiser for a run of ``total_steps`` steps."""
        import keras

        from dream_keras.training.optimizers import AdamW

        length = total_steps * (self.batch_size if self.cosine_counts_rows else 1)
        schedule = keras.optimizers.schedules.CosineDecay(self.learning_rate, length)
        return AdamW(schedule, weight_decay=self.weight_decay)
