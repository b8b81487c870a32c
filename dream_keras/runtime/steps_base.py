"""What training and prediction compute, whatever the backend: planes, targets, kinds of target."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from dream_keras.common.errors import UserError
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import BINS, Processor
from dream_keras.data.stream import Batch
from dream_keras.model.network import Network


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
