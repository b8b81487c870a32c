"""What a data processor is: a host part that moves bytes and a graph part that makes floats."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dream_keras.data.alphabet import Tokens

Lengths = npt.NDArray[np.int32]


class Processor(ABC):
    """Turns rows of a table into what a network is trained on.

    Attributes:
        length: Positions of the input in bp.
        planes: Channels of the input.
        longest: The longest sequence it takes in bp.
        left_adapter: What every sequence is expected to start with, and the processor cuts off.
        targets: Kinds of target it can make, the preferred one first; see ``menu.Head``.
        label_ranges: For kinds of target that allow only some labels, the lowest and highest.
        both_strands: Whether each training row is also trained on as its reverse complement.
        singleton_in_validation: Whether validation rows keep is_singleton as their label says.
        average_validation_strands: Whether a validation row's score is the mean of its strands.
    """

    length: int
    planes: int
    longest: int
    left_adapter: Tokens
    targets: tuple[str, ...]
    label_ranges: ClassVar[Mapping[str, tuple[float, float]]]
    both_strands: bool
    singleton_in_validation: bool = False
    average_validation_strands: bool = True

    @abstractmethod
    def encode(self, tokens: Tokens, lengths: Lengths) -> Tokens:
        """Bring sequences to one length; host side, before training.

        Args:
            tokens: (rows, width); what stands behind a sequence's length is ignored.
            lengths: (rows,), in bp.

        Returns:
            Tokens, (rows, length).
        """

    @abstractmethod
    def make_planes(
        self, tokens: Any, reverse: Any, singleton: Any, prediction: bool = False
    ) -> Any:
        """Make input planes from tokens; inside the compiled step.

        Args:
            tokens: (batch, length), any integer type.
            reverse: (batch,), 1 where the reverse complement is wanted.
            singleton: (batch,), 1 where the label comes from a single read or cell.
            prediction: Whether the planes are for prediction rather than training.

        Returns:
            Planes, (batch, length, planes), float32.
        """

    @abstractmethod
    def make_target(self, values: Any, kind: str) -> Any:
        """Make the training target from measured values; inside the compiled step.

        Args:
            values: (batch,), float32.
            kind: One of ``targets``.
        """
