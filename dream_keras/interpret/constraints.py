"""What designed sequences must not have: forbidden sites, long runs of a base, too much GC.

Sites are looked for on both strands. What lies wholly in the constant ends of an assay's construct
does not count, since no design can change it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dream_keras.common.errors import UserError, did_you_mean
from dream_keras.data import alphabet
from dream_keras.data.alphabet import Tokens
from dream_keras.interpret.starts import Starts
from dream_keras.simulate.motifs import IUPAC

Integers = npt.NDArray[np.int64]
Masks = tuple[int, ...]
"""Bases that are allowed at each position of a site, one bit each: A 1, C 2, G 4, T 8."""

REASONS = ("gc", "forbidden_site", "homopolymer", "max_edits")
"""Constraints of a sequence by itself, as ``Checker.counts`` counts them."""
_BITS = np.array([1, 2, 4, 8, 0, 0, 0], np.uint8)
"""Bit of each token; N and the end match nothing."""


@dataclass(frozen=True)
class Constraints:
    """What every design has to fulfil.

    Attributes:
        gc: Lowest and highest share of G and C among the known bases between the constant ends.
        sites: Forbidden sites, each for both strands.
        max_homopolymer: Longest run of one base; None if there is no limit.
        max_edits: Most substitutions from the start; None if there is no limit.
        min_distance: Fewest positions at which two designs differ.
    """

    gc: tuple[float, float] | None = None
    sites: tuple[Masks, ...] = ()
    max_homopolymer: int | None = None
    max_edits: int | None = None
    min_distance: int = 0

    @property
    def of_sequences(self) -> bool:
        """Whether any constraint concerns a sequence by itself."""
        limits = (self.gc, self.max_homopolymer, self.max_edits)
        return bool(self.sites) or any(limit is not None for limit in limits)


class Checker:
    """Counts how far sequences are from fulfilling the constraints.

    Args:
        constraints: The constraints.
        starts: What the designs start from.
        flanks: Bases that are put on the sequences before they are predicted, left and right.
    """

    def __init__(
        self, constraints: Constraints, starts: Starts, flanks: tuple[str, str] = ("", "")
    ):
        self.constraints = constraints
        self._starts = starts
        self._flanks = tuple(map(alphabet.encode, flanks))
        constant = np.ones((len(starts.tokens), sum(map(len, flanks)) + starts.width), bool)
        left = len(flanks[0])
        constant[:, left : left + starts.width] = starts.construct
        self._designed = np.cumsum(np.pad(~constant, ((0, 0), (1, 0))), axis=1)
        self._runs = tuple(
            (1 << base,) * (constraints.max_homopolymer + 1)
            for base in range(4)
            if constraints.max_homopolymer is not None
        )

    def counts(self, tokens: Tokens, owner: Integers) -> Integers:
        """Return by how much each constraint of ``REASONS`` is broken, (rows, 4).

        Args:
            tokens: Sequences, (rows, width).
            owner: Number of the design that each of them belongs to, (rows,).
        """
        found = np.zeros((len(tokens), len(REASONS)), np.int64)
        limits = self.constraints
        if limits.gc is not None:
            found[:, 0] = self._gc(tokens, owner, *limits.gc)
        if limits.sites or self._runs:
            bits = _BITS[self._flanked(tokens, owner)]
            for column, words in ((1, limits.sites), (2, self._runs)):
                for word in words:
                    found[:, column] += self._matches(bits, owner, word)
        if limits.max_edits is not None:
            edits = np.count_nonzero(tokens != self._starts.tokens[owner], axis=1)
            found[:, 3] = np.maximum(edits - limits.max_edits, 0)
        return found

    def broken(self, tokens: Tokens, owner: Integers) -> Integers:
        """Return the sum of ``counts``, (rows,); 0 where all constraints are fulfilled."""
        if not self.constraints.of_sequences:
            return np.zeros(len(tokens), np.int64)
        return self.counts(tokens, owner).sum(axis=1)

    def _gc(self, tokens: Tokens, owner: Integers, low: float, high: float) -> Integers:
        """Return how many bases would have to change, (rows,)."""
        designed = ~self._starts.construct[owner]
        known = np.count_nonzero(designed & (tokens < alphabet.N), axis=1)
        strong = (tokens == alphabet.G) | (tokens == alphabet.C)
        gc = np.count_nonzero(designed & strong, axis=1)
        missing = np.maximum(low * known - gc, gc - high * known)
        return np.maximum(np.ceil(missing - 1e-9), 0).astype(np.int64)

    def _flanked(self, tokens: Tokens, owner: Integers) -> Tokens:
        left, right = self._flanks
        if not len(left) + len(right):
            return tokens
        rows, width = tokens.shape
        whole = np.full((rows, len(left) + width + len(right)), alphabet.END, np.uint8)
        whole[:, : len(left)] = left
        whole[:, len(left) : len(left) + width] = tokens
        behind = len(left) + self._starts.lengths[owner][:, None] + np.arange(len(right))
        np.put_along_axis(whole, behind, np.broadcast_to(right, behind.shape), axis=1)
        return whole

    def _matches(self, bits: npt.NDArray[np.uint8], owner: Integers, word: Masks) -> Integers:
        """Return how often a word stands in each sequence, (rows,)."""
        places = bits.shape[1] - len(word) + 1
        if places < 1:
            return np.zeros(len(bits), np.int64)
        match = np.ones((len(bits), places), bool)
        for offset, mask in enumerate(word):
            match &= (bits[:, offset : offset + places] & mask) != 0
        counted = self._designed[:, len(word) :] > self._designed[:, :places]
        return np.count_nonzero(match & counted[owner], axis=1)


def forbidden_sites(text: str) -> tuple[Masks, ...]:
    """Return the sites of enzymes and sequences, separated by commas, with their other strands.

    Args:
        text: Names of restriction enzymes, or sequences in IUPAC letters.

    Raises:
        UserError: If a word is neither.

    Examples:
        >>> forbidden_sites("GAATTC,AR")
        ((4, 1, 1, 8, 8, 2), (1, 5), (10, 8))
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UserError(f'forbid "{text}": expected enzymes or sequences, such as EcoRI,GGTCTC')
    found = [masks for word in words for site in _sites(word) for masks in _both_strands(site)]
    return tuple(dict.fromkeys(found))


def _sites(word: str) -> list[str]:
    """Return the sites of one word in IUPAC letters."""
    # Enzymes are written in mixed case, such as EcoRV.
    if (word.isupper() or word.islower()) and set(word.upper()) <= set(IUPAC):
        return [word.upper()]
    try:
        from Bio.Restriction.Restriction_Dictionary import rest_dict
    except ImportError:
        raise UserError(
            f'forbid "{word}": names of enzymes need pip install "dream-keras[genome]"; or give '
            "the sequence of its site in the letters ACGTRYSWKMBDHVN"
        ) from None
    named = {name.lower(): name for name in rest_dict}
    if word.lower() not in named:
        raise UserError(
            f'unknown restriction enzyme "{word}".{did_you_mean(word, named.values())} Names are '
            "those of REBASE, such as EcoRI; or give a sequence in the letters ACGTRYSWKMBDHVN"
        )
    return str(rest_dict[named[word.lower()]]["site"]).split("|")


def _both_strands(site: str) -> Iterator[Masks]:
    allowed = [sum(1 << int(token) for token in alphabet.encode(IUPAC[each])) for each in site]
    yield tuple(allowed)
    yield tuple(int(f"{mask:04b}"[::-1], 2) for mask in reversed(allowed))


def gc_range(text: str) -> tuple[float, float]:
    """Return the range of ``"LOW-HIGH"``, as shares or in percent.

    Raises:
        UserError: If it is none.

    Examples:
        >>> gc_range("0.4-0.6"), gc_range("40-60")
        ((0.4, 0.6), (0.4, 0.6))
    """
    number = r"(\d+\.?\d*|\.\d+)%?"
    match = re.fullmatch(rf"\s*{number}\s*-\s*{number}\s*", text)
    if match:
        low, high = float(match[1]), float(match[2])
        if high > 1:
            low, high = low / 100, high / 100
        if low <= high <= 1:
            return low, high
    raise UserError(f'gc "{text}": expected LOW-HIGH, such as 0.4-0.6 or 40-60')
