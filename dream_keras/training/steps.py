"""The compiled functions of a run: some training steps in one call, and prediction.

What is here is TensorFlow's; what they compute is ``keras.ops``. The engine knows only this
module's two methods, so another backend needs only another such class.
"""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Processor
from dream_keras.data.stream import Batch
from dream_keras.errors import UserError
from dream_keras.model import Network


class Steps:
    """Training and prediction with one network, compiled.

    Args:
        network: The network.
        processor: Makes planes and targets from tokens and values, inside the compiled call.
        optimizer: Built on the network's weights here; None for prediction only.
    """

    def __init__(self, network: Network, processor: Processor, optimizer: Any = None):
        self.network = network
        self.processor = processor
        self.optimizer = optimizer
        self.kind = next((k for k in processor.targets if k in network.head.losses), "value")
        self._check_head()
        self.loss = network.head.losses[self.kind](reduction="none")
        if optimizer is not None:
            optimizer.build(network.trainable_variables)
        self._train_step = tf.function(self._train_one)
        self._train_steps = tf.function(self._train_many, reduce_retracing=True)
        self._predict = tf.function(self._predict_both, reduce_retracing=True)

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
        """Predict both strands of encoded rows.

        Args:
            tokens: (rows, length).
            values: Measured values, (rows,): when given, is_singleton is read off them.

        Returns:
            Expression, (rows, 2): the sequence as it is, and its reverse complement.
        """
        singleton = np.zeros(len(tokens)) if values is None else values == np.round(values)
        inputs = tf.constant(tokens), tf.constant(singleton.astype(np.uint8))
        return self._predict(*inputs).numpy().astype(np.float64)

    def _check_head(self) -> None:
        """Refuse a final block whose outputs are not what the processor's target can train."""
        outputs = self.network.output
        expression = self.network.head.expression(outputs)
        if len(expression.shape) != 1:
            raise UserError(
                f"the final block predicts {expression.shape[-1]} values per row; training and "
                "prediction take one. Set its number of tasks to 1."
            )
        if self.kind == "bins":
            target = self.processor.make_target(keras.KerasTensor((None,)), self.kind)
            if target.shape[-1] != outputs.shape[-1]:
                raise UserError(
                    f"the final block has {outputs.shape[-1]} bins, the processor's target "
                    f"{target.shape[-1]}: set model.final.bins to {target.shape[-1]}"
                )

    def _train_many(self, tokens: Any, reverse: Any, values: Any) -> Any:
        steps = tf.shape(tokens)[0]
        reports = tf.TensorArray(tf.float32, steps, element_shape=(2,))
        for step in tf.range(steps):
            report = self._train_one(tokens[step], reverse[step], values[step])
            reports = reports.write(step, report)
        return reports.stack()

    def _train_one(self, tokens: Any, reverse: Any, values: Any) -> Any:
        planes = self.processor.make_planes(tokens, reverse, values == tf.round(values))
        target = self.processor.make_target(values, self.kind)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.loss(target, self.network(planes, training=True)))
        rate = tf.cast(self.optimizer.learning_rate, tf.float32)
        weights = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, [w.value for w in weights]), weights)
        return tf.stack([loss, rate])

    def _predict_both(self, tokens: Any, singleton: Any) -> Any:
        rows = tf.shape(tokens)[0]
        reverse = tf.repeat(tf.constant([0, 1], tf.uint8), rows)
        planes = self.processor.make_planes(
            tf.tile(tokens, [2, 1]), reverse, tf.tile(singleton, [2]), prediction=True
        )
        expression = self.network.expression(planes)
        return tf.transpose(tf.reshape(expression, [2, rows]))
