"""The analysis of a run as one page with tables and pictures."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from dream_keras.analyse import sections
from dream_keras.analyse.analysis import Analysis
from dream_keras.analyse.similarity import Similarity
from dream_keras.common.files import write_text
from dream_keras.common.tables import markdown
from dream_keras.data import alphabet
from dream_keras.simulate.truth import SIMULATED

WORST = 50
"""Rows in the table of the largest residuals."""


def write_analysis(analysis: Analysis) -> Path:
    """Run all parts of the analysis and write the page.

    Returns:
        The page, ``analysis.md``, beside tables and pictures in the run's folder ``analysis``.

    Raises:
        UserError: If predictions or measured values are constant, or the training table that was
            asked for cannot be read.
    """
    analysis.calibration  # noqa: B018  # refuses constant predictions before anything is written
    analysis.folder.mkdir(parents=True, exist_ok=True)
    similarity, similarity_lines = sections.similarity_section(analysis)
    lines = [
        f"# Analysis of {analysis.run.folder.path.name}"
        + (SIMULATED if analysis.truth is not None else ""),
        "",
        f"Suite {analysis.suite.name or analysis.suite.source}, {analysis.part} part: "
        f"{len(analysis.rows):,} rows. How each number is made: docs/analysis.md.",
        "",
    ]
    lines += sections.residual_section(analysis)
    lines += sections.motif_section(analysis)
    lines += sections.bin_section(analysis)
    lines += sections.interval_section(analysis)
    lines += sections.strand_section(analysis)
    lines += [*similarity_lines, *_worst(analysis, similarity)]
    page = analysis.folder / "analysis.md"
    write_text(page, "\n".join(lines))
    return page


def _worst(analysis: Analysis, similarity: Similarity | None) -> list[str]:
    """Write the rows with the largest residuals as a table of their own, and list them."""
    order = np.argsort(-np.abs(analysis.residuals), kind="stable")[:WORST]
    rows = analysis.rows[order]
    columns: dict[str, npt.ArrayLike] = {
        "position": rows,
        "residual": analysis.residuals[order],
        "measured": analysis.measured[order],
        "calibrated": analysis.calibrated[rows],
        "predicted": analysis.predictions[rows],
        "gc": analysis.gc[order],
        "subsets": _memberships(analysis, rows),
    }
    if similarity is not None:
        columns["similarity"] = similarity.shared[rows]
    if analysis.truth is not None:
        names = np.array(analysis.truth.names)
        columns["motifs"] = [
            " ".join(names[np.unique(analysis.truth.sites_of(row)["motif"])]) for row in rows
        ]
    tokens, lengths = analysis.inserts
    columns["insert"] = [alphabet.decode(tokens[row, : lengths[row]]) for row in rows]
    table = pd.DataFrame(columns)
    worst = analysis.folder.relative_to(analysis.run.folder.path) / "worst.tsv"
    analysis.run.folder.write_table(str(worst), table, sep="\t", float_format="%.6g")
    return [
        f"## The {len(rows)} largest residuals",
        "",
        "Also in [worst.tsv](worst.tsv).",
        "",
        markdown(table.astype({"position": str})),
        "",
    ]


def _memberships(analysis: Analysis, rows: npt.NDArray[np.int64]) -> list[str]:
    """Name the subsets that each row is in, as a member or in a pair."""
    inside = {
        name: np.isin(rows, subset.positions[analysis.part].ravel())
        for name, subset in analysis.suite.subsets.items()
        if subset.target == analysis.target
    }
    return [
        " ".join(name for name, held in inside.items() if held[number])
        for number in range(len(rows))
    ]
