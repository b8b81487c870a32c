"""Sequences into which motifs are inserted: random ones, given ones, or shuffles of these."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError, at_least
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.interpret.random_inserts import EQUAL_SHARES, random_inserts
from dream_keras.interpret.shuffle import dinucleotide_shuffle


@dataclass(frozen=True, eq=False)
class Backgrounds:
    """Sequences into which motifs are inserted.

    Attributes:
        tokens: (backgrounds, width); what stands behind a sequence's length is N.
        lengths: (backgrounds,), in bp.
        kept: Bases at both ends that belong to the construct: motifs stand between them.
    """

    tokens: Tokens
    lengths: npt.NDArray[np.int64]
    kept: tuple[int, int] = (0, 0)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def insert(self) -> int:
        """Bases between the ends in the shortest one."""
        return int(self.lengths.min()) - sum(self.kept)


def random_backgrounds(
    count: int, length: int, shares: Sequence[float] = EQUAL_SHARES, seed: int = 0
) -> Backgrounds:
    """Draw inserts whose bases are independent.

    Args:
        count: How many.
        length: In bp.
        shares: Of A, C, G and T, with a sum of 1.
        seed: Of the drawing; a larger count begins with the same ones.

    Raises:
        UserError: If a number is too small.

    Examples:
        >>> alphabet.decode_rows(random_backgrounds(2, 8, (0.5, 0, 0.5, 0)).tokens)
        ['GAAAGGGG', 'GGGAGAGA']
    """
    at_least(1, backgrounds=count, length=length)
    at_least(0, seed=seed)
    tokens = random_inserts(count, length, shares, seed)
    return Backgrounds(tokens, np.full(count, length))


def given_backgrounds(
    sequences: Mapping[str, str], kept: tuple[int, int] = (0, 0), shuffle: int = 0, seed: int = 0
) -> Backgrounds:
    """Take given sequences, or shuffled copies of them.

    Args:
        sequences: By their names.
        kept: Bases at both ends that belong to the construct; they are not shuffled.
        shuffle: Copies of each with its bases shuffled, their dinucleotides kept; 0 takes the
            sequences themselves.
        seed: Seed of the shuffles.

    Raises:
        UserError: If a sequence is not longer than its ends.

    Examples:
        >>> found = given_backgrounds({"a": "ACGTACCATTGA"}, kept=(2, 0), shuffle=2)
        >>> alphabet.decode_rows(found.tokens)
        ['ACGTACCATTGA', 'ACGTTGACCATA']
    """
    at_least(0, shuffle=shuffle, seed=seed)
    first, last = kept
    texts = []
    for number, (name, sequence) in enumerate(sequences.items()):
        behind = len(sequence) - last
        if behind <= first:
            raise UserError(
                f'background "{name}" has {len(sequence)} bp; {first} and {last} bp at its ends '
                "belong to the construct"
            )
        copies = [sequence]
        if shuffle:
            source = random.Random(f"{seed} {number}")
            copies = [
                sequence[:first]
                + dinucleotide_shuffle(sequence[first:behind], source)
                + sequence[behind:]
                for _ in range(shuffle)
            ]
        texts += copies
    if not texts:
        raise UserError("no background sequences")
    lengths = np.array([len(text) for text in texts])
    filled = (text.ljust(lengths.max(), "N") for text in texts)
    return Backgrounds(np.stack([alphabet.encode(text) for text in filled]), lengths, kept)
