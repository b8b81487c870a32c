"""Base classes of data processors: a host part on bytes and a graph part on floats."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.nn import Tensor, Tensors

Lengths = npt.NDArray[np.int32]
Bounds = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
"""Where a part of each row starts and, exclusively, ends, both (rows,)."""
Labels = npt.NDArray[np.float32]
"""Measured values, (rows, tasks); NaN where one is missing."""
Flags = npt.NDArray[np.uint8]
"""Flags that a network is given with each sequence, (rows,), as its processor defines them."""
Values = npt.NDArray[np.float64]

PROFILE = "profile"
"""Target type of processors whose rows are regions of a genome."""
LABEL_STATISTICS = ("label_mean", "label_std")
"""Options that processors of scaled labels take from the training labels where they are not set."""
FROM_LABELS = (*LABEL_STATISTICS, "counts_weight", "counts_start")
"""All options of processors that are taken from the training labels where they are not set."""


class Processor(ABC):
    """Turns rows of a table into network inputs and training targets.

    A target type is one of ``"bins"`` (probabilities of sorting bins), ``"label"`` (the labels in
    their own units), ``"value"`` (the labels as the processor scales them), ``"masked"`` (the
    values, and the bases that were masked) and ``"profile"`` (counts at each position; such rows
    are regions of a genome).

    Attributes:
        length: Positions of the input in bp; 0 where the training table decides.
        channels: Channels of the input.
        max_length: The longest sequence it takes in bp.
        left_adapter: What every sequence is expected to start with.
        right_adapter: What every sequence is expected to end with.
        cuts_adapters: Whether ``encode`` cuts off bases where the adapters are expected.
        targets: Target types that it can make, the preferred one first; see ``menu.Head``.
        label_ranges: For target types that allow only some labels, the lowest and highest.
        strands: How both strands are trained on: as ``"rows"`` of their own, both in each
            ``"step"`` with the mean of their losses, both in one ``"input"``, or one of them drawn
            at ``"random"`` in each step; ``"single"`` trains on rows as they are.
        average_validation_strands: Whether a validation row's score is the mean of its strands.
        length_option: The option that decides how long a sequence may be.
        reverse_mark: Text in the names of rows that are reverse complements, which ``name_flags``
            looks for; empty where names say nothing.
    """

    length: int
    channels: int
    max_length: int
    left_adapter: Tokens
    right_adapter: Tokens = alphabet.encode("")
    cuts_adapters: bool = True
    targets: tuple[str, ...]
    label_ranges: ClassVar[Mapping[str, tuple[float, float]]] = MappingProxyType({})
    strands: Literal["rows", "step", "input", "random", "single"]
    average_validation_strands: bool = True
    length_option: ClassVar[str] = "length"
    reverse_mark: str = ""

    @property
    def min_length(self) -> int:
        """The shortest sequence it takes in bp: something must be left without the adapter."""
        return len(self.left_adapter) + 1

    @property
    def predicted_strands(self) -> int:
        """Strands of a row that are predicted apart: 1 or 2."""
        return 1 if self.strands in ("input", "single") else 2

    def length_for(self, longest: int) -> int:
        """Return the length of the input that takes sequences of up to ``longest`` bp.

        Asked of processors whose ``length`` is 0.
        """
        raise NotImplementedError

    @abstractmethod
    def encode(self, tokens: Tokens, lengths: Lengths) -> Tokens:
        """Bring sequences to one length; host side, before training.

        Args:
            tokens: (rows, width); what stands behind a sequence's length is ignored.
            lengths: (rows,), in bp.

        Returns:
            Tokens, (rows, length).
        """

    def row_flags(self, labels: Values) -> Flags:
        """Return the flag that the network is given with each training row, (rows,).

        Args:
            labels: (rows, tasks), float64, as parsed from the table.
        """
        return np.zeros(len(labels), np.uint8)

    def name_flags(self, names: Sequence[str]) -> Flags:
        """Return what the names of rows say of them beside their sequences, (rows,)."""
        return np.zeros(len(names), np.uint8)

    def validation_flags(self, flags: Flags) -> Flags:
        """Return the flags with which validation rows are predicted; 0, as at test, by default."""
        return np.zeros_like(flags)

    def training_view(self, tokens: Tokens, random: np.random.Generator) -> Tokens:
        """Return encoded rows as one step trains on them; host side, drawn anew for each step.

        Args:
            tokens: (batch, length), as ``encode`` made them.
            random: Belongs to the step alone, so a resumed run draws the same.

        Returns:
            Tokens, (batch, length).
        """
        return tokens

    def edit(self, tokens: Tokens, change: Callable[[Tokens], Tokens]) -> Tokens:
        """Return encoded rows after a change of their sequences; host side, in training.

        Processors whose rows hold more than the sequence, such as its other strand, make that
        anew.

        Args:
            tokens: (batch, length), as ``encode`` made them.
            change: Takes and returns sequences, (batch, positions).
        """
        return change(tokens)

    def insert_bounds(self, tokens: Tokens, left: int, right: int) -> Bounds:
        """Return where the insert of each row starts and, exclusively, ends, both (batch,).

        Around it are padding, adapters and flanks. Of a row that ``encode`` has cropped, bases of
        the insert may be taken for the adapter that was cropped off.

        Args:
            tokens: (batch, positions), as ``edit`` gives them to its change.
            left: bp of adapter in front of the sequences that ``encode`` was given.
            right: Likewise behind them.
        """
        if self.cuts_adapters:
            left -= len(self.left_adapter)
            right -= len(self.right_adapter)
        start, stop = unpadded(tokens)
        return start + max(left, 0), stop - max(right, 0)

    def flanks(self, tokens: Tokens, reach: int) -> tuple[Tokens, Tokens]:
        """Return what the construct has in front of and behind encoded rows.

        Args:
            tokens: (batch, positions), as ``edit`` gives them to its change.
            reach: bp on either side.

        Returns:
            Tokens, both (batch, reach), ``alphabet.MASK`` where a base is not known; (batch, 0)
            on a side to which rows are not to be moved.
        """
        unknown = np.full((len(tokens), reach), alphabet.MASK, np.uint8)
        return unknown, unknown

    def prediction_views(self, tokens: Tokens) -> Sequence[Tokens]:
        """Return encoded rows as they are predicted; the mean over all views is the prediction.

        Args:
            tokens: (batch, length), as ``encode`` made them.

        Returns:
            Arrays of tokens, each (batch, length); both strands of each are predicted.
        """
        return (tokens,)

    def training_window(
        self, tokens: Tensor, strand: Tensor, flags: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Cut what is trained on out of wider rows; inside the compiled step.

        The arguments are columns of a ``Batch``, and so are the results.
        """
        return tokens, strand, flags, labels

    @abstractmethod
    def make_channels(self, tokens: Tensor, strand: Tensor, flags: Tensor) -> Tensor:
        """Make the network's input from tokens; inside the compiled step.

        Args:
            tokens: (batch, length), any integer type.
            strand: (batch,), 1 where the reverse complement is wanted.
            flags: (batch,), as ``row_flags`` made them; 0 at prediction.

        Returns:
            Channels, (batch, length, channels), float32.
        """

    @abstractmethod
    def make_target(self, labels: Tensor, tokens: Tensor, target_type: str) -> Tensors:
        """Make the training target from labels; inside the compiled step.

        Args:
            labels: (batch, tasks), float32; NaN where one is missing.
            tokens: (batch, length), as ``training_view`` made them.
            target_type: One of ``targets``.
        """

    def check_outputs(self, outputs: Tensors, target_type: str) -> None:  # noqa: B027
        """Refuse a final block whose outputs do not fit the target.

        Args:
            outputs: The network's symbolic outputs.
            target_type: One of ``targets``.

        Raises:
            UserError: If they do not; says which option to set.
        """

    def label_statistics(self, labels: Labels) -> Mapping[str, object]:
        """Return the options that come from the training labels, (rows, tasks), and are not set."""
        return {}

    def to_expression(self, outputs: Values, target_type: str) -> Values:
        """Turn the network's outputs, (rows, views, tasks), into values, (rows, tasks).

        The values are in the units of the labels.
        """
        return self.in_label_units(outputs.mean(axis=1), target_type)

    def in_label_units(self, values: Tensor, target_type: str) -> Tensor:
        """Bring the mean over the views, (rows, tasks), to the units of the labels.

        Args:
            values: An array, or a symbolic tensor of a model that is exported.
            target_type: One of ``targets``.
        """
        return values


class ScalingProcessor(Processor):
    """A processor that trains on labels brought to a common scale.

    Attributes:
        label_mean: Mean of the training labels of each task.
        label_std: Their standard deviations (over n).
    """

    label_mean: tuple[float, ...] | None
    label_std: tuple[float, ...] | None

    @property
    @abstractmethod
    def label_center(self) -> tuple[float, ...]:
        """Subtracted from a label before division by the standard deviation.

        One value for each task, or one for all.
        """

    def make_target(self, labels: Tensor, tokens: Tensor, target_type: str) -> Tensors:
        """Return scaled labels, (batch, tasks), for ``"value"``; labels as they are for others."""
        if target_type != "value":
            return labels
        center, std = (
            np.array(numbers, np.float32) for numbers in (self.label_center, self.label_std or (1,))
        )
        return (labels - center) / std

    def label_statistics(self, labels: Labels) -> Mapping[str, object]:
        """Return means and standard deviations of the training labels, unless they are set.

        Raises:
            UserError: If the labels of a task do not differ.
        """
        means, stds = [], []
        for column in labels.T:
            known = column[np.isfinite(column)]
            mean, std = (float(f(known, dtype=np.float64)) for f in (np.mean, np.std))
            if std == 0:
                raise UserError(f"all training labels are {mean:g}: there is nothing to learn")
            means.append(mean)
            stds.append(std)
        found = zip(LABEL_STATISTICS, (tuple(means), tuple(stds)), strict=True)
        return {name: values for name, values in found if getattr(self, name) is None}

    def in_label_units(self, values: Tensor, target_type: str) -> Tensor:
        """Undo the scaling of a network that was trained on values.

        Imported weights come without their labels' statistics: theirs stays on their own scale.
        """
        if target_type not in ("value", "masked") or self.label_std is None:
            return values
        std, center = (
            np.array(numbers, values.dtype) for numbers in (self.label_std, self.label_center)
        )
        return values * std + center


def unpadded(tokens: Tokens) -> Bounds:
    """Return where the sequence of each row starts and, exclusively, ends, both (rows,).

    What ``alphabet.N`` or ``alphabet.END`` fills at either end of a row is padding.

    Args:
        tokens: (rows, length).

    Examples:
        >>> [place.tolist() for place in unpadded(alphabet.encode("NNANCN")[None])]
        [[2], [5]]
    """
    known = (tokens != alphabet.N) & (tokens != alphabet.END)
    start, behind = known.argmax(axis=1), known[:, ::-1].argmax(axis=1)
    return start, np.where(known.any(axis=1), tokens.shape[1] - behind, start)


def strand_of(tokens: Tensor, strand: Tensor) -> Tensor:
    """Return rows, or their reverse complements; inside the compiled step.

    Args:
        tokens: (batch, length), any integer type.
        strand: (batch,), 1 where the reverse complement is wanted.

    Returns:
        Tokens, (batch, length), int32.

    Examples:
        >>> tokens = alphabet.encode("AACG")[None]
        >>> both = [strand_of(tokens, np.array([strand])) for strand in (0, 1)]
        >>> [alphabet.decode(np.array(rows[0])) for rows in both]
        ['AACG', 'CGTT']
    """
    from keras import ops

    tokens = ops.cast(tokens, "int32")
    complement = ops.convert_to_tensor(alphabet.COMPLEMENT.astype("int32"))
    other = ops.take(complement, ops.flip(tokens, axis=1))
    return ops.where(ops.expand_dims(ops.cast(strand, "int32"), -1) == 1, other, tokens)


def one_hot(tokens: Tensor, channels: Sequence[int]) -> Tensor:
    """Return one channel per token in ``channels``; inside the compiled step.

    Args:
        tokens: (batch, length), int32.
        channels: Tokens in the order of their channels; others are zeros in all of them.

    Returns:
        (batch, length, channels), float32.

    Examples:
        >>> tokens = alphabet.encode("CAN")[None].astype("int32")
        >>> np.array(one_hot(tokens, channels=(alphabet.A, alphabet.C)))[0].tolist()
        [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    """
    from keras import ops

    wanted = ops.convert_to_tensor(np.array(channels, "int32"))
    return ops.cast(ops.expand_dims(tokens, -1) == wanted, "float32")
