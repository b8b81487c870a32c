"""The number that is explained or designed for: a task, or the difference of two."""

from collections.abc import Sequence

import numpy as np

from dream_keras.common.errors import UserError, unknown
from dream_keras.interpret.predictor import Floats

MINUS = " - "
"""Between two tasks whose difference is meant."""


def task_weights(task: str | None, tasks: Sequence[str]) -> Floats:
    """Return weights, (tasks,), whose product with predictions, (rows, tasks), is the number meant.

    Args:
        task: Name of a task, or ``"A - B"`` for a difference; None is the only task.
        tasks: Names of all tasks.

    Raises:
        UserError: If a name is unknown, or there are several tasks and none is named.

    Examples:
        >>> task_weights("brain - liver", ("liver", "brain")).tolist()
        [-1.0, 1.0]
    """
    if task is None:
        if len(tasks) > 1:
            raise UserError(
                f"name a task with --task: {', '.join(tasks)}, or a difference of two such as "
                f'"{tasks[0]}{MINUS}{tasks[1]}"'
            )
        task = tasks[0]
    names = [task] if task in tasks else [name.strip() for name in task.split(MINUS)]
    if len(names) > 2:
        raise UserError(f'"{task}": expected a task, or a difference of two')
    weights = np.zeros(len(tasks))
    for name, weight in zip(names, (1.0, -1.0), strict=False):
        if name not in tasks:
            raise unknown("task", name, tasks)
        weights[tasks.index(name)] += weight
    if not weights.any():
        raise UserError(f'"{task}": the difference of a task with itself is 0')
    return weights
