"""The head of a final block: what training and scoring need of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dream_keras.nn import Tensor, Tensors

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Head:
    """Losses and score of a final block.

    Attributes:
        losses: For each target type the block can be trained on (see ``Processor``), the loss: a
            class made from ``keras.losses.Loss`` whose ``call(target, outputs)`` returns one
            value per row.
        expression: Turns the block's outputs into predicted values, (batch, tasks).
        spread: Turns them into standard deviations of the values, (batch, tasks); None where the
            block predicts none.
    """

    losses: "Mapping[str, type[keras.losses.Loss]]"
    expression: Callable[[Tensors], Tensor]
    spread: Callable[[Tensors], Tensor] | None = None
