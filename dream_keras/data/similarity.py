"""Holding out whole families of related rows, so that none is trained on and validated on.

Rows that share a 20-mer on either strand (``dream_keras.data.kmers``), adapters left out, are
related; families are the connected components of this relation, and a family is held out as a
whole or not at all. This is homology partitioning (Teufel et al., GraphPart: homology partitioning
for biological sequence analysis, NAR Genomics and Bioinformatics 5, lqad088, 2023; for reporter
assays Rafi et al., Detecting and avoiding homology-based data leakage in genome-trained sequence
models, bioRxiv 2025.01.22.634321), with shared k-mers in place of alignments and without their
removal of rows from families that are too large.
"""

import logging

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from dream_keras.common.errors import UserError
from dream_keras.data.kmers import (
    NONE,
    K,
    Keys,
    Sequences,
    canonical_kmers,
    content_keys,
    inserts_of,
    scramble,
)

ROW_BITS = 64 - 2 * K
"""A k-mer and the number of its row share 64 bits, so that sorting makes related rows adjacent;
this leaves room for 16.7 million rows."""
KMERS_AT_A_TIME = 2**26
"""k-mers sorted at a time: about a gigabyte with what sorting needs beside them."""
LARGEST_SHARE = 0.1
"""Share of the held-out side above which a family is held out only for want of smaller ones: few
families say little about others."""

log = logging.getLogger(__name__)

Integers = npt.NDArray[np.int64]


def hold_out_families(
    blocks: list[Sequences], share: float, seed: int, kmers_at_a_time: int = KMERS_AT_A_TIME
) -> npt.NDArray[np.bool_]:
    """Choose whole families at random until they make up a share of the rows.

    The same rows give the same choice in any order and on either strand. Families are drawn one
    after the other, each with equal chance, and held out if they still fit; those of more than
    ``LARGEST_SHARE`` of the held-out side come last, the smallest first.

    Args:
        blocks: All rows, in order, adapters included.
        share: Share of the rows to hold out; at least one row is.
        seed: Of the draw.
        kmers_at_a_time: How many are sorted at a time; the result does not depend on it.

    Returns:
        Whether each row is held out, (rows,).

    Raises:
        UserError: If even the smallest family is too large, or there are too many rows.
    """
    inserts = list(inserts_of(blocks))
    keys = np.concatenate([content_keys(block, seed) for block in inserts])
    family = find_families(inserts, keys, kmers_at_a_time)
    sizes = np.bincount(family)
    rows, wanted = len(family), min(max(round(share * len(family)), 1), len(family) - 1)
    log.info(
        "%s rows in %s families of related rows; the largest has %s",
        f"{rows:,}",
        f"{len(sizes):,}",
        f"{sizes.max():,}",
    )
    late = np.where(sizes > max(LARGEST_SHARE * wanted, 1), sizes, 0)
    chosen = _fill(np.lexsort((_family_keys(family, keys), late)), sizes, wanted)
    held_out = chosen[family]
    count = np.count_nonzero(held_out)
    if not count:
        raise UserError(
            f"no family of related rows is small enough to hold out {wanted:,} of {rows:,} rows: "
            f"the smallest has {sizes.min():,}. Rows are related when they share {K} bases. Give "
            "a validation table with --val, or hold rows out one by one with --split random."
        )
    if count < 0.9 * wanted:
        log.warning(
            "held out %s rows instead of %s (%.2g %% instead of %.2g %%): the other families of "
            "related rows are too large; the largest has %s rows",
            f"{count:,}",
            f"{wanted:,}",
            100 * count / rows,
            100 * share,
            f"{sizes.max():,}",
        )
    return held_out


def find_families(
    inserts: list[Sequences], keys: Keys, kmers_at_a_time: int = KMERS_AT_A_TIME
) -> Integers:
    """Number the connected components of the relation "share a 20-mer, or are the same".

    Args:
        inserts: Rows without their adapters, in order.
        keys: Their ``content_keys``, (rows,): tell which inserts are the same, also where they
            have no k-mers, being short or full of N.
        kmers_at_a_time: How many are sorted at a time.

    Returns:
        The family of each row, counted from 0, (rows,).

    Raises:
        UserError: If there are more rows than can be numbered.

    Examples:
        >>> from dream_keras.data import alphabet
        >>> shared = "ACGTTGCAACTTAGGCATCA"
        >>> rows = ("AAAA" + shared, shared + "CCCC", "GATC" * 6)
        >>> tokens = np.stack([alphabet.encode(row) for row in rows])
        >>> inserts = Sequences.of(tokens, np.array([24, 24, 24]))
        >>> find_families([inserts], content_keys(inserts)).tolist()
        [0, 0, 1]
    """
    if len(keys) > 2**ROW_BITS:
        raise UserError(
            f"{len(keys):,} rows: the split by similarity takes at most {2**ROW_BITS:,}. Read "
            "fewer with --set data.max_rows, or give a validation table with --val."
        )
    order = np.argsort(keys)
    same = keys[order][1:] == keys[order][:-1]
    family = _join(np.arange(len(keys)), order[:-1][same], order[1:][same])
    count = sum(max(block.tokens.shape[1] - K + 1, 0) * len(block.tokens) for block in inserts)
    passes = -(-count // kmers_at_a_time)
    for number in range(passes):
        packed = _packed_kmers(inserts, number, passes)
        packed.sort()
        kmers = packed >> np.uint64(ROW_BITS)
        shared = kmers[1:] == kmers[:-1]
        rows = (packed & np.uint64(2**ROW_BITS - 1)).astype(np.int64)
        family = _join(family, rows[:-1][shared], rows[1:][shared])
    return family


def _packed_kmers(inserts: list[Sequences], number: int, passes: int) -> Keys:
    """Return the k-mers of one pass, each with its row in the lower bits."""
    parts, first = [np.empty(0, np.uint64)], 0
    for block in inserts:
        kmers = canonical_kmers(block)
        now = kmers != NONE
        if passes > 1:
            now &= kmers % np.uint64(passes) == number
        rows = np.arange(first, first + len(kmers), dtype=np.uint64)[:, None]
        parts.append(((kmers << np.uint64(ROW_BITS)) | rows)[now])
        first += len(kmers)
    return np.concatenate(parts)


def _join(family: Integers, some: Integers, others: Integers) -> Integers:
    """Merge the families of related rows, and renumber them."""
    count = int(family.max()) + 1
    pairs = np.unique(family[some] * count + family[others])
    graph = coo_matrix((np.ones(len(pairs)), np.divmod(pairs, count)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)[family]


def _family_keys(family: Integers, keys: Keys) -> Keys:
    """Return a key of each family that depends on which inserts it holds, not on their order."""
    order = np.argsort(family, kind="stable")
    starts = np.searchsorted(family[order], np.arange(family.max() + 1))
    return scramble(np.add.reduceat(keys[order], starts))


def _fill(order: Integers, sizes: Integers, wanted: int) -> npt.NDArray[np.bool_]:
    """Take families in order as long as they fit; return which are taken, (families,)."""
    chosen = np.zeros(len(sizes), bool)
    room = wanted
    for family, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if size <= room:
            chosen[family] = True
            room -= size
            if not room:
                break
    return chosen
