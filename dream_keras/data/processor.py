"""What a data processor is: a host part that moves bytes and a graph part that makes floats."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens

Lengths = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]

BINS = 18
"""Fluorescence bins of the sorting experiment; labels are mean bins, 0 to 17."""
ON_BINS = (0.0, BINS - 1.0)
"""Labels that the sorting bins can express."""

LABEL_STATISTICS = ("label_mean", "label_deviation")
"""Options of processors that are taken from the training labels where they are not set."""


class Processor(ABC):
    """Turns rows of a table into what a network is trained on.

    A kind of target is one of ``"bins"`` (probabilities of the sorting bins), ``"label"`` (the
    label in its own units), ``"value"`` (the label as the processor scales it) and ``"masked"``
    (the value, and the bases that were hidden from the network).

    Attributes:
        length: Positions of the input in bp.
        planes: Channels of the input.
        longest: The longest sequence it takes in bp.
        left_adapter: What every sequence is expected to start with.
        targets: Kinds of target it can make, the preferred one first; see ``menu.Head``.
        label_ranges: For kinds of target that allow only some labels, the lowest and highest.
        strands: How both strands are trained on: as ``"rows"`` of their own, both in each
            ``"step"`` with the mean of their losses, or both in one ``"input"``.
        singleton_in_validation: Whether validation rows keep is_singleton as their label says.
        average_validation_strands: Whether a validation row's score is the mean of its strands.
    """

    length: int
    planes: int
    longest: int
    left_adapter: Tokens
    targets: tuple[str, ...]
    label_ranges: ClassVar[Mapping[str, tuple[float, float]]] = MappingProxyType(
        {"bins": ON_BINS, "label": ON_BINS}
    )
    strands: Literal["rows", "step", "input"]
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

    def training_view(self, tokens: Tokens, random: np.random.Generator) -> Tokens:
        """Return encoded rows as one step trains on them; host side, drawn anew for each step.

        Args:
            tokens: (batch, length), as ``encode`` made them.
            random: Belongs to the step alone, so a resumed run draws the same.

        Returns:
            Tokens, (batch, length).
        """
        return tokens

    def prediction_views(self, tokens: Tokens) -> Sequence[Tokens]:
        """Return encoded rows as they are predicted; the mean over all views is the prediction.

        Args:
            tokens: (batch, length), as ``encode`` made them.

        Returns:
            Arrays of tokens, each (batch, length); both strands of each are predicted.
        """
        return (tokens,)

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
    def make_target(self, values: Any, tokens: Any, kind: str) -> Any:
        """Make the training target from measured values; inside the compiled step.

        Args:
            values: (batch,), float32.
            tokens: (batch, length), as ``training_view`` made them.
            kind: One of ``targets``.
        """

    def label_statistics(self, labels: npt.NDArray[np.float32]) -> dict[str, float]:
        """Return the options that come from the training labels, (rows,), and are not set."""
        return {}

    def to_expression(self, outputs: Values, kind: str) -> Values:
        """Turn the network's outputs, (rows, views), into expression, (rows,), in label units."""
        return outputs.mean(axis=1)


class ScalingProcessor(Processor):
    """A processor that trains on labels brought to a common scale.

    Attributes:
        label_mean: Mean of the training labels.
        label_deviation: Their standard deviation (over n).
    """

    label_mean: float | None
    label_deviation: float | None

    @property
    @abstractmethod
    def label_center(self) -> float:
        """What is subtracted from a label before it is divided by the standard deviation."""

    def make_target(self, values: Any, tokens: Any, kind: str) -> Any:
        """Return scaled labels, (batch,), for ``"value"`` and labels as they are for others."""
        if kind != "value":
            return values
        return (values - self.label_center) / (self.label_deviation or 1.0)

    def label_statistics(self, labels: npt.NDArray[np.float32]) -> dict[str, float]:
        """Return mean and standard deviation of the training labels, unless they are set.

        Raises:
            UserError: If the labels do not differ.
        """
        mean, deviation = (float(f(labels, dtype=np.float64)) for f in (np.mean, np.std))
        if deviation == 0:
            raise UserError(f"all training labels are {mean:g}: there is nothing to learn")
        found = zip(LABEL_STATISTICS, (mean, deviation), strict=True)
        return {name: value for name, value in found if getattr(self, name) is None}

    def to_expression(self, outputs: Values, kind: str) -> Values:
        """Average the views and undo the scaling of a network that was trained on values.

        Imported weights come without their labels' statistics: theirs stays on their own scale.
        """
        mean = outputs.mean(axis=1)
        if kind not in ("value", "masked") or self.label_deviation is None:
            return mean
        return mean * self.label_deviation + self.label_center


def strand(tokens: Any, reverse: Any) -> Any:
    """Return rows, or their reverse complements; inside the compiled step.

    Args:
        tokens: (batch, length), any integer type.
        reverse: (batch,), 1 where the reverse complement is wanted.

    Returns:
        Tokens, (batch, length), int32.
    """
    from keras import ops

    tokens = ops.cast(tokens, "int32")
    complement = ops.convert_to_tensor(alphabet.COMPLEMENT.astype("int32"))
    other = ops.take(complement, ops.flip(tokens, axis=1))
    return ops.where(ops.expand_dims(ops.cast(reverse, "int32"), -1) == 1, other, tokens)


def one_hot(tokens: Any, channels: Sequence[int]) -> Any:
    """Return one plane per token in ``channels``; inside the compiled step.

    Args:
        tokens: (batch, length), int32.
        channels: Tokens in the order of their planes; others are zeros in all of them.

    Returns:
        (batch, length, channels), float32.
    """
    from keras import ops

    wanted = ops.convert_to_tensor(np.array(channels, "int32"))
    return ops.cast(ops.expand_dims(tokens, -1) == wanted, "float32")
