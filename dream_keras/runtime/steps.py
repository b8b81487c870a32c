"""The compiled functions of a run, on Keras's backend: some training steps, and prediction."""

from typing import TYPE_CHECKING

import keras

if TYPE_CHECKING or keras.backend.backend() == "tensorflow":
    from dream_keras.runtime.steps_tensorflow import TensorFlowSteps as Steps
else:
    from dream_keras.runtime.steps_jax import JaxSteps as Steps

__all__ = ["Steps"]
