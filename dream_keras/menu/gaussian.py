"""A final block that predicts a normal distribution of each task's value."""

import keras

from dream_keras.common.errors import at_least
from dream_keras.menu.registry import Head, register
from dream_keras.nn.initializers import AutosomeInitializer
from dream_keras.nn.losses import GaussianError, mean_output, spread_output


@register(
    "final",
    "gaussian",
    source="Nix and Weigend 1994, mean and variance trained by likelihood; layers of "
    "autosome_regression",
    head=Head(losses={"value": GaussianError}, expression=mean_output, spread=spread_output),
    torch_names={"features": "features", "value": "mean", "log_variance": "log_variance"},
    smoke={"features": 16},
)
def gaussian(
    x: keras.KerasTensor, tasks: int = 1, features: int = 256
) -> dict[str, keras.KerasTensor]:
    """Convolution of width 1, mean over the length, dense to mean and log variance of each task.

    Args:
        x: (batch, length, channels).
        tasks: Measured values per sequence.
        features: Filters of the convolution.

    Returns:
        ``"mean"`` and ``"log_variance"``, both (batch, tasks), float32, on the scale that is
        trained on.
    """
    at_least(1, tasks=tasks)
    start = {"kernel_initializer": AutosomeInitializer()}
    x = keras.layers.Conv1D(features, 1, **start, name="final_features")(x)
    x = keras.layers.GlobalAveragePooling1D(name="final_mean", dtype="float32")(x)
    return {
        name: keras.layers.Dense(tasks, **start, name=f"final_{layer}", dtype="float32")(x)
        for name, layer in (("mean", "value"), ("log_variance", "log_variance"))
    }
