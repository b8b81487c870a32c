"""Recurring patterns of attributions, found by tf-modisco-lite.

Source: Shrikumar et al. 2018, arXiv 1811.00416. Patterns are compared with known motifs by TOMTOM
(Gupta et al. 2007, Genome Biology 8:R24) as memelite computes it.
"""

import itertools
import math
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control

from dream_keras.common.errors import UserError
from dream_keras.common.files import write_rows
from dream_keras.interpret.attribution_files import SCORES, SEQUENCES
from dream_keras.interpret.gradients import BASES
from dream_keras.interpret.motif_file import read_meme

RESULT = "modisco.h5"
"""In the folder of the attributions."""
TABLE = "motifs.tsv"
"""What it found, and the known motifs that fit."""
LEAST_Q = 0.05
"""False discovery rate below which a pattern counts as a known motif."""
REPORT = "modisco"
"""Folder of its report there, with the page report.html."""
MATCHES = 3
"""Known motifs that the report shows beside a pattern."""
LEAST_SHARE = 0.3
"""Positions at a pattern's ends with a smaller share of its largest contribution are cut off."""

FLANK = 5
"""Added to both sides of a seqlet, as tf-modisco has it by default."""
DEFAULT = {"-z": 20, "-t": 30, "-g": 10}
"""Length of a seqlet's core, of a pattern, and what is added to its sides first."""
SHORT = {"-z": 10, "-t": 20, "-g": 5}
"""The same for short regions, in which most seqlets of the default length would not fit."""
LONG_REGION = 200
"""Positions from which the default is used."""
FEWEST_SEQLETS = 2000
"""Of one sign that tf-modisco may look at, at least."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pattern:
    """A pattern that tf-modisco found.

    Attributes:
        name: As in its file.
        raises: Whether its bases raise the prediction.
        seqlets: How often it was found.
        probabilities: Share of A, C, G and T at each of its positions, (positions, 4), without the
            positions at its ends that contribute little.
    """

    name: str
    raises: bool
    seqlets: int
    probabilities: Matrix

    @property
    def consensus(self) -> str:
        """The most frequent base at each position."""
        return "".join(BASES[base] for base in self.probabilities.argmax(axis=1))


def command(folder: Path, rows: int, width: int) -> list[str] | None:
    """Return the command that finds patterns in a folder of attributions; None for short ones.

    Args:
        folder: Where they were written.
        rows: Sequences.
        width: Positions; tf-modisco takes an even number of them.
    """
    window = width - width % 2
    sizes = SHORT if window < LONG_REGION else DEFAULT
    if window < sizes["-z"] + 2 * FLANK:
        return None
    seqlets = max(rows * math.ceil(window / sizes["-z"]), FEWEST_SEQLETS)
    files = {"-s": folder / SEQUENCES, "-a": folder / SCORES, "-o": folder / RESULT}
    options = itertools.chain(*{**files, "-n": seqlets, "-w": window, **sizes}.items())
    return ["modisco", "motifs", *map(str, options)]


def find_patterns(
    folder: Path, rows: int, width: int, motifs: Path | None = None, report: bool = True
) -> list[Pattern]:
    """Run tf-modisco on a folder of attributions, and write its report and ``motifs.tsv``.

    Args:
        folder: Where the attributions are.
        rows: Sequences.
        width: Positions.
        motifs: MEME file of known motifs that patterns are compared with.
        report: Whether to write tf-modisco's report, which takes a while.

    Returns:
        The patterns.

    Raises:
        UserError: If it fails.
    """
    finding = command(folder, rows, width)
    if finding is None:
        raise UserError(
            f"tf-modisco needs regions of {SHORT['-z'] + 2 * FLANK} bp or more, not {width}"
        )
    _run(finding)
    found = read_patterns(folder / RESULT)
    known = {} if motifs is None else {m.name: m.matrix for m in read_meme(motifs)}
    write_patterns(found, known, folder / TABLE)
    if found and report:
        matches = str(min(len(known), MATCHES))
        known_motifs = [] if motifs is None else ["-m", str(motifs), "-l", "-n", matches]
        files = ("-i", str(folder / RESULT), "-o", str(folder / REPORT))
        _run(["modisco", "report", *files, *known_motifs])
    return found


def read_patterns(path: Path) -> list[Pattern]:
    """Read the patterns from a result of tf-modisco; those that lower predictions come last."""
    import h5py

    found = []
    with h5py.File(path) as file:
        for group, raises in (("pos_patterns", True), ("neg_patterns", False)):
            patterns = file.get(group, {})
            for name in sorted(patterns, key=lambda name: int(name.rsplit("_", 1)[1])):
                pattern = patterns[name]
                contributions = np.abs(np.array(pattern["contrib_scores"])).sum(axis=1)
                strong = np.flatnonzero(contributions >= LEAST_SHARE * contributions.max())
                kept = slice(strong[0], strong[-1] + 1)
                seqlets = int(np.array(pattern["seqlets"]["n_seqlets"]).sum())
                matrix = np.array(pattern["sequence"], np.float64)[kept]
                found.append(Pattern(f"{group}.{name}", raises, seqlets, matrix))
    return found


def write_patterns(patterns: Sequence[Pattern], motifs: Mapping[str, Matrix], path: Path) -> None:
    """Write patterns as a table, each with the known motif that it fits best, if there are any."""
    p, names = match(patterns, motifs), list(motifs)
    lines: list[list[object]] = [["pattern", "effect", "seqlets", "consensus", "best_match", "p"]]
    for row, pattern in zip(p, patterns, strict=True):
        best = int(row.argmin()) if names else None
        fitting = ["", ""] if best is None else [names[best], f"{row[best]:.3g}"]
        effect = "raises" if pattern.raises else "lowers"
        lines.append([pattern.name, effect, pattern.seqlets, pattern.consensus, *fitting])
    write_rows(path, lines)


def recovery(patterns: Sequence[Pattern], motifs: Mapping[str, Matrix]) -> tuple[float, float]:
    """Return recall and precision: shares of motifs and of patterns with a match at q < 0.05.

    The false discovery rate is controlled over all pairs (Benjamini and Hochberg 1995).
    """
    if not patterns:
        return 0.0, float("nan")
    p = match(patterns, motifs)
    fits = false_discovery_control(p.ravel()).reshape(p.shape) < LEAST_Q
    return float(fits.any(axis=0).mean()), float(fits.any(axis=1).mean())


def match(patterns: Sequence[Pattern], motifs: Mapping[str, Matrix]) -> Matrix:
    """Return TOMTOM's p of each pattern with each motif, (patterns, motifs).

    Args:
        patterns: What was found.
        motifs: Probabilities of A, C, G and T, (positions, 4), by name.
    """
    from memelite import tomtom

    if not patterns or not motifs:
        return np.ones((len(patterns), len(motifs)))
    queries = [pattern.probabilities.T for pattern in patterns]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # That there are few targets.
        p, *_ = tomtom(queries, [matrix.T for matrix in motifs.values()])
    return np.asarray(p, np.float64)


def _run(command: list[str]) -> None:
    code = "from modiscolite.cli import cli; cli()"
    done = subprocess.run(
        [sys.executable, "-c", code, *command[1:]], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise UserError(f"{' '.join(command[:2])} failed: {last}")
