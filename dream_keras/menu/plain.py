"""A data processor for any assay: any length, any flanks, no assumption about the organism.

Source: the fly and human benchmarks of Prix Fixe (flag from the name, no padding); MPRALegNet
(random strand) and MPRAnn (reverse complement of the insert) for the options.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from keras import ops

from dream_keras.common.errors import UserError, at_least
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import (
    Bounds,
    Flags,
    Lengths,
    ScalingProcessor,
    one_hot,
    strand_of,
)
from dream_keras.menu.registry import register
from dream_keras.nn import Tensor

STRANDS: dict[str, Literal["rows", "random", "single"]] = {
    "rows": "rows",
    "random": "random",
    "flag": "single",
    "none": "single",
}
"""How each value of ``reverse`` is trained on; see ``Processor.strands``."""


@register("processor", "plain", source="Prix Fixe, fly and human benchmarks; MPRALegNet; MPRAnn")
class PlainProcessor(ScalingProcessor):
    """Sequences of any assay, brought to one length with N.

    Channels: the four bases, N with one value in all of them, and with ``strand_channel``
    is_reverse. The values trained on are the labels, or with ``standardize`` (label - mean) / sd
    of the training labels.

    Args:
        length: Positions of the input in bp, flanks included; None takes the longest sequence of
            the training table.
        left: Bases put in front of every sequence.
        right: Bases put behind every sequence.
        trim_left: bp cut off in front of every sequence, before ``left`` is put there.
        trim_right: bp cut off behind every sequence, before ``right`` is put there.
        pad: Where shorter sequences are filled with N, and longer ones cropped; with ``"both"``
            an odd base is on the right.
        channel_order: Order of the bases' channels.
        n_value: Value of N in the four channels.
        reverse: The other strand: ``"rows"`` trains on both strands of each row and averages
            their predictions; ``"random"`` trains on one that is drawn in each step and averages
            the predictions; ``"flag"`` takes rows as they are, those whose name contains
            ``reverse_mark`` being reverse complements already; ``"none"`` takes them as they are.
        reverse_mark: Text in the name of a row that is a reverse complement, for ``"flag"``.
        strand_channel: Add the channel is_reverse, except where ``reverse`` is ``"none"``.
        fixed_left: bp at the beginning of the input that stay in place in the reverse complement,
            as adapters do when an insert is turned around.
        fixed_right: bp at the end of the input that stay in place likewise.
        upstream: Bases that the construct has in front of the input, the nearest last. With these
            or ``downstream``, ``augment.shift`` moves rows only to where bases are known.
        downstream: Bases that it has behind the input, the nearest first.
        standardize: Train on standardized labels.
        label_mean: Mean of the training labels of each task; None takes it from them.
        label_std: Their standard deviations; None takes them from the labels.

    Examples:
        >>> processor = PlainProcessor(length=8, left="AC")
        >>> tokens = alphabet.encode("GGGG")[None]
        >>> alphabet.decode(processor.encode(tokens, np.array([4]))[0])
        'NACGGGGN'
    """

    targets: tuple[str, ...] = ("value", "label")
    left_adapter = alphabet.encode("")

    def __init__(
        self,
        length: int | None = None,
        left: str = "",
        right: str = "",
        trim_left: int = 0,
        trim_right: int = 0,
        pad: Literal["both", "left", "right"] = "both",
        channel_order: Literal["AGCT", "ACGT"] = "AGCT",
        n_value: float = 0.0,
        reverse: Literal["rows", "random", "flag", "none"] = "rows",
        reverse_mark: str = "",
        strand_channel: bool = True,
        fixed_left: int = 0,
        fixed_right: int = 0,
        upstream: str = "",
        downstream: str = "",
        standardize: bool = False,
        label_mean: tuple[float, ...] | None = None,
        label_std: tuple[float, ...] | None = None,
    ):
        at_least(1, length=length)
        at_least(
            0,
            trim_left=trim_left,
            trim_right=trim_right,
            fixed_left=fixed_left,
            fixed_right=fixed_right,
        )
        flanks = {"left": left, "right": right, "upstream": upstream, "downstream": downstream}
        for option, bases in flanks.items():
            if set(bases.upper()) - set("ACGTN"):
                raise UserError(f"{option}={bases}: expected bases, the letters A, C, G, T and N")
        if (reverse == "flag") != bool(reverse_mark):
            raise UserError(
                f"reverse={reverse} with reverse_mark={reverse_mark!r}: reverse=flag and the text "
                "that marks a reverse complement in a row's name belong together"
            )
        self.left, self.right = alphabet.encode(left), alphabet.encode(right)
        self.trim_left, self.trim_right = trim_left, trim_right
        self.length = length or 0
        if length is not None and length < self.growth + 1:
            raise UserError(f"length={length}: the flanks alone have {self.growth} bp")
        self.max_length = self.length - self.growth
        self.pad = pad
        self.channel_order = channel_order
        self.n_value = n_value
        self.reverse = reverse
        self.strands = STRANDS[reverse]
        self.reverse_mark = reverse_mark
        self.strand_channel = strand_channel and reverse != "none"
        self.fixed_left, self.fixed_right = fixed_left, fixed_right
        self.channels = len(channel_order) + self.strand_channel
        self.upstream, self.downstream = alphabet.encode(upstream), alphabet.encode(downstream)
        self.standardize = standardize
        self.label_mean = label_mean
        self.label_std = label_std

    @property
    def growth(self) -> int:
        """How many bp flanks and trimming make a sequence longer."""
        return len(self.left) + len(self.right) - self.trim_left - self.trim_right

    @property
    def min_length(self) -> int:
        """One base must be left after trimming."""
        return self.trim_left + self.trim_right + 1

    @property
    def label_center(self) -> tuple[float, ...]:
        """The mean of the training labels."""
        return self.label_mean or (0.0,)

    def length_for(self, longest: int) -> int:
        """Return the length of the input that takes sequences of up to ``longest`` bp."""
        return longest + self.growth

    def label_statistics(self, labels: np.ndarray) -> Mapping[str, object]:
        """Return those of ``ScalingProcessor`` with ``standardize``, otherwise none."""
        return super().label_statistics(labels) if self.standardize else {}

    def encode(self, tokens: Tokens, lengths: Lengths) -> Tokens:
        """Trim, put the flanks around, and fill with N or crop.

        Shapes as in ``Processor.encode``. Rows of the same length are done together.
        """
        encoded = np.full((len(tokens), self.length), alphabet.N, np.uint8)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            inner = tokens[rows, self.trim_left : length - self.trim_right]
            whole = np.concatenate(
                [
                    np.broadcast_to(self.left, (len(rows), len(self.left))),
                    inner,
                    np.broadcast_to(self.right, (len(rows), len(self.right))),
                ],
                axis=1,
            )
            free = self.length - whole.shape[1]
            start = {"left": free, "right": 0, "both": free // 2}[self.pad]
            kept = whole[:, max(-start, 0) : self.length - start]
            encoded[rows, max(start, 0) : max(start, 0) + kept.shape[1]] = kept
        return encoded

    def insert_bounds(self, tokens: Tokens, left: int, right: int) -> Bounds:
        """Leave out ``left`` and ``right``, and the fixed ends; see ``Processor.insert_bounds``."""
        left = len(self.left) + max(left - self.trim_left, 0)
        right = len(self.right) + max(right - self.trim_right, 0)
        start, stop = super().insert_bounds(tokens, left, right)
        return (
            np.maximum(start, self.fixed_left),
            np.minimum(stop, self.length - self.fixed_right),
        )

    def flanks(self, tokens: Tokens, reach: int) -> tuple[Tokens, Tokens]:
        """Return ``upstream`` and ``downstream``, or bases to be drawn if there is neither.

        Raises:
            UserError: If one of them has fewer than ``reach`` bases.
        """
        sides = {"upstream": self.upstream, "downstream": self.downstream}
        if not any(map(len, sides.values())):
            return super().flanks(tokens, reach)
        for name, bases in sides.items():
            if 0 < len(bases) < reach:
                raise UserError(
                    f"shift={reach} needs as many bases that move in, and model.processor.{name} "
                    f"has {len(bases)}"
                )
        before, behind = self.upstream[-reach:], self.downstream[:reach]
        return np.tile(before, (len(tokens), 1)), np.tile(behind, (len(tokens), 1))

    def name_flags(self, names: Sequence[str]) -> Flags:
        """Return is_reverse, which ``reverse_mark`` in a row's name says, (rows,)."""
        if not self.reverse_mark:
            return super().name_flags(names)
        return np.array([self.reverse_mark in name for name in names], np.uint8)

    def validation_flags(self, flags: Flags) -> Flags:
        """Return the flags: the strand of a row is known at test as well."""
        return flags

    def make_channels(self, tokens: Tensor, strand: Tensor, flags: Tensor) -> Tensor:
        """Make the channels; shapes as in ``Processor.make_channels``."""
        tokens = self._on_strand(ops.cast(tokens, "int32"), strand)
        order = [alphabet.encode(base)[0] for base in self.channel_order]
        channels = one_hot(tokens, order)
        if self.n_value:
            unread = ops.cast(ops.expand_dims(tokens, -1) == alphabet.N, "float32")
            channels = channels + self.n_value * unread
        if self.strand_channel:
            is_reverse = flags if self.reverse == "flag" else strand
            ones = ops.ones_like(channels[..., :1])
            is_reverse = ops.reshape(ops.cast(is_reverse, "float32"), (-1, 1, 1))
            channels = ops.concatenate([channels, ones * is_reverse], axis=-1)
        return channels

    def _on_strand(self, tokens: Tensor, strand: Tensor) -> Tensor:
        """Return rows or their reverse complements, (batch, length), the fixed ends in place."""
        if self.strands == "single":
            return tokens
        end = self.length - self.fixed_right
        turned = strand_of(tokens[:, self.fixed_left : end], strand)
        return ops.concatenate([tokens[:, : self.fixed_left], turned, tokens[:, end:]], axis=1)
