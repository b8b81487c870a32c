"""Gradients of a run's predictions with respect to the bases of its input sequences.

The channels of every processor are a linear function of the one-hot sequence, which is measured
here on a few probe sequences of each length. So gradients pass through padding, flanks, windows
and reverse complements of any processor, and channels that do not come from bases stay fixed.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from keras import ops

from dream_keras.common.errors import UserError
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Processor
from dream_keras.runtime.steps import Steps

Floats = npt.NDArray[np.float64]
Soft = npt.NDArray[np.float32]
"""Weights of A, C, G and T at each position, (rows, length, 4); all 0 for N."""
BASES = "ACGT"
BATCH = 64
"""Rows whose gradients are computed at a time; every batch is filled up to this size."""
STEP = 1e-4
"""Half of the distance over which the slope of ``Processor.to_expression`` is taken."""


@dataclass(frozen=True)
class InputMap:
    """How one view of a sequence, on one strand, becomes the network's input.

    Attributes:
        constant: Channels where all bases are N, (positions, channels).
        source: Which base of the sequence each position comes from, (positions,); -1 for none.
        effects: What each base adds to ``constant``, (4, positions, channels).
    """

    constant: Soft
    source: npt.NDArray[np.int64]
    effects: Soft

    def channels(self, bases: Soft) -> Soft:
        """Return the network's input for bases, (rows, positions, channels)."""
        at_positions = bases[:, self.source]
        return self.constant + np.einsum("rpb,bpc->rpc", at_positions, self.effects)

    def to_bases(self, gradients: Soft, length: int) -> Soft:
        """Return gradients of channels as gradients of bases, (rows, length, 4)."""
        found = np.zeros((length, len(gradients), len(BASES)), np.float32)
        known = self.source >= 0
        of_bases = np.einsum("rpc,bpc->prb", gradients[:, known], self.effects[:, known])
        np.add.at(found, self.source[known], of_bases)
        return found.transpose(1, 0, 2)


def one_hot(sequences: Sequence[str]) -> Soft:
    """Return sequences of one length as weights of A, C, G and T, (rows, length, 4).

    Examples:
        >>> one_hot(["GN"])[0].tolist()
        [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    letters = np.array([list(sequence.upper()) for sequence in sequences])
    return (letters[..., None] == np.array(list(BASES))).astype(np.float32)


class Gradients:
    """Computes predictions of bases that may be mixtures, and their gradients.

    Args:
        steps: The compiled functions of the network.
        encode: Encodes sequences for the processor.

    Raises:
        UserError: When called, if an input position depends on several bases at a time.
    """

    def __init__(self, steps: Steps, encode: Callable[[Sequence[str]], Tokens]):
        self.steps = steps
        self._encode = encode
        self._maps = functools.lru_cache(maxsize=64)(self._find_maps)

    def __call__(self, bases: Soft, weights: Floats, turned: bool = False) -> tuple[Floats, Floats]:
        """Predict rows and differentiate the weighted sum of their tasks.

        Args:
            bases: Weights of A, C, G and T, (rows, length, 4); all 0 for N.
            weights: Weight of each task, (tasks,); behind them of the other numbers that
                ``Network.explained`` has, 0 for those that are left out.
            turned: Whether the sequences are reverse complements, for runs that tell these apart.

        Returns:
            The sums, (rows,), in units of the training labels, and their gradients with respect to
            ``bases``, (rows, length, 4).
        """
        maps = self._maps(bases.shape[1], turned)
        values, gradients = [], []
        for start in range(0, len(bases), BATCH):
            part = bases[start : start + BATCH]
            filled = np.resize(part, (BATCH, *part.shape[1:]))
            value, gradient = self._batch(filled, weights, maps)
            values.append(value[: len(part)])
            gradients.append(gradient[: len(part)])
        if not values:
            return np.zeros(0), np.zeros(bases.shape)
        return np.concatenate(values), np.concatenate(gradients)

    def _batch(
        self, bases: Soft, weights: Floats, maps: Sequence[InputMap]
    ) -> tuple[Floats, Floats]:
        inputs = [each.channels(bases) for each in maps]
        total = np.zeros(bases.shape)
        for task in np.flatnonzero(weights):
            outputs = [self.steps.gradient(channels, int(task)) for channels in inputs]
            views = np.stack([values for values, _ in outputs], axis=1, dtype=np.float64)
            # What follows the network is a function of the mean over the views.
            slope = self._to_expression(views + STEP) - self._to_expression(views - STEP)
            of_mean = weights[task] * slope[:, task] / (2 * STEP) / len(maps)
            for each, (_, gradient) in zip(maps, outputs, strict=True):
                found = each.to_bases(gradient, bases.shape[1])
                total += of_mean[:, None, None] * found
        return self._to_expression(views)[:, : len(weights)] @ weights, total

    def _to_expression(self, views: Floats) -> Floats:
        return self.steps.processor.to_expression(views, self.steps.target_type)

    def _find_maps(self, length: int, turned: bool) -> list[InputMap]:
        """Measure the maps of all views and strands of sequences of one length."""
        digits = int(np.ceil(np.log(max(length, 2)) / np.log(4) - 1e-9))
        places = np.arange(length)
        numbered = [(places // 4**digit) % 4 for digit in range(digits)]
        random = np.random.default_rng(0).integers(0, 4, length)
        probes = ["N" * length, *(base * length for base in BASES)]
        probes += ["".join(BASES[base] for base in row) for row in (*numbered, random)]
        processor = self.steps.processor
        maps = []
        for view in processor.prediction_views(self._encode(probes)):
            for strand in range(processor.predicted_strands):
                channels = _channels(processor, view, strand, turned)
                found = _input_map(channels[:-1], length)
                if not np.allclose(found.channels(one_hot(probes[-1:])), channels[-1:]):
                    raise UserError(
                        f"the processor {type(processor).__name__} makes a position of its input "
                        "from several bases, so that gradients cannot be taken: use --method ism"
                    )
                maps.append(found)
        return maps


def _channels(processor: Processor, tokens: Tokens, strand: int, turned: bool) -> Soft:
    rows = np.ones(len(tokens), np.uint8)
    flags = rows * (turned and bool(processor.reverse_mark))
    made = processor.make_channels(tokens, rows * strand, flags.astype(np.uint8))
    return ops.convert_to_numpy(made).astype(np.float32)


def _input_map(channels: Soft, length: int) -> InputMap:
    """Return the map that made the channels of probes: N, each base, and digits of positions."""
    constant, effects = channels[0], channels[1:5] - channels[0]
    moved = np.abs(channels[5:, None] - channels[None, 1:5]).sum(axis=-1)
    digits = moved.argmin(axis=1)
    source = (digits * 4 ** np.arange(len(digits))[:, None]).sum(axis=0)
    known = np.abs(effects).sum(axis=(0, 2)) > 0
    return InputMap(constant, np.where(known, np.minimum(source, length - 1), -1), effects)
