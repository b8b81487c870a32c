"""Inserts and their 20-mers, which define related sequences.

Two inserts are taken as related when they share a stretch of ``K`` bases, on either strand. Shared
k-mers stand for alignments because they can be found by sorting alone, which is exact and takes
seconds for millions of rows.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.data.processor import Lengths

K = 20
"""Bases that related inserts share.

Long enough: among 6.7 million random 80-mers with the base composition of the challenge (A .225,
C .192, G .281, T .302) about 190,000 pairs of 20-mers agree by chance, so a row has 0.06 relatives
by chance and chance families stay small; with K = 16 it would have 15, and chance alone would make
one family of nearly all. Short enough: three substitutions leave a stretch of at least 20 of 80
bases whole."""

NONE = np.uint64(2**64 - 1)
"""Code of a k-mer that contains an N or extends past the end."""
LONGEST_ADAPTER = 40
"""Bases at either end that are looked at for adapters; those of reporter assays have 13 to 20. More
than this in common is kinship."""
SHARED = 0.95
"""Share of the rows that have an adapter's base at its place (in real tables of the yeast and
lentiMPRA libraries: more than .998; one column of unrelated inserts: .3)."""

Keys = npt.NDArray[np.uint64]

_BLOCK = 2_048
"""Rows whose k-mers are made at a time: small enough for the processor's cache."""


class Sequences(NamedTuple):
    """Sequences of a table, or the inserts cut out of them.

    Attributes:
        tokens: (rows, width), N behind the end of each.
        lengths: (rows,), in bp.
    """

    tokens: Tokens
    lengths: Lengths

    @classmethod
    def of(cls, tokens: Tokens, lengths: Lengths) -> "Sequences":
        """Take rows behind whose end anything may stand."""
        inside = np.arange(tokens.shape[1]) < lengths[:, None]
        return cls(np.where(inside, tokens, np.uint8(alphabet.N)), lengths)

    def from_the_end(self, width: int) -> Tokens:
        """Return the last ``width`` tokens, the last one first, N where there are no more."""
        at = self.lengths[:, None] - 1 - np.arange(width)
        last_first = np.take_along_axis(self.tokens, np.maximum(at, 0), axis=1)
        return np.where(at < 0, np.uint8(alphabet.N), last_first)


class Adapters(NamedTuple):
    """Adapters: the ends that nearly all sequences of a table have in common.

    Attributes:
        left: The first bases.
        right: The last bases, the last one first.
    """

    left: Tokens
    right: Tokens

    @classmethod
    def find(cls, blocks: Iterable[Sequences]) -> "Adapters":
        """Find the adapters of a table; empty ones where there are none.

        Examples:
            >>> tokens = np.stack([alphabet.encode(row) for row in ("TGCAACGG", "TGCATTGG")])
            >>> adapters = Adapters.find([Sequences.of(tokens, np.array([8, 8]))])
            >>> alphabet.decode(adapters.left), alphabet.decode(adapters.right)
            ('TGCA', 'GG')
        """
        left, right = np.zeros((2, 4, LONGEST_ADAPTER), np.int64)
        rows = 0
        for block in blocks:
            start = block.tokens[:, :LONGEST_ADAPTER]
            end = block.from_the_end(LONGEST_ADAPTER)
            for base in range(4):
                left[base, : start.shape[1]] += np.count_nonzero(start == base, axis=0)
                right[base] += np.count_nonzero(end == base, axis=0)
            rows += len(block.lengths)
        return cls(_constant(left, rows), _constant(right, rows))

    def cut(self, sequences: Sequences) -> Sequences:
        """Cut each adapter off the sequences that have it, every base of it."""
        tokens, lengths = sequences
        if len(self.left) and len(self.left) <= tokens.shape[1]:
            size = len(self.left)
            has = (tokens[:, :size] == self.left).all(axis=1)
            moved = np.full_like(tokens, alphabet.N)
            moved[:, : tokens.shape[1] - size] = tokens[:, size:]
            tokens = np.where(has[:, None], moved, tokens)
            lengths = (lengths - size * has).astype(np.int32)
        last = Sequences(tokens, lengths).from_the_end(len(self.right))
        has = (last == self.right).all(axis=1)
        return Sequences.of(tokens, (lengths - len(self.right) * has).astype(np.int32))


def _constant(counts: npt.NDArray[np.int64], rows: int) -> Tokens:
    """Return the bases before the first place, of (4, places), that varies between the rows."""
    constant = counts.max(axis=0) >= max(SHARED * rows, 1)
    size = 0 if constant.all() else int(np.argmin(constant))
    return counts.argmax(axis=0)[:size].astype(np.uint8)


def canonical_kmers(inserts: Sequences) -> Keys:
    """Number every k-mer, the same for both strands.

    Returns:
        The smaller of a k-mer's number and its reverse complement's, in base 4, for each place,
        (rows, width - K + 1); ``NONE`` where there is no k-mer.

    Examples:
        >>> tokens = alphabet.encode("A" * 20 + "C")[None]
        >>> kmers = canonical_kmers(Sequences.of(tokens, np.array([21])))
        >>> kmers.tolist()  # A is 0 and C is 1
        [[0, 1]]
    """
    tokens = inserts.tokens
    rows, places = len(tokens), max(tokens.shape[1] - K + 1, 0)
    found = np.empty((rows, places), np.uint64)
    for start in range(0, rows if places else 0, _BLOCK):
        block = tokens[start : start + _BLOCK]
        unknown = block >= alphabet.N
        bases = np.where(unknown, 0, block).astype(np.uint64)
        forward, reverse = np.zeros((2, len(block), places), np.uint64)
        for place in range(K):
            base = bases[:, place : place + places]
            forward <<= np.uint64(2)
            forward |= base
            reverse |= (np.uint64(3) - base) << np.uint64(2 * place)
        before = np.pad(np.cumsum(unknown, axis=1, dtype=np.int32), ((0, 0), (1, 0)))
        whole = before[:, K:] == before[:, :-K]
        found[start : start + _BLOCK] = np.where(whole, np.minimum(forward, reverse), NONE)
    return found


def content_keys(inserts: Sequences, seed: int = 0) -> Keys:
    """Return a 64-bit key of each insert, (rows,), the same for both strands.

    Equal inserts have equal keys; different ones have the same key with a probability of about
    2^-60. Their order is another one for every seed.

    Examples:
        >>> tokens = alphabet.encode("AACGT")[None]
        >>> strands = (tokens, alphabet.reverse_complement(tokens))
        >>> one, other = (content_keys(Sequences.of(strand, np.array([5]))) for strand in strands)
        >>> bool(one == other)
        True
    """
    width = inserts.tokens.shape[1]
    multipliers = np.random.default_rng(seed).integers(
        0, 2**64 - 1, width, np.uint64, endpoint=True
    )
    inside = np.arange(width) < inserts.lengths[:, None]

    def key(tokens: Tokens) -> Keys:
        return ((tokens + np.uint8(1)) * inside).astype(np.uint64) @ multipliers

    other = alphabet.COMPLEMENT[inserts.from_the_end(width)]
    return scramble(np.minimum(key(inserts.tokens), key(other)))


def scramble(keys: Keys) -> Keys:
    """Mix the bits of keys one to one (the finaliser of SplitMix64, Steele et al. 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def inserts_of(blocks: list[Sequences]) -> Iterator[Sequences]:
    """Cut the adapters, told from all rows, off every block of a table."""
    adapters = Adapters.find(blocks)
    return (adapters.cut(block) for block in blocks)
