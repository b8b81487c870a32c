"""What training and prediction compute, whatever the backend: planes, targets, kinds of target."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Processor
from dream_keras.data.stream import Batch
from dream_keras.model.network import Network
from dream_keras.model.targets import target_kind


class StepsBase(ABC):
    """Training and prediction with one network, compiled.

    Every batch is shared equally by the replicas of the strategy under which the network was
    built; without one there is one replica. Several workers each train on their part of a batch
    and predict whole ones together.

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
        self.kind = target_kind(network, processor)
        self.loss = network.head.losses[self.kind](reduction="none")
        if optimizer is not None:
            optimizer.build(network.trainable_variables)

    @property
    @abstractmethod
    def replicas(self) -> int:
        """Replicas that share a batch; its rows must divide by them."""

    @property
    def strands(self) -> int:
        """Strands of a row that are predicted apart."""
        return 1 if self.processor.strands == "input" else 2

    def of_all_workers(self, number: int) -> list[int]:
        """Return each worker's number, in their order; every worker must ask at the same time."""
        return [number]

    @abstractmethod
    def train(self, batches: list[Batch]) -> npt.NDArray[np.float64]:
        """Train one step on each batch; return each step's loss and learning rate, (steps, 2)."""

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
        return self._predict_rows(tokens, singleton.astype(np.uint8)).astype(np.float64)

    @abstractmethod
    def _predict_rows(self, tokens: Tokens, singleton: npt.NDArray[np.uint8]) -> npt.NDArray: ...

    def _training_rows(self, tokens: Any, reverse: Any, values: Any) -> tuple[Any, Any]:
        """Return planes and target of a batch, of both strands where a step takes both."""
        if self.processor.strands == "step":
            rows = ops.shape(tokens)[0]
            tokens, values = ops.tile(tokens, [2, 1]), ops.tile(values, [2])
            reverse = ops.cast(ops.arange(2 * rows) >= rows, "uint8")
        planes = self.processor.make_planes(tokens, reverse, values == ops.round(values))
        return planes, self.processor.make_target(values, tokens, self.kind)

    def _prediction_rows(self, tokens: Any, singleton: Any) -> Any:
        """Return the planes of all strands, one strand after the other."""
        rows = ops.shape(tokens)[0]
        return self.processor.make_planes(
            ops.tile(tokens, [self.strands, 1]),
            ops.arange(self.strands * rows) // rows,
            ops.tile(singleton, [self.strands]),
            prediction=True,
        )
