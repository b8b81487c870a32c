"""Search for every motif on both strands of many sequences at once.

The relative affinity of a window is a product over the columns of a matrix, so it is looked up:
one table over all 8-mers, or two for motifs of more than eight columns.
"""

import functools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dream_keras.data.alphabet import N, Tokens
from dream_keras.simulate.motifs import MOTIFS, Motif

SITE_DOSE = 0.3
"""Dose (concentration times affinity) from which a window is reported as a site: alone at the best
position it would be bound a quarter of the time. Most factors reach it with one mismatch."""
SITE = np.dtype(
    [("row", "<u4"), ("motif", "u1"), ("position", "u1"), ("strand", "i1"), ("affinity", "<f4")]
)
"""A site: row; number in ``MOTIFS``; first base, counted from 0; +1 or -1; relative affinity."""

FLOOR = 0.3
"""Position effect far from a motif's best distance, relative to the best."""
HELICAL_TURN = 10.5
"""Length of a turn of the double helix in bp; factors on the near face act more strongly
(periodicity in this assay: de Boer et al. 2020, Nat Biotechnol 38:56)."""
HELICAL_SHARE = 0.15
"""Relative size of the helical-face effect."""

_K = 8
_UNKNOWN = 4**_K
_BLOCK = 4096

Affinities = npt.NDArray[np.float32]


def _kmers(tokens: Tokens) -> npt.NDArray[np.intp]:
    """Number of the 8-mer at each position, (rows, length - 7); ``_UNKNOWN`` where it holds N."""
    unknown = tokens >= N
    bases = np.where(unknown, 0, tokens)
    two = bases[:, :-1] * np.uint8(4) + bases[:, 1:]
    four = two[:, :-2] * np.uint8(16) + two[:, 2:]
    eight = (four[:, :-4].astype(np.intp) << 8) | four[:, 4:]
    if unknown.any():
        for step in (1, 2, 4):
            unknown = unknown[:, :-step] | unknown[:, step:]
        eight[unknown] = _UNKNOWN
    return eight


def _table(columns: npt.NDArray[np.float64]) -> Affinities:
    """Product of eight columns' affinities for every 8-mer, shape (65537,); unknown is 0."""
    table = functools.reduce(np.multiply.outer, columns).ravel()
    return np.append(table, 0).astype(np.float32)


@functools.cache
def _tables(motif: Motif, strand: int) -> tuple[Affinities, ...]:
    """Tables whose product is the affinity: the first eight columns, then the rest if any."""
    columns = motif.affinity_columns(strand)
    if motif.width == _K:
        return (_table(columns),)
    rest = np.ones((_K, 4))
    rest[2 * _K - motif.width :] = columns[_K:]
    return _table(columns[:_K]), _table(rest)


class _Work:
    """Buffer for the affinities of one block, reused for every motif."""

    def __init__(self, kmers: npt.NDArray[np.intp]) -> None:
        self._kmers = kmers
        self._first, self._rest = np.empty((2, *kmers.shape), np.float32)

    def affinities(self, motif: Motif, strand: int) -> Affinities:
        """Relative affinity of every window, (rows, length - 7).

        It is 0 where the window holds N, and in the last places, where a wide motif has no room.
        """
        tables = _tables(motif, strand)
        affinity = tables[0].take(self._kmers, out=self._first, mode="clip")
        if len(tables) > 1:
            extra = motif.width - _K
            rest = tables[1].take(self._kmers, out=self._rest, mode="clip")
            affinity[:, :-extra] *= rest[:, extra:]
            affinity[:, -extra:] = 0
        return affinity


@functools.cache
def position_effect(motif: Motif, length: int) -> Affinities:
    """Strength of a site that starts at each position of ``length`` bases, at most 1.

    Positions count from the 3' end, where transcription starts, so sequences of unequal length
    align there. Shape (length - 7,); the last places hold no site of a wide motif.
    """
    distance = length - (np.arange(length - _K + 1) + motif.width / 2)
    hump = np.exp(-0.5 * ((distance - motif.centre) / motif.spread) ** 2)
    face = np.cos(2 * np.pi * (distance - motif.centre) / HELICAL_TURN)
    effect = (FLOOR + (1 - FLOOR) * hump) * (1 - HELICAL_SHARE + HELICAL_SHARE * face)
    return effect.astype(np.float32)


def _strands(motif: Motif) -> Iterator[tuple[int, float]]:
    yield 1, 1.0
    yield -1, motif.reverse


def doses(tokens: Tokens, sites: list[npt.NDArray[np.void]] | None = None) -> npt.NDArray:
    """Sum the doses of each factor over all its windows, strands and positions.

    Args:
        tokens: Bases, shape (rows, length), at least 16 long; N binds nothing, so shorter
            sequences are filled with N on the left.
        sites: A list to which the sites are appended, block by block, in the order of the rows.

    Returns:
        Effective concentration of each factor, (rows, motifs): 1 means half occupied.
    """
    total = np.empty((len(tokens), len(MOTIFS)))
    for start in range(0, len(tokens), _BLOCK):
        block = tokens[start : start + _BLOCK]
        work = _Work(_kmers(block))
        found = []
        for number, motif in enumerate(MOTIFS):
            weight = position_effect(motif, tokens.shape[1])
            sums = np.zeros(len(block))
            for strand, strength in _strands(motif):
                affinity = work.affinities(motif, strand)
                sums += strength * np.einsum("ij,j->i", affinity, weight)
                if sites is not None:
                    found.append(_sites(affinity, number, strand, start))
            total[start : start + len(block), number] = motif.dose * sums
        if sites is not None:
            joined = np.concatenate(found)
            sites.append(joined[np.lexsort((joined["position"], joined["row"]))])
    return total


def _sites(affinity: Affinities, number: int, strand: int, first_row: int) -> npt.NDArray[np.void]:
    places = np.flatnonzero(affinity >= SITE_DOSE / MOTIFS[number].dose)
    rows, positions = np.divmod(places, affinity.shape[1])
    found = np.empty(len(places), SITE)
    found["row"], found["motif"], found["position"] = rows + first_row, number, positions
    found["strand"], found["affinity"] = strand, affinity.ravel()[places]
    return found
