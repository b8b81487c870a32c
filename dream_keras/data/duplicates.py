"""The same sequence in two tables, or twice in one, on either strand."""

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.parse import MAX_SEQUENCE_LENGTH
from dream_keras.data.processor import Lengths

Keys = npt.NDArray[np.uint64]

_FACTORS = np.random.default_rng(0x0D0B1E).integers(
    0, 2**64, (MAX_SEQUENCE_LENGTH, len(alphabet.LETTERS)), np.uint64
)
"""Random numbers of each letter at each position: sums of them tell sequences apart."""


def strand_keys(tokens: Tokens, lengths: Lengths) -> Keys:
    """Return a number for each sequence, (rows,), the same for its reverse complement.

    Different sequences have the same number by chance only, about once in 10^19 pairs.

    Args:
        tokens: (rows, width); what stands behind a sequence's length is ignored.
        lengths: (rows,), in bp.

    Examples:
        >>> tokens = np.stack([alphabet.encode("AACG"), alphabet.encode("CGTT")])
        >>> first, second = strand_keys(tokens, np.array([4, 4]))
        >>> bool(first == second)
        True
    """
    keys = np.empty(len(tokens), np.uint64)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        forward = tokens[rows, :length]
        positions = np.arange(length)
        sums = [
            _FACTORS[positions, strand].sum(axis=1, dtype=np.uint64)
            for strand in (forward, alphabet.reverse_complement(forward))
        ]
        keys[rows] = np.minimum(*sums)
    return keys


def pair_strands(sequences: Sequence[str]) -> npt.NDArray[np.int64]:
    """Pair rows that hold one sequence on its two strands, in order, (pairs, 2).

    A row whose other strand is not there, or is taken already, is paired with itself.

    Examples:
        >>> pair_strands(["AACG", "TTTT", "CGTT", "CGTT"]).tolist()
        [[0, 2], [1, 1], [3, 3]]
    """
    waiting: dict[str, deque[int]] = {}
    partner = list(range(len(sequences)))
    for row, sequence in enumerate(sequences):
        other = alphabet.reverse_complement_text(sequence)
        if other != sequence and waiting.get(other):
            partner[waiting[other].popleft()] = row
            partner[row] = -1
        else:
            waiting.setdefault(sequence, deque()).append(row)
    pairs = [(row, second) for row, second in enumerate(partner) if second >= 0]
    return np.array(pairs, np.int64).reshape(-1, 2)
