"""What designs are optimised for, as a score of predictions of one or several models."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.interpret.predictor import Floats
from dream_keras.interpret.tasks import MINUS, task_weights

HIGHEST, LOWEST = "max", "min"


@dataclass(frozen=True)
class Goal:
    """What is optimised.

    The number meant is a task or the difference of two; values are its predictions by each model,
    (models, rows). The score is to be as high as possible.

    Attributes:
        kind: ``"max"``, ``"min"``, or the value that is wanted.
        task: The task or difference; None is the only task.
        cautious: Whether the spread between the models counts against a design.
    """

    kind: str | float
    task: str | None = None
    cautious: bool = False

    def weights(self, tasks: Sequence[str]) -> Floats:
        """Return the weights of tasks, (tasks,), that give the number meant."""
        return task_weights(self.task, tasks)

    def score(self, values: Floats) -> Floats:
        """Return scores, (rows,), of values, (models, rows)."""
        spread = values.std(axis=0) if self.cautious else 0.0
        return self._gain(values.mean(axis=0)) - spread

    def slopes(self, values: Floats) -> Floats:
        """Return the derivatives of scores with respect to values, (models, rows)."""
        mean = values.mean(axis=0)
        if isinstance(self.kind, str):
            direction = np.full(mean.shape, 1.0 if self.kind == HIGHEST else -1.0)
        else:
            direction = np.sign(self.kind - mean)
        found = np.broadcast_to(direction, values.shape) / len(values)
        if self.cautious:
            spread = np.maximum(values.std(axis=0), 1e-12)
            found = found - (values - mean) / (len(values) * spread)
        return found

    def _gain(self, mean: Floats) -> Floats:
        if isinstance(self.kind, str):
            return mean if self.kind == HIGHEST else -mean
        return -np.abs(mean - self.kind)


def read_goal(text: str, task: str | None, tasks: Sequence[str], cautious: bool = False) -> Goal:
    """Return the goal that a user names.

    Args:
        text: ``max``, ``min``, a number, or a task or difference that is to be as high as possible.
        task: The task or difference that ``max``, ``min`` or the number is about.
        tasks: Names of all tasks.
        cautious: See ``Goal``.

    Raises:
        UserError: If it is none of these, or the task is not clear.

    Examples:
        >>> read_goal("brain - liver", None, ("liver", "brain"))
        Goal(kind='max', task='brain - liver', cautious=False)
    """
    text = str(text).strip()
    kind: str | float
    try:
        kind = text if text in (HIGHEST, LOWEST) else float(text)
    except ValueError:
        named = [name.strip() for name in text.split(MINUS)]
        if text not in tasks and not set(named) & set(tasks):
            raise UserError(
                f'goal "{text}": expected max, min, a number, or a task or difference of two that '
                f"is to be high. Tasks: {', '.join(tasks)}"
            ) from None
        if task is not None:
            raise UserError(f'goal "{text}" names a task already: leave out --task') from None
        kind, task = HIGHEST, text
    if not isinstance(kind, str) and not np.isfinite(kind):
        raise UserError(f'goal "{text}": expected max, min, or a finite number')
    task_weights(task, tasks)
    return Goal(kind, task, cautious)
