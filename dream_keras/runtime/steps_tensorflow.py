"""Training and prediction compiled by TensorFlow, under any of its distribution strategies."""

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Flags, Processor
from dream_keras.data.stream import Batch
from dream_keras.model.network import Network
from dream_keras.runtime.steps_base import Channels, Kind, StepsBase


class TensorFlowSteps(StepsBase):
    """Training and prediction under TensorFlow's current strategy."""

    def __init__(
        self,
        network: Network,
        processor: Processor,
        optimizer: keras.optimizers.Optimizer | None = None,
        bias: Network | None = None,
    ):
        super().__init__(network, processor, optimizer, bias)
        self.strategy = tf.distribute.get_strategy()
        self._train_step = tf.function(self._train_one)
        self._train_steps = tf.function(self._train_many, reduce_retracing=True)
        self._predict = tf.function(self._predict_strands)
        self._gradient = tf.function(self._differentiate)
        self._gather = tf.function(self._gather_numbers)
        # Of this worker; the strategy of a single device has no list.
        self._local = 1 if self.replicas == 1 else len(self.strategy.extended.worker_devices)

    @property
    def replicas(self) -> int:
        """Replicas that share a batch; its rows must divide by them."""
        return self.strategy.num_replicas_in_sync

    def of_all_workers(self, number: int) -> list[int]:
        """Return each worker's number, in their order; every worker must ask at the same time."""
        if self._local == self.replicas:
            return [number]
        return self._gather(tf.constant([number], tf.int64)).numpy().tolist()[:: self._local]

    def _gather_numbers(self, number: tf.Tensor) -> tf.Tensor:
        return self.strategy.gather(self.strategy.run(tf.identity, (number,)), axis=0)

    def train(self, batches: list[Batch]) -> npt.NDArray[np.float64]:
        """Train one step on each batch; return each step's loss and learning rate, (steps, 2)."""
        if len(batches) == 1:
            report = self._train_step(*map(tf.constant, batches[0]))[None]
        else:
            stacked = [np.stack(parts) for parts in zip(*batches, strict=True)]
            report = self._train_steps(*map(tf.constant, stacked))
        return report.numpy().astype(np.float64)

    def _predict_rows(self, tokens: Tokens, flags: Flags, kind: Kind = "values") -> npt.NDArray:
        return self._predict(tf.constant(tokens), tf.constant(flags), kind).numpy()

    def gradient(self, channels: Channels, task: int) -> tuple[Channels, Channels]:
        """Predict inputs of the network, and differentiate one task with respect to them."""
        values, gradients = self._gradient(tf.constant(channels), tf.constant(task))
        return values.numpy(), gradients.numpy()

    def _differentiate(self, channels: tf.Tensor, task: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(channels)
            values = self.network.explained(self.network(channels, training=False))
            total = tf.reduce_sum(tf.gather(values, task, axis=1))
        return values, tape.gradient(total, channels)

    def _train_many(self, *batches: tf.Tensor) -> tf.Tensor:
        steps = tf.shape(batches[0])[0]
        reports = tf.TensorArray(tf.float32, steps, element_shape=(2,))
        for step in tf.range(steps):
            report = self._train_one(*(column[step] for column in batches))
            reports = reports.write(step, report)
        return reports.stack()

    def _train_one(self, *batch: tf.Tensor) -> tf.Tensor:
        rate = tf.cast(self.optimizer.learning_rate, tf.float32)
        losses = self.strategy.run(self._train_replica, batch)
        return tf.stack([self.strategy.reduce("SUM", losses, axis=None), rate])

    def _train_replica(self, *batch: tf.Tensor) -> tf.Tensor:
        """Train on this replica's rows; return its part of the batch's mean loss."""
        parts = (self._share(rows, self._local) for rows in batch)
        inputs, target, row_weights = self._training_rows(*parts)
        with tf.GradientTape() as tape:
            outputs = self.network(inputs, training=True)
            losses = self.loss(target, self.joined(outputs, inputs))
            loss = tf.reduce_mean(losses * row_weights) / self.replicas
        weights = self.network.trainable_variables
        # A head may have outputs that this target says nothing about.
        gradients = tape.gradient(
            loss, [w.value for w in weights], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        # A table that is looked up gets slices; Keras's Adam squares each, not their sum.
        self.optimizer.apply([tf.convert_to_tensor(g) for g in gradients], weights)
        return loss

    def _predict_strands(self, tokens: tf.Tensor, flags: tf.Tensor, kind: Kind) -> tf.Tensor:
        parts = self.strategy.run(self._predict_replica, (tokens, flags), {"kind": kind})
        if self._local < self.replicas:
            return self.strategy.gather(parts, axis=0)
        return tf.concat(self.strategy.experimental_local_results(parts), axis=0)

    def _predict_replica(self, *batch: tf.Tensor, kind: Kind) -> tf.Tensor:
        inputs = self._prediction_rows(*(self._share(rows, self.replicas) for rows in batch))
        outputs = self.network(inputs, training=False)
        return self._by_row(self._columns(outputs, inputs, kind))

    def _share(self, rows: tf.Tensor, parts: int) -> tf.Tensor:
        """Return this replica's part of some rows: of a worker's own, or of all replicas'."""
        if parts == 1:
            return rows
        share = tf.shape(rows)[0] // parts
        first = tf.distribute.get_replica_context().replica_id_in_sync_group % parts * share
        return rows[first : first + share]
