"""Learning-rate schedules per step, with the exact shape of the published trainers."""

import math

import keras
from keras import ops

from dream_keras.nn import Tensor

register = keras.saving.register_keras_serializable(package="dream_keras")


@register
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Rise from ``start`` to ``peak`` and fall to ``end``, both along a half cosine.

    The published autosome trainer moves the learning rate this way and Adam's beta1 against it.
    Equal to PyTorch's ``OneCycleLR`` (cosine, two phases) at every step.

    Args:
        start: Value at step 0.
        peak: Value after ``rise * total_steps - 1`` steps.
        end: Value at the last step, ``total_steps - 1``, and ever after.
        total_steps: Steps in the whole cycle.
        rise: Share of the steps on the way up; 0.3 as published.

    Examples:
        >>> schedule = OneCycle(0.1, 1.0, 0.01, total_steps=10)
        >>> [round(float(schedule(step)), 4) for step in (0, 2, 9)]
        [0.1, 1.0, 0.01]
    """

    def __init__(self, start: float, peak: float, end: float, total_steps: int, rise: float = 0.3):
        self.start = start
        self.peak = peak
        self.end = end
        self.total_steps = total_steps
        self.rise = rise

    def __call__(self, step: Tensor | int) -> Tensor:
        """Return the value at ``step``, counted from 0."""
        turn = self.rise * self.total_steps - 1
        last = max(self.total_steps - 1, 1)
        step = ops.minimum(ops.cast(step, "float32"), float(last))
        up = ops.clip(step / max(turn, 1e-6), 0.0, 1.0)
        down = ops.clip((step - turn) / max(last - turn, 1e-6), 0.0, 1.0)
        rising = _half_cosine(self.start, self.peak, up)
        falling = _half_cosine(self.peak, self.end, down)
        return ops.where(step <= turn, rising, falling)

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return {
            "start": self.start,
            "peak": self.peak,
            "end": self.end,
            "total_steps": self.total_steps,
            "rise": self.rise,
        }


@register
class LinearCosine(OneCycle):
    """Rise from ``start`` to ``peak`` in a line and fall to ``end`` along a half cosine.

    The ATAC benchmark of Prix Fixe moves the learning rate this way.

    Args:
        start: Value at step 0.
        peak: Value after ``rise * total_steps`` steps.
        end: Value after ``total_steps`` steps, and ever after.
        total_steps: Steps in the whole cycle.
        rise: Share of the steps on the way up; 0.3 as published.

    Examples:
        >>> schedule = LinearCosine(0.1, 1.0, 0.0, total_steps=10)
        >>> [round(float(schedule(step)), 4) for step in (0, 1, 3, 10)]
        [0.1, 0.4, 1.0, 0.0]
    """

    def __call__(self, step: Tensor | int) -> Tensor:
        """Return the value at ``step``, counted from 0."""
        turn = self.rise * self.total_steps
        step = ops.cast(step, "float32")
        up = ops.clip(step / turn, 0.0, 1.0)
        down = ops.clip((step - turn) / (self.total_steps - turn), 0.0, 1.0)
        rising = self.start + (self.peak - self.start) * up
        return ops.where(step < turn, rising, _half_cosine(self.peak, self.end, down))


@register
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rise linearly to ``peak``, then fall with the square root of the step.

    Args:
        peak: The highest value, at step ``steps`` counted from 1.
        steps: Steps until then.

    Examples:
        >>> schedule = WarmUp(peak=1.0, steps=4)
        >>> [float(schedule(step)) for step in (0, 3, 15)]
        [0.25, 1.0, 0.5]
    """

    def __init__(self, peak: float, steps: int):
        self.peak = peak
        self.steps = steps

    def __call__(self, step: Tensor | int) -> Tensor:
        """Return the value at ``step``, counted from 0."""
        share = (ops.cast(step, "float32") + 1) / self.steps
        return self.peak * ops.minimum(share, ops.rsqrt(share))

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return {"peak": self.peak, "steps": self.steps}


def _half_cosine(start: float, end: float, share: Tensor) -> Tensor:
    """Go from ``start`` (share 0) to ``end`` (share 1) along half a cosine.

    (1 + cos(pi * share)) / 2 is written as a square, which loses no digits in float32.
    """
    angle = math.pi / 2 * share
    return start * ops.square(ops.cos(angle)) + end * ops.square(ops.sin(angle))
