"""Trainer of the UnlockDNA team: Adam with warm-up and clipped gradients."""

from dataclasses import dataclass
from typing import Any

from dream_keras.errors import at_least
from dream_keras.menu.registry import register
from dream_keras.training.trainer import Trainer


@register("trainer", "unlockdna", source="Prix Fixe, Unlock_DNA trainer; Proformer")
@dataclass(frozen=True, kw_only=True)
class UnlockDNA(Trainer):
    """Adam with beta 0.9 and 0.98; the rate rises in a line, then falls with the step's root.

    At step n, counted from 1, the rate is d^-0.5 * min(n^-0.5, n * warmup_steps^-1.5), d being
    the width of the network; its maximum stands here as ``learning_rate``. Each gradient is
    clipped value by value, then to a norm of at most 1.

    Attributes:
        learning_rate: The highest rate, d^-0.5 * warmup_steps^-0.5: d = 512 as published.
        warmup_steps: Steps until it is reached; 12,500 as published, about an epoch.
        clip_value: Largest value of a gradient.
        clip_norm: Largest norm of a weight's gradient.
    """

    learning_rate: float = 3.952847e-4
    batch_size: int = 512
    epochs: int = 20
    steps_per_epoch: int | None = None
    warmup_steps: int = 12_500
    clip_value: float = 0.5
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers that no run can be made with."""
        super().__post_init__()
        at_least(1, warmup_steps=self.warmup_steps)
        at_least(0, clip_value=self.clip_value, clip_norm=self.clip_norm)

    def optimizer(self, total_steps: int) -> Any:
        """Build the optimiser; the schedule does not depend on ``total_steps``."""
        from dream_keras.training.optimizers import ClippedAdam
        from dream_keras.training.schedules import WarmUp

        return ClippedAdam(
            WarmUp(self.learning_rate, self.warmup_steps),
            beta_1=0.9,
            beta_2=0.98,
            epsilon=1e-9,
            clip_value=self.clip_value,
            clip_norm_per_weight=self.clip_norm,
        )
