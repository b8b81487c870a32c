"""What the runs of a cross-validation say together: one fold tested in each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dream_keras.common.errors import UserError
from dream_keras.common.files import replacing, write_text
from dream_keras.common.tables import markdown
from dream_keras.data.columns import Columns
from dream_keras.data.table import read_chunks
from dream_keras.runs.run import TEST_PART, load_run
from dream_keras.scoring.metrics import pearson, spearman
from dream_keras.scoring.suite import load_suite

PREDICTIONS, REPORT = "predictions.tsv", "report.md"


def find_folds(table: str | Path, columns: Columns) -> list[str]:
    """Return the values of a table's split column: numbers in order, or words.

    Raises:
        UserError: If the table cannot be read, or there are fewer than 3 folds.
    """
    found: set[str] = set()
    for chunk in read_chunks(table, columns):
        found.update(chunk.parts or [])
    folds = sorted(found - {""}, key=lambda fold: (not fold.isdigit(), fold.zfill(20)))
    if len(folds) < 3:
        raise UserError(
            f"{table}: column {columns.split} holds {', '.join(folds) or 'nothing'}; a "
            "cross-validation needs 3 folds: one to test on, one to validate on, others to train on"
        )
    return folds


@dataclass(frozen=True)
class CrossValidation:
    """Scores of a cross-validation.

    Attributes:
        folder: Holds a run for each fold, ``predictions.tsv`` and ``report.md``.
        scores: One row per fold and target: ``fold``, ``target``, ``rows``, ``pearson``,
            ``spearman``.
        summary: One row per target: mean and standard deviation (over n - 1) of the folds'
            Pearson r, and the r and rho of the pooled out-of-fold predictions.
    """

    folder: Path
    scores: pd.DataFrame
    summary: pd.DataFrame


def collect(folder: Path, runs: Mapping[str, Path]) -> CrossValidation:
    """Score finished runs fold by fold and together, and write both down.

    Args:
        folder: Where to write.
        runs: The run that was tested on each fold.
    """
    tables = [_out_of_fold(fold, path) for fold, path in runs.items()]
    pooled = pd.concat(tables, ignore_index=True)
    scores = pd.DataFrame(
        [
            {"fold": fold, "target": target, "rows": len(rows), **_correlations(rows)}
            for (fold, target), rows in pooled.groupby(["fold", "target"], sort=False)
        ]
    )
    summary = []
    for target, rows in pooled.groupby("target", sort=False):
        r = scores.loc[scores["target"] == target, "pearson"]
        together = {f"pooled {name}": value for name, value in _correlations(rows).items()}
        summary.append(
            {"target": target, "folds": len(r), "mean r": r.mean(), "sd": r.std(), **together}
        )
    result = CrossValidation(folder, scores, pd.DataFrame(summary))
    with replacing(folder / PREDICTIONS) as temporary:
        pooled.to_csv(temporary, sep="\t", index=False)
    lines = [f"# {folder.name}", "", "Out-of-fold predictions; each fold was tested once.", ""]
    for table in (result.summary, scores):
        lines += [markdown(table), ""]
    write_text(folder / REPORT, "\n".join(lines))
    return result


def _out_of_fold(fold: str, path: Path) -> pd.DataFrame:
    """Return a run's test rows: fold, target, sequence, measured and predicted value."""
    run = load_run(path)
    suite = load_suite(path / TEST_PART)
    predicted = run.find_predictions(suite, progress=False)
    parts = []
    for target, name in enumerate(suite.targets):
        known = np.isfinite(suite.measured[:, target])
        parts.append(
            pd.DataFrame(
                {
                    "fold": fold,
                    "target": name,
                    "sequence": np.array(suite.sequences)[known],
                    "measured": suite.measured[known, target],
                    "predicted": predicted[known, target],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _correlations(rows: pd.DataFrame) -> dict[str, float]:
    predicted, measured = (rows[name].to_numpy(np.float64) for name in ("predicted", "measured"))
    return {"pearson": pearson(predicted, measured), "spearman": spearman(predicted, measured)}
