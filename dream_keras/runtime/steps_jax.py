"""Training and prediction compiled by JAX, on one device or several."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import keras
import numpy as np
import numpy.typing as npt
from jax.sharding import NamedSharding, PartitionSpec

from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Flags, Processor
from dream_keras.data.stream import Batch
from dream_keras.model.network import Network
from dream_keras.nn import Tensor
from dream_keras.runtime.steps_base import Channels, Kind, StepsBase

State = tuple[list[Tensor], list[Tensor], list[Tensor]]
"""Values of the trainable, the other and the optimiser's variables."""
Variables = list[keras.Variable]


class JaxSteps(StepsBase):
    """Training and prediction under Keras's current distribution.

    The variables hold the state between two calls, so that saving, loading and looking at them
    works as anywhere in Keras.
    """

    def __init__(
        self,
        network: Network,
        processor: Processor,
        optimizer: keras.optimizers.Optimizer | None = None,
        bias: Network | None = None,
    ):
        super().__init__(network, processor, optimizer, bias)
        self._distribution = keras.distribution.distribution()
        self._train = jax.jit(self._train_many, donate_argnums=0)
        self._predict = jax.jit(self._predict_strands, static_argnums=4)
        self._gradient = jax.jit(self._differentiate)

    @property
    def replicas(self) -> int:
        """Devices that share a batch; its rows must divide by them."""
        distribution = self._distribution
        return 1 if distribution is None else int(np.prod(distribution.device_mesh.shape))

    def train(self, batches: list[Batch]) -> npt.NDArray[np.float64]:
        """Train one step on each batch; return each step's loss and learning rate, (steps, 2)."""
        stacked = [self._shared(np.stack(parts), 1) for parts in zip(*batches, strict=True)]
        values = [[v.value for v in variables] for variables in self._variables]
        state, report = self._train(tuple(values), *stacked)
        for variables, new in zip(self._variables, state, strict=True):
            for variable, value in zip(variables, new, strict=True):
                variable.assign(value)
        return np.asarray(report, np.float64)

    def train_step(self, state: State, batch: Sequence[Tensor]) -> tuple[State, Tensor]:
        """Train one step: a pure function, from state and batch to state and (loss, rate).

        Args:
            state: Values of the variables.
            batch: The columns of a ``Batch``.
        """
        trainable, other, moments = state
        inputs, target, row_weights = self._training_rows(*batch)

        def mean_loss(weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            outputs, changed = self.network.stateless_call(weights, other, inputs, training=True)
            losses = self.loss(target, self.joined(outputs, inputs))
            return jnp.mean(losses * row_weights), changed

        (loss, other), gradients = jax.value_and_grad(mean_loss, has_aux=True)(trainable)
        with keras.StatelessScope(list(zip(self._variables[2], moments, strict=True))):
            rate = jnp.asarray(self.optimizer.learning_rate, jnp.float32)
        trainable, moments = self.optimizer.stateless_apply(moments, gradients, trainable)
        return (trainable, other, moments), jnp.stack([loss, rate])

    def gradient(self, channels: Channels, task: int) -> tuple[Channels, Channels]:
        """Predict inputs of the network, and differentiate one task with respect to them."""
        trainable, other, _ = ([v.value for v in part] for part in self._variables)
        values, gradients = self._gradient(trainable, other, channels, task)
        return np.asarray(values), np.asarray(gradients)

    def _differentiate(
        self, trainable: list[Tensor], other: list[Tensor], channels: Tensor, task: Tensor
    ) -> tuple[Tensor, Tensor]:
        def total(channels: Tensor) -> tuple[Tensor, Tensor]:
            outputs, _ = self.network.stateless_call(trainable, other, channels, training=False)
            values = self.network.explained(outputs)
            return jnp.sum(values[:, task]), values

        gradients, values = jax.grad(total, has_aux=True)(channels)
        return values, gradients

    @property
    def _variables(self) -> tuple[Variables, Variables, Variables]:
        network = self.network
        moments = [] if self.optimizer is None else self.optimizer.variables
        return network.trainable_variables, network.non_trainable_variables, moments

    def _train_many(self, state: State, *batches: Tensor) -> tuple[State, Tensor]:
        if batches[0].shape[0] == 1:
            state, report = self.train_step(state, [part[0] for part in batches])
            return state, report[None]
        return jax.lax.scan(self.train_step, state, batches)

    def _predict_rows(self, tokens: Tokens, flags: Flags, kind: Kind = "values") -> npt.NDArray:
        trainable, other, _ = ([v.value for v in part] for part in self._variables)
        shared = (self._shared(rows, 0) for rows in (tokens, flags))
        return np.asarray(self._predict(trainable, other, *shared, kind))

    def _predict_strands(
        self,
        trainable: list[Tensor],
        other: list[Tensor],
        tokens: Tensor,
        flags: Tensor,
        kind: Kind,
    ) -> Tensor:
        inputs = self._prediction_rows(tokens, flags)
        outputs, _ = self.network.stateless_call(trainable, other, inputs, training=False)
        return self._by_row(self._columns(outputs, inputs, kind))

    def _shared(self, rows: npt.NDArray, axis: int) -> Tensor:
        """Put rows on the devices, each with its share along an axis."""
        if self._distribution is None:
            return rows
        mesh = self._distribution.device_mesh
        spec = PartitionSpec(*[None] * axis, mesh.axis_names[0])
        return jax.device_put(rows, NamedSharding(mesh.backend_mesh, spec))
