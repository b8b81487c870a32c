"""The compiled functions of a run: some training steps in one call, and prediction.

What is here is TensorFlow's; what they compute is ``keras.ops``. The engine knows only this
module's two methods, so another backend needs only another such class.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import BINS, Processor
from dream_keras.data.stream import Batch
from dream_keras.errors import UserError
from dream_keras.model import Network


class Steps:
    """Training and prediction with one network, compiled.

    Every batch is shared equally by the replicas of the distribution strategy under which the
    network was built; without one there is one replica.

    Args:
        network: The network.
        processor: Makes planes and targets from tokens and values, inside the compiled call.
        optimizer: Built on the network's weights here; None for prediction only.

    Raises:
        UserError: If the processor makes no target that the final block can be trained on, or
            their sizes do not fit.
    """

    def __init__(self, network: Network, processor: Processor, optimizer: Any = None):
        self.network = network
        self.processor = processor
        self.optimizer = optimizer
        self.strategy = tf.distribute.get_strategy()
        self.kind = target_kind(network, processor)
        self.loss = network.head.losses[self.kind](reduction="none")
        if optimizer is not None:
            optimizer.build(network.trainable_variables)
        self._train_step = tf.function(self._train_one)
        self._train_steps = tf.function(self._train_many, reduce_retracing=True)
        self._predict = tf.function(self._predict_strands, reduce_retracing=True)

    @property
    def replicas(self) -> int:
        """Replicas that share a batch; its rows must divide by them."""
        return self.strategy.num_replicas_in_sync

    @property
    def strands(self) -> int:
        """Strands of a row that are predicted apart."""
        return 1 if self.processor.strands == "input" else 2

    def train(self, batches: list[Batch]) -> npt.NDArray[np.float64]:
        """Train one step on each batch; return each step's loss and learning rate, (steps, 2)."""
        if len(batches) == 1:
            report = self._train_step(*map(tf.constant, batches[0]))[None]
        else:
            stacked = [np.stack(parts) for parts in zip(*batches, strict=True)]
            report = self._train_steps(*map(tf.constant, stacked))
        return report.numpy().astype(np.float64)

    def predict(
        self, tokens: Tokens, values: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float64]:
        """Predict the strands of encoded rows.

        Args:
            tokens: (rows, length); the rows must divide by the replicas.
            values: Measured values, (rows,): when given, is_singleton is read off them.

        Returns:
            What the network says, (rows, strands): the sequence as it is, and its reverse
            complement unless that is part of the input already.
        """
        singleton = np.zeros(len(tokens)) if values is None else values == np.round(values)
        inputs = tf.constant(tokens), tf.constant(singleton.astype(np.uint8))
        return self._predict(*inputs).numpy().astype(np.float64)

    def _train_many(self, tokens: Any, reverse: Any, values: Any) -> Any:
        steps = tf.shape(tokens)[0]
        reports = tf.TensorArray(tf.float32, steps, element_shape=(2,))
        for step in tf.range(steps):
            report = self._train_one(tokens[step], reverse[step], values[step])
            reports = reports.write(step, report)
        return reports.stack()

    def _train_one(self, tokens: Any, reverse: Any, values: Any) -> Any:
        rate = tf.cast(self.optimizer.learning_rate, tf.float32)
        losses = self.strategy.run(self._train_replica, (tokens, reverse, values))
        return tf.stack([self.strategy.reduce("SUM", losses, axis=None), rate])

    def _train_replica(self, *batch: Any) -> Any:
        """Train on this replica's rows; return its part of the batch's mean loss."""
        tokens, reverse, values = map(self._share, batch)
        if self.processor.strands == "step":
            rows = tf.shape(tokens)[0]
            tokens, values = tf.tile(tokens, [2, 1]), tf.tile(values, [2])
            reverse = tf.repeat(tf.constant([0, 1], tf.uint8), rows)
        planes = self.processor.make_planes(tokens, reverse, values == tf.round(values))
        target = self.processor.make_target(values, tokens, self.kind)
        with tf.GradientTape() as tape:
            losses = self.loss(target, self.network(planes, training=True))
            loss = tf.reduce_mean(losses) / self.replicas
        weights = self.network.trainable_variables
        # A head may have outputs that this kind of target says nothing about.
        gradients = tape.gradient(
            loss, [w.value for w in weights], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        # A table that is looked up gets slices; Keras's Adam squares each, not their sum.
        self.optimizer.apply([tf.convert_to_tensor(g) for g in gradients], weights)
        return loss

    def _predict_strands(self, tokens: Any, singleton: Any) -> Any:
        parts = self.strategy.run(self._predict_replica, (tokens, singleton))
        return tf.concat(self.strategy.experimental_local_results(parts), axis=0)

    def _predict_replica(self, *batch: Any) -> Any:
        tokens, singleton = map(self._share, batch)
        rows = tf.shape(tokens)[0]
        reverse = tf.repeat(tf.range(self.strands), rows)
        planes = self.processor.make_planes(
            tf.tile(tokens, [self.strands, 1]),
            reverse,
            tf.tile(singleton, [self.strands]),
            prediction=True,
        )
        expression = self.network.expression(planes)
        return tf.transpose(tf.reshape(expression, [self.strands, rows]))

    def _share(self, rows: Any) -> Any:
        """Return the rows of a batch that are this replica's."""
        if self.replicas == 1:
            return rows
        share = tf.shape(rows)[0] // self.replicas
        first = tf.distribute.get_replica_context().replica_id_in_sync_group * share
        return rows[first : first + share]


def target_kind(network: Network, processor: Processor) -> str:
    """Return the kind of target a network is trained on: the first the processor prefers.

    Raises:
        UserError: If there is none, or the final block's outputs do not fit it.
    """
    head, outputs = network.head, network.output
    kind = next((kind for kind in processor.targets if kind in head.losses), None)
    order = network.order
    if kind is None:
        raise UserError(
            f"final block {order.final.name} is trained on {' or '.join(head.losses)}, but "
            f"processor {order.processor.name} makes {' or '.join(processor.targets)}: choose "
            "another model.final or model.processor"
        )
    expression = head.expression(outputs)
    if len(expression.shape) != 1:
        raise UserError(
            f"the final block predicts {expression.shape[-1]} values per row; training and "
            "prediction take one. Set its number of tasks to 1."
        )
    if kind == "bins" and outputs.shape[-1] != BINS:
        raise UserError(
            f"the final block has {outputs.shape[-1]} bins, the processor's target {BINS}: set "
            f"model.final.bins to {BINS}"
        )
    if kind == "masked" and outputs["nucleotides"].shape[1] > processor.length:
        raise UserError(
            f"the final block predicts the bases of {outputs['nucleotides'].shape[1]} positions, "
            f"the input has {processor.length}: set model.final.sequence_length to "
            f"{processor.length}"
        )
    return kind
