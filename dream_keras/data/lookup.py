"""What a processor makes of sequences, as two tables that any runtime can look up.

A processor moves bases to their positions and puts flanks around them on the host, and makes
channels in the compiled step. Both only ever choose: each position of the network's input shows one
base of the sequence, or a base that is always the same. Which one is read off the processor by
encoding probes, so that one of a user's own needs no further code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError
from dream_keras.data import alphabet
from dream_keras.data.adapters import ProcessorAdapters
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Lengths, Processor

TOKENS = len(alphabet.COMPLEMENT)
"""Tokens that encoded rows may hold, from ``alphabet.A`` to ``alphabet.END``."""
BASES = 4
UNIFORM = (alphabet.A, alphabet.C)
"""Two probes of one base each: they tell bases, their complements and constants apart."""


@dataclass(frozen=True)
class Lookup:
    """How the input of a network follows from a sequence.

    A read is one of the inputs over which a prediction is averaged: the strands of the first view,
    those of the second, and so on.

    Attributes:
        places: What stands at each position for each length of the sequence, (longest + 1, reads,
            positions): the sequence's position; ``longest`` plus a position for the complement of
            its base; twice ``longest`` plus a token for that token. 0 for lengths that are not
            predicted.
        channels: The channels of each token at each position of each read, (reads, positions,
            tokens, channels), float32.
    """

    places: npt.NDArray[np.int32]
    channels: npt.NDArray[np.float32]


def encode_whole(processor: Processor, adapters: str | None, tokens: Tokens, n: Lengths) -> Tokens:
    """Put adapters on and encode, without looking at whether they are there already.

    Args:
        processor: The processor.
        adapters: The setting ``data.adapters``.
        tokens: (rows, width).
        n: Lengths of the sequences in bp, (rows,).
    """
    return processor.encode(*ProcessorAdapters(processor, adapters).put_on(tokens, n))


def sequence_lengths(processor: Processor, adapters: str | None) -> tuple[int, int]:
    """Return the shortest and the longest sequence that is predicted, in bp, adapters apart."""
    added = sum(map(len, ProcessorAdapters(processor, adapters).ends))
    return max(processor.min_length - added, 1), processor.max_length - added


def look_up(processor: Processor, adapters: str | None, longest: int) -> Lookup:
    """Read a processor's tables off it.

    Args:
        processor: The processor.
        adapters: The setting ``data.adapters``.
        longest: Longest sequence to be taken, at most that of ``sequence_lengths``.

    Raises:
        UserError: If its input holds something else than bases of the sequence and constants.

    Examples:
        >>> from dream_keras.menu.plain import PlainProcessor
        >>> tables = look_up(PlainProcessor(length=6, left="TT", reverse="none"), None, 4)
        >>> tables.places[3, 0].tolist()  # TT, three bases, and an N
        [11, 11, 0, 1, 2, 12]
    """
    shortest, _ = sequence_lengths(processor, adapters)
    views = [_of_length(processor, adapters, longest, n) for n in range(shortest, longest + 1)]
    strands = [_of_strand(processor, strand) for strand in range(processor.predicted_strands)]
    reads = np.stack([np.stack(views)[..., shown] for shown, _ in strands], axis=2)
    places = np.zeros((longest + 1, len(views[0]) * len(strands), processor.length), np.int32)
    places[shortest:] = reads.reshape(-1, *places.shape[1:])
    channels = np.stack([channels for _, channels in strands] * len(views[0]))
    return Lookup(places, channels.astype(np.float32))


def _probes(uniform: Sequence[int], positions: int) -> Tokens:
    """Return rows of one token each, then the digits of the positions' numbers, the least first."""
    same = np.repeat(np.array(uniform, np.uint8)[:, None], positions, axis=1)
    digits = range(math.ceil(math.log(max(positions, 2), BASES)))
    numbered = [np.arange(positions) // BASES**digit % BASES for digit in digits]
    return np.concatenate([same, np.array(numbered, np.uint8)])


def _numbers(digits: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """Return the numbers whose digits, (digits, ...), are given."""
    return np.tensordot(BASES ** np.arange(len(digits)), digits.astype(np.int64), 1)


def _of_length(
    processor: Processor, adapters: str | None, longest: int, length: int
) -> npt.NDArray[np.integer]:
    """Return what stands at each position of each view, (views, positions); see ``Lookup``."""
    probes = _probes(UNIFORM, longest)
    lengths = np.full(len(probes), length, np.int32)
    encoded = encode_whole(processor, adapters, probes, lengths)
    seen = np.stack(processor.prediction_views(encoded), axis=1).astype(np.int32)
    ends, digits = seen[: len(UNIFORM)], seen[len(UNIFORM) :]
    same, other = (
        (ends == wanted[:, None, None]).all(axis=0)
        for wanted in (np.array(UNIFORM), alphabet.COMPLEMENT[list(UNIFORM)])
    )
    constant = (seen == seen[0]).all(axis=0)
    place = _numbers(np.where(other, alphabet.COMPLEMENT[digits], digits))
    if not (same | other | constant).all() or (place >= length)[same | other].any():
        raise UserError(
            f"{type(processor).__name__} cannot be exported: it does not only put bases of a "
            "sequence, their complements and constant ones at the positions of its input"
        )
    return np.where(same, place, np.where(other, longest + place, 2 * longest + seen[0]))


def _of_strand(
    processor: Processor, strand: int
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.float32]]:
    """Return which position of an encoded row each one shows, and the channels of each token.

    Shapes are (positions,) and (positions, tokens, channels).
    """
    probes = _probes(range(TOKENS), processor.length)
    flags = np.zeros(len(probes), np.uint8)
    made = np.asarray(processor.make_channels(probes, flags + np.uint8(strand), flags))
    uniform, numbered = made[:TOKENS], made[TOKENS:]
    is_base = (numbered[:, None] == uniform[:BASES]).all(axis=-1)
    return _numbers(is_base.argmax(axis=1)), np.moveaxis(uniform, 0, 1)
