"""Adam and AdamW as PyTorch computes them, Adam that clips twice, RMSprop of TensorFlow 1."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
from keras import ops

from dream_keras.nn import Tensor

Rate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule
"""A number, or a schedule of the step."""


def scale_rates(optimizer: keras.optimizers.Optimizer, factors: Sequence[Rate]) -> None:
    """Multiply the learning rate of each weight by a factor of its own.

    Args:
        optimizer: Changed in place. Decoupled weight decay follows the rate in ``AdamW``.
        factors: A number, or a function of the step, for each weight, in the optimiser's order.

    Examples:
        >>> weights = [keras.Variable([1.0]), keras.Variable([1.0])]
        >>> optimizer = keras.optimizers.SGD(learning_rate=0.1)
        >>> scale_rates(optimizer, [1.0, 0.0])
        >>> optimizer.build(weights)
        >>> optimizer.apply([ops.ones((1,)), ops.ones((1,))], weights)
        >>> [round(float(weight.value[0]), 4) for weight in weights]
        [0.9, 1.0]
    """
    update = optimizer.update_step

    def scaled(gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        factor = factors[optimizer._get_variable_index(variable)]
        if callable(factor):
            factor = factor(optimizer.iterations)
        update(gradient, variable, learning_rate * factor)

    optimizer.update_step = scaled


@keras.saving.register_keras_serializable(package="dream_keras")
class AdamW(keras.optimizers.Adam):
    """AdamW in PyTorch's form, so that published settings mean the same here.

    Two things differ from Keras: epsilon is added to the bias-corrected root of the second moment
    (Keras adds it before the correction), and beta1 may be a schedule of the step.

    Args:
        learning_rate: A number or a schedule.
        beta_1: A number or a schedule.
        weight_decay: Decoupled decay, applied to every weight, biases and norms included.
        **kwargs: Those of ``keras.optimizers.Adam``.

    Examples:
        >>> weight = keras.Variable([1.0])
        >>> optimizer = AdamW(learning_rate=0.1, weight_decay=0.0)
        >>> optimizer.build([weight])
        >>> optimizer.apply([ops.ones((1,))], [weight])
        >>> round(float(weight.value[0]), 4)
        0.9
    """

    def __init__(
        self,
        learning_rate: Rate,
        weight_decay: float = 0.01,
        beta_1: Rate = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        **kwargs: object,
    ):
        super().__init__(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **kwargs)
        # Not Keras's own setting, which would decay by the schedule's rate, not by the weight's.
        self.decay = weight_decay
        self._step_numbers: tuple[Tensor, Tensor, Tensor] | None = None

    def current_beta_1(self) -> Tensor | float:
        """Return beta1 at the next step."""
        return self.beta_1(self.iterations) if callable(self.beta_1) else self.beta_1

    def apply(
        self,
        grads: Sequence[Tensor | None],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        """Update the weights; what is the same for all is computed once, which compiles faster."""
        self._step_numbers = self._numbers()
        try:
            super().apply(grads, trainable_variables)
        finally:
            self._step_numbers = None

    def _numbers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return beta1, and both corrections of the bias towards 0, at the next step."""
        step = ops.cast(self.iterations + 1, "float32")
        beta_1 = ops.cast(self.current_beta_1(), "float32")
        beta_2 = ops.cast(self.beta_2, "float32")
        return beta_1, 1 - ops.power(beta_1, step), 1 - ops.power(beta_2, step)

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Update one weight."""
        dtype = variable.dtype
        gradient = ops.cast(gradient, dtype)
        learning_rate = ops.cast(learning_rate, dtype)
        if self.decay:
            self.assign_sub(variable, variable * self.decay * learning_rate)
        numbers = self._step_numbers or self._numbers()
        beta_1, first, second = (ops.cast(number, dtype) for number in numbers)
        beta_2 = ops.cast(self.beta_2, dtype)
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index], self._velocities[index]
        self.assign_add(momentum, (gradient - momentum) * (1 - beta_1))
        self.assign_add(velocity, (ops.square(gradient) - velocity) * (1 - beta_2))
        if self.amsgrad:
            largest = self._velocity_hats[index]
            self.assign(largest, ops.maximum(largest, velocity))
            velocity = largest
        root = ops.sqrt(velocity / second) + self.epsilon
        size = learning_rate / first
        self.assign_sub(variable, size * momentum / root)

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        config = super().get_config() | {"weight_decay": self.decay}
        if callable(self.beta_1):
            config["beta_1"] = keras.saving.serialize_keras_object(self.beta_1)
        return config

    @classmethod
    def from_config(
        cls, config: dict[str, object], custom_objects: dict[str, object] | None = None
    ) -> "AdamW":
        """Build the optimiser again from ``get_config``."""
        if isinstance(config.get("beta_1"), dict):
            schedule = keras.saving.deserialize_keras_object(config["beta_1"], custom_objects)
            config = {**config, "beta_1": schedule}
        return super().from_config(config, custom_objects)


@keras.saving.register_keras_serializable(package="dream_keras")
class Adam(AdamW):
    """Adam in PyTorch's form, whose weight decay is part of the gradient.

    Args:
        learning_rate: A number or a schedule.
        l2: This times each weight is added to its gradient: ``weight_decay`` of PyTorch's Adam.
        **kwargs: Those of ``AdamW``.
    """

    def __init__(self, learning_rate: Rate, l2: float = 0.0, **kwargs: Any):
        super().__init__(learning_rate, 0.0, **kwargs)
        self.l2 = l2

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Move one weight along its gradient."""
        decay = self.l2 * ops.cast(variable, gradient.dtype)
        super().update_step(gradient + decay, variable, learning_rate)

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        config = super().get_config()
        del config["weight_decay"]
        return config | {"l2": self.l2}


@keras.saving.register_keras_serializable(package="dream_keras")
class ClippedAdam(keras.optimizers.Adam):
    """Adam whose gradients are clipped to a norm and value by value.

    Keras's own settings for these exclude each other. Source: the UnlockDNA trainer of Prix Fixe,
    and the team's own.

    Args:
        learning_rate: A number or a schedule.
        clip_norm: Largest norm of the gradient of all weights together, clipped first.
        clip_value: Largest value of a gradient, after that.
        each_weight: Clip value by value first, then the gradient of each weight to the norm, as
            the team's own code does.
        **kwargs: Those of ``keras.optimizers.Adam``.
    """

    def __init__(
        self,
        learning_rate: Rate,
        clip_norm: float = 1.0,
        clip_value: float = 0.5,
        each_weight: bool = False,
        **kwargs: object,
    ):
        super().__init__(learning_rate, **kwargs)
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.each_weight = each_weight

    def apply(
        self,
        grads: Sequence[Tensor | None],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        """Clip the gradients and update the weights."""
        super().apply(self.clipped(grads), trainable_variables)

    def clipped(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return clipped gradients; None, for a weight without one, stays."""
        known = [gradient for gradient in gradients if gradient is not None]
        if self.each_weight:
            values = (ops.clip(g, -self.clip_value, self.clip_value) for g in known)
            new = [gradient * self._factor([gradient]) for gradient in values]
        else:
            factor = self._factor(known)
            new = [ops.clip(g * factor, -self.clip_value, self.clip_value) for g in known]
        clipped = iter(new)
        return [None if gradient is None else next(clipped) for gradient in gradients]

    def _factor(self, gradients: Sequence[Tensor]) -> Tensor:
        """Return what brings gradients to a norm of at most ``clip_norm`` together."""
        norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in gradients))
        return self.clip_norm / ops.maximum(norm, self.clip_norm)

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return super().get_config() | {
            "clip_norm": self.clip_norm,
            "clip_value": self.clip_value,
            "each_weight": self.each_weight,
        }


@keras.saving.register_keras_serializable(package="dream_keras")
class RMSprop(keras.optimizers.RMSprop):
    """RMSprop as TensorFlow 1 computes it: the mean squared gradient starts at 1, not at 0.

    Args:
        learning_rate: A number or a schedule.
        l2: This times the sum of squares of each kernel is part of the loss, as with Keras's
            ``kernel_regularizer``; biases, norms and recurrent kernels are left out.
        epsilon: Added to the mean squared gradient before its root is taken.
        **kwargs: Those of ``keras.optimizers.RMSprop``.
    """

    def __init__(
        self, learning_rate: Rate, l2: float = 0.0, epsilon: float = 1e-10, **kwargs: object
    ):
        super().__init__(learning_rate, epsilon=epsilon, **kwargs)
        self.l2 = l2

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make the mean squared gradients."""
        if self.built:
            return
        super().build(variables)
        # An update sees the backend's variable, which may have another name.
        self._decay = [2 * self.l2 * (v.name == "kernel") for v in variables]
        for velocity in self._velocities:
            velocity.assign(ops.ones(velocity.shape, velocity.dtype))

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Move one weight along its gradient."""
        decay = self._decay[self._get_variable_index(variable)]
        if decay:
            gradient = gradient + decay * ops.cast(variable, gradient.dtype)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, object]:
        """Return the constructor's arguments."""
        return super().get_config() | {"l2": self.l2}
