"""How much of a test row stands in the training table, and how the score depends on it.

The similarity of a test row is the containment of its insert in the training inserts: the share of
its 20-mers, on either strand, that occur in any training row (containment as in Broder, On the
resemblance and containment of documents, 1997; k-mers for alignments as in Mash, Ondov et al.,
Genome Biology 17:132, 2016). It is 0 exactly when the row is related to no training row in the
sense of ``dream_keras.data.similarity``, 1 for a copy, and each substitution far from the ends
costs 20 of the 61 20-mers of 80 bp. Pieces of several training rows add up. Training rows pass in a
stream, so memory does not grow with them.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from dream_keras.common.errors import UserError
from dream_keras.common.progress import hide_bar
from dream_keras.data.columns import Columns
from dream_keras.data.kmers import NONE, Adapters, Sequences, canonical_kmers, content_keys
from dream_keras.data.split import Split
from dream_keras.data.table import read_chunks, rows_of_part
from dream_keras.scoring.metrics import score_subset

Floats = npt.NDArray[np.float64]

EDGES = (0.25, 0.5, 0.75)
"""Between the groups of rows that are similar to some training row."""
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Similarity:
    """What test rows have in common with a training table.

    Attributes:
        shared: Share of a row's 20-mers that occur in the training table, (rows,); NaN for a row
            that has none.
        line: The first line of the training table with the same insert or whole sequence, on either
            strand, (rows,); 0 where there is none.
        training_rows: How many rows it was compared with.
    """

    shared: Floats
    line: npt.NDArray[np.int64]
    training_rows: int


def similarity_to_training(
    sequences: Sequences,
    training: str | Path,
    columns: Columns,
    max_rows: int | None = None,
    progress: bool | None = None,
    split: Split | None = None,
) -> Similarity:
    """Compare test rows with a training table; adapters do not count.

    Args:
        sequences: The test rows, adapters included.
        training: The table; rows that cannot be read are passed over.
        columns: Where the sequences stand in it.
        max_rows: Compare with this many rows only.
        progress: Whether to show a progress bar; None shows one on a terminal.
        split: Which rows of the table were trained on; None compares with all.

    Raises:
        UserError: If the table cannot be read or holds no sequence.
    """
    if split is not None:
        columns = replace(columns, split=split.column)
    adapters = Adapters.find([sequences])
    inserts = adapters.cut(sequences)
    kmers = canonical_kmers(inserts)
    known, place = np.unique(kmers, return_inverse=True)
    found = np.zeros(len(known), bool)
    # A row turned round with its adapters is a copy only as a whole, other copies by their inserts.
    both = np.concatenate([content_keys(inserts), content_keys(sequences)])
    keys, place_of_key = np.unique(both, return_inverse=True)
    first = np.full(len(keys), _NEVER)
    rows = 0
    with tqdm(desc="training rows", unit="row", unit_scale=True, disable=hide_bar(progress)) as bar:
        for chunk in read_chunks(training, columns):
            if split is not None:
                chunk = rows_of_part(training, chunk, split, "train", set())
            left = None if max_rows is None else max_rows - rows
            whole = Sequences.of(chunk.tokens[:left], chunk.lengths[:left])
            block = adapters.cut(whole)
            _mark(known, found, np.sort(canonical_kmers(block), axis=None))
            for some in (block, whole):
                at, match = _look_up(keys, content_keys(some))
                np.minimum.at(first, at[match], chunk.lines[:left][match])
            rows += len(whole.lengths)
            bar.update(len(whole.lengths))
            if rows == max_rows:
                break
    if not rows:
        raise UserError(f"{training}: no usable row is left of this table")
    there = kmers != NONE
    count = there.sum(axis=1)
    hits = (found[place].reshape(kmers.shape) & there).sum(axis=1)
    shared = np.where(count > 0, hits / np.maximum(count, 1), np.nan)
    line = first[place_of_key].reshape(2, -1).min(axis=0)
    return Similarity(shared, np.where(line == _NEVER, 0, line), rows)


def _mark(known: npt.NDArray[np.uint64], found: npt.NDArray[np.bool_], kmers: npt.NDArray) -> None:
    """Mark the known k-mers that occur among others; both sorted."""
    at, match = _look_up(known, kmers)
    found[at[match]] = True


def _look_up(
    known: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Return where each wanted number stands among sorted ones, and whether it does."""
    if not len(known):
        return np.zeros(len(wanted), np.intp), np.zeros(len(wanted), bool)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return at, known[at] == wanted


def by_similarity(
    similarity: Similarity,
    rows: npt.NDArray[np.int64],
    predicted: Floats,
    measured: Floats,
) -> pd.DataFrame:
    """Score rows in groups, from unlike to like the training rows.

    Args:
        similarity: Of all rows of the suite.
        rows: Positions of those that count, (n,).
        predicted: Their calibrated predictions, (n,).
        measured: Their measured values, (n,).

    Returns:
        A row for each group that occurs: group, n, pearson, spearman, and deviation and rms, the
        standard deviation of the measured values and the root of the mean squared residual. A
        group of little deviation has a lower correlation at the same rms.
    """
    shared, copied = similarity.shared[rows], similarity.line[rows] > 0
    names = ["none", *_names(), "same insert"]
    group = 1 + np.searchsorted(EDGES, shared, side="left")
    group = np.where(shared == 0, 0, group)
    group = np.where(copied, len(names) - 1, group)
    group = np.where(np.isnan(shared) & ~copied, -1, group)
    found = []
    for number, name in enumerate(names):
        x, y = predicted[group == number], measured[group == number]
        if len(x):
            score = score_subset(x, y)
            found.append(
                {
                    "group": name,
                    "n": len(x),
                    "pearson": score.pearson,
                    "spearman": score.spearman,
                    "deviation": y.std(),
                    "rms": np.sqrt(np.mean((x - y) ** 2)),
                }
            )
    return pd.DataFrame(found)


def _names() -> list[str]:
    ends = [0.0, *EDGES, 1.0]
    return [f"{low:.0%} to {high:.0%}" for low, high in pairwise(ends)]
