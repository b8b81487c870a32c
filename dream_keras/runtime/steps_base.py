"""What training and prediction compute, whatever the backend."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Flags, Processor
from dream_keras.data.stream import Batch
from dream_keras.model.network import Network
from dream_keras.model.targets import choose_target_type
from dream_keras.nn import Tensor, Tensors
from dream_keras.nn.losses import joint_outputs

Channels = npt.NDArray[np.float32]
Kind = Literal["values", "profiles", "joint"]
"""What is predicted: the tasks' values (and spreads); logits at each position, then log counts; or
these with the bias model's joined."""


class StepsBase(ABC):
    """Training and prediction with one network, compiled.

    Every batch is shared equally by the replicas of the strategy under which the network was
    built; without one there is one replica. Several workers each train on their part of a batch
    and predict whole ones together.

    Args:
        network: The network.
        processor: Makes channels and targets from tokens and labels, inside the compiled call.
        optimizer: Built on the network's weights here; None for prediction only.
        bias: A bias model, which is not trained: its outputs are joined to the network's in the
            loss, and where joint profiles are asked for.

    Raises:
        UserError: If the processor makes no target that the final block can be trained on, or
            their sizes do not fit.
    """

    def __init__(
        self,
        network: Network,
        processor: Processor,
        optimizer: keras.optimizers.Optimizer | None = None,
        bias: Network | None = None,
    ):
        self.network = network
        self.bias = bias
        self.processor = processor
        # Only steps that have one are asked to train.
        self.optimizer: keras.optimizers.Optimizer = optimizer
        self.target_type = choose_target_type(network, processor)
        self.loss = network.head.losses[self.target_type](reduction="none")
        if optimizer is not None:
            optimizer.build(network.trainable_variables)

    @property
    @abstractmethod
    def replicas(self) -> int:
        """Replicas that share a batch; its rows must divide by them."""

    def of_all_workers(self, number: int) -> list[int]:
        """Return each worker's number, in their order; every worker must ask at the same time."""
        return [number]

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Give the network the moving averages of its weights, if the optimiser keeps them."""
        if not self.optimizer.use_ema:
            yield
            return
        weights = self.network.trainable_variables
        trained = [ops.convert_to_numpy(weight) for weight in weights]
        self.optimizer.finalize_variable_values(weights)
        try:
            yield
        finally:
            for weight, value in zip(weights, trained, strict=True):
                weight.assign(value)

    @abstractmethod
    def train(self, batches: list[Batch]) -> npt.NDArray[np.float64]:
        """Train one step on each batch; return each step's loss and learning rate, (steps, 2)."""

    def predict(self, tokens: Tokens, flags: Flags | None = None) -> npt.NDArray[np.float64]:
        """Predict the strands of encoded rows.

        Args:
            tokens: (rows, length); the rows must divide by the replicas.
            flags: (rows,), as the processor defines them; 0 by default.

        Returns:
            What the network says, (rows, strands, tasks): the sequence as it is, and its reverse
            complement unless that is part of the input already.
        """
        return self.predict_with_spread(tokens, flags)[0]

    def predict_with_spread(
        self, tokens: Tokens, flags: Flags | None = None
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
        """Predict the strands of encoded rows, and how uncertain the network is of each.

        Arguments are those of ``predict``.

        Returns:
            Values and their standard deviations, both (rows, strands, tasks); None in place of the
            latter where the final block predicts none.
        """
        flags = np.zeros(len(tokens), np.uint8) if flags is None else flags
        columns = self._predict_rows(tokens, flags).astype(np.float64)
        tasks = self.network.tasks
        spreads = None if self.network.head.spread is None else columns[..., tasks:]
        return columns[..., :tasks], spreads

    def predict_profiles(
        self, tokens: Tokens, joint: bool = False
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Predict the counts of encoded rows at each position.

        Args:
            tokens: (rows, length); the rows must divide by the replicas.
            joint: Join the bias model's outputs, if there is one.

        Returns:
            Logits, (rows, tasks, positions), and logarithms of the total counts, (rows, tasks).
        """
        tasks = self.network.tasks
        flags = np.zeros(len(tokens), np.uint8)
        columns = self._predict_rows(tokens, flags, "joint" if joint else "profiles")[:, 0]
        columns = columns.astype(np.float64)
        logits = columns[:, :-tasks].reshape(len(columns), tasks, -1)
        return logits, columns[:, -tasks:]

    @abstractmethod
    def gradient(self, channels: Channels, task: int) -> tuple[Channels, Channels]:
        """Predict inputs of the network, and differentiate one task with respect to them.

        Args:
            channels: (rows, length, channels); on one device, whatever the strategy.
            task: Number of the task, or of what ``Network.explained`` says beside the tasks.

        Returns:
            What the network says, (rows, tasks and others), and the gradients of each row's task,
            (rows, length, channels).
        """

    @abstractmethod
    def _predict_rows(self, tokens: Tokens, flags: Flags, kind: Kind = "values") -> npt.NDArray: ...

    def joined(self, outputs: Tensors, inputs: Tensor) -> Tensors:
        """Join the bias model's outputs to those of the network, if there is one."""
        if self.bias is None:
            return outputs
        return joint_outputs(outputs, self.bias(inputs, training=False))

    def _columns(self, outputs: Tensors, inputs: Tensor, kind: Kind) -> Tensor:
        """Return the columns that are predicted, (rows, columns); see ``Kind``."""
        if kind == "values":
            return self.network.columns(outputs)
        found = self.joined(outputs, inputs) if kind == "joint" else outputs
        profiles = found["profile"]
        size = profiles.shape[1] * profiles.shape[2]
        return ops.concatenate([ops.reshape(profiles, (-1, size)), found["counts"]], axis=-1)

    def _training_rows(
        self, tokens: Tensor, strand: Tensor, flags: Tensor, labels: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensors, Tensor]:
        """Return channels, target and weights of a batch, of both strands where a step takes both.

        The arguments are the columns of a ``Batch``.
        """
        if self.processor.strands == "step":
            rows = ops.shape(tokens)[0]
            tokens, labels = ops.tile(tokens, [2, 1]), ops.tile(labels, [2, 1])
            flags, weights = ops.tile(flags, [2]), ops.tile(weights, [2])
            strand = ops.cast(ops.arange(2 * rows) >= rows, "uint8")
        window = self.processor.training_window(tokens, strand, flags, labels)
        tokens, strand, flags, labels = window
        channels = self.processor.make_channels(tokens, strand, flags)
        target = self.processor.make_target(labels, tokens, self.target_type)
        return channels, target, weights

    def _prediction_rows(self, tokens: Tensor, flags: Tensor) -> Tensor:
        """Return the channels of all strands, one strand after the other."""
        rows = ops.shape(tokens)[0]
        return self.processor.make_channels(
            ops.tile(tokens, [self.processor.predicted_strands, 1]),
            ops.arange(self.processor.predicted_strands * rows) // rows,
            ops.tile(flags, [self.processor.predicted_strands]),
        )

    def _by_row(self, values: Tensor) -> Tensor:
        """Turn values of strands one after the other, (strands * rows, tasks), into rows.

        Returns:
            (rows, strands, tasks).
        """
        by_strand = ops.reshape(values, (self.processor.predicted_strands, -1, values.shape[-1]))
        return ops.transpose(by_strand, (1, 0, 2))
