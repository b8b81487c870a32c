"""Final block of the autosome team for measured values instead of sorting bins."""

import keras

from dream_keras.errors import at_least
from dream_keras.initializers import AutosomeInitializer
from dream_keras.menu.registry import Head, register
from dream_keras.training.losses import TaskError, single_task


@register(
    "final",
    "autosome_regression",
    source="Prix Fixe, autosome.org final layers for human and fly data",
    head=Head(losses={"value": TaskError}, expression=single_task),
    torch_names={r"features(\d*)": r"mapper\1", r"value(\d*)": r"linear\1.0"},
)
def autosome_regression(
    x: keras.KerasTensor, tasks: int = 1, features: int = 256
) -> keras.KerasTensor:
    """One head per task: convolution of width 1, mean over the length, dense to one value.

    Args:
        x: (batch, length, channels).
        tasks: Measured values per sequence: 1 for lentiMPRA, 2 for STARR-seq.
        features: Filters of the convolution; 256 as published.

    Returns:
        Values, (batch, tasks), float32.
    """
    at_least(1, tasks=tasks)
    start = {"kernel_initializer": AutosomeInitializer()}
    values = []
    for number in [""] if tasks == 1 else [str(task + 1) for task in range(tasks)]:
        y = keras.layers.Conv1D(features, 1, **start, name=f"final_features{number}")(x)
        y = keras.layers.GlobalAveragePooling1D(name=f"final_mean{number}", dtype="float32")(y)
        values.append(
            keras.layers.Dense(1, **start, name=f"final_value{number}", dtype="float32")(y)
        )
    if tasks == 1:
        return values[0]
    return keras.layers.Concatenate(name="final_values", dtype="float32")(values)
