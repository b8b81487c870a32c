"""Writing a test suite as the official files: table, subset lists, public leaderboard."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dream_keras.data import alphabet
from dream_keras.simulate.assay import DEEP_RANGE, with_adapters
from dream_keras.simulate.suite_design import Suite

Floats = npt.NDArray[np.float64]

TEST_TABLE = "filtered_test_data_with_MAUDE_expression.txt"
SUBSET_FILES = {
    **{"random": "all_random_seqs", "yeast": "yeast_seqs", "challenging": "challenging_seqs"},
    **{"high": "high_exp_seqs", "low": "low_exp_seqs", "SNVs": "all_SNVs_seqs"},
    **{"motif_perturbation": "motif_perturbation_seqs", "motif_tiling": "motif_tiling_seqs"},
}
"""Official file name, without ``.csv``, of each subset."""
DECIMALS = 9
"""Decimals of the test measurements, the same in the table and on the public leaderboard."""

_SINGLE = ("", "tag", "sequence", "pos", "exp")
_PAIR = (
    *("", "alt_tag", "ref_tag", "alt_sequence", "ref_sequence"),
    *("alt_pos", "ref_pos", "alt_exp", "ref_exp"),
)
_SNV = ("", "alt_pos", "ref_pos")
_TWICE_NUMBERED = ("random", "motif_perturbation")
"""Subsets whose official file numbers its rows in a second column as well."""


def write_suite(folder: Path, suite: Suite, measured: Floats, rng: np.random.Generator) -> None:
    """Write the test table, ``test_subset_ids`` and ``public_leaderboard_ids``.

    Args:
        folder: An existing folder.
        suite: The design.
        measured: Measured expression of each row, shape (rows,).
        rng: Source of the meaningless values in ``sample_submission.json``.
    """
    sequences = alphabet.decode_rows(with_adapters(suite.inserts))
    values = [float(value) for value in np.round(measured, DECIMALS)]
    table = (f"{row}\t{value}\n" for row, value in zip(sequences, values, strict=True))
    (folder / TEST_TABLE).write_text("".join(table))
    subsets = folder / "test_subset_ids"
    subsets.mkdir()
    for name, members in suite.singles.items():
        rows = ([suite.tags[p], sequences[p], p, ""] for p in members.tolist())
        _write_csv(subsets, name, _SINGLE, rows)
    for name, pairs in suite.pairs.items():
        if name == "SNVs":
            _write_csv(subsets, name, _SNV, pairs.tolist())
            continue
        members_of = (
            [*(suite.tags[p] for p in both), *(sequences[p] for p in both), *both, "", ""]
            for both in pairs.tolist()
        )
        _write_csv(subsets, name, _PAIR, members_of)
    _write_public(folder / "public_leaderboard_ids", suite, values, rng)


def _write_csv(
    folder: Path, name: str, header: Sequence[str], rows: Iterable[Sequence[str | int]]
) -> None:
    twice = name in _TWICE_NUMBERED
    with (folder / f"{SUBSET_FILES[name]}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([header[0], "Unnamed: 0", *header[1:]] if twice else header)
        for number, row in enumerate(rows):
            writer.writerow([number, number, *row] if twice else [number, *row])


def _write_public(
    folder: Path, suite: Suite, values: list[float], rng: np.random.Generator
) -> None:
    folder.mkdir()
    everything = np.flatnonzero(suite.public).tolist()
    for name, members in suite.public_singles.items():
        _write_json(folder / f"{name}_exp_indices.json", {p: values[p] for p in members.tolist()})
    for name, pairs in suite.public_pairs.items():
        content = {f"{a},{r}": [values[a], values[r]] for a, r in pairs.tolist()}
        _write_json(folder / f"{name}_exp_indices.json", content)
    _write_json(folder / "ground.json", {p: values[p] for p in everything})
    guesses = rng.uniform(*DEEP_RANGE, len(everything)).tolist()
    _write_json(folder / "sample_submission.json", dict(zip(everything, guesses, strict=True)))


def _write_json(path: Path, content: dict[int, float] | dict[str, list[float]]) -> None:
    path.write_text(json.dumps(content))
