"""What a leaderboard keeps of runs that are scored on regions of a genome."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dream_keras.common.cli import load_backend
from dream_keras.common.errors import UserError
from dream_keras.leaderboard.entry import REGION_SCORES, REGIONS
from dream_keras.leaderboard.samples import Samples
from dream_keras.leaderboard.source import is_run_folder, open_run
from dream_keras.scoring.bootstrap import RESAMPLES

if TYPE_CHECKING:
    from dream_keras.data.region_rows import RegionRows
    from dream_keras.runs.run import Run

Floats = npt.NDArray[np.float64]
COLUMNS = 3
"""Numbers of a region: measured and predicted log count, and the distance of the profiles."""


def region_run(path: str | Path) -> "Run | None":
    """Open a run that predicts profiles of regions; None for any other path."""
    if not is_run_folder(path):
        return None
    run = open_run(path)
    return run if run.is_of_regions else None


def rows_of(run: "Run", regions: str | Path | None = None) -> "RegionRows":
    """Read the test peaks of a run.

    Args:
        run: A run that predicts profiles.
        regions: The regions file; None takes the run's own.

    Raises:
        UserError: If it is none, or there are none.
    """
    from dream_keras.runs.region_scores import read_test_rows
    from dream_keras.runs.rows import regions_of

    return read_test_rows(run, regions_of(run, regions))


def region_checksum(rows: "RegionRows") -> str:
    """Return the SHA-256 of regions and their counts, which tells this kind of suite from others.

    Args:
        rows: The regions; where their files are and how wide windows of sequence are is no part.
    """
    digest = hashlib.sha256("\n".join(rows.regions.chroms.tolist()).encode())
    digest.update(rows.regions.centres.astype("<i8").tobytes())
    digest.update(repr(rows.profiles.shape).encode())
    digest.update(rows.profiles.astype("<u2").tobytes())
    return f"{REGIONS}{digest.hexdigest()}"


def region_values(
    path: str | Path,
    regions: str | Path | None,
    checksum: str | None,
    progress: bool | None = None,
) -> tuple[str, Floats]:
    """Predict the test peaks of a run: jointly with its bias model, if it has one.

    Args:
        path: The run folder.
        regions: The regions file; None takes the run's own.
        checksum: What that of the regions must be; None takes any.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The checksum of the regions, and the numbers of ``COLUMNS``, (regions, 3).

    Raises:
        UserError: If the run predicts no profiles, has seen the regions in training, or they are
            others.
    """
    from dream_keras.runs.region_scores import score_rows, seen_regions

    load_backend()
    run = region_run(path)
    if run is None:
        raise UserError(f"{path} is no run that predicts profiles: this is about regions")
    rows = rows_of(run, regions)
    found = region_checksum(rows)
    if checksum is not None and found != checksum:
        raise UserError(
            f"{path} is tested on other regions: their places or counts differ. Only runs that are "
            "tested on the same peaks and counts, with profiles of the same length, can be compared"
        )
    if (said := seen_regions(run, rows)) is not None:
        raise UserError(f"{said}: a leaderboard ranks runs by what they have not seen")
    scores, _ = score_rows(run, rows, progress)
    first = next(iter(scores.values()))
    return found, np.stack([first.log_counts, first.predicted, first.distances], axis=1)


def region_samples(values: Floats, resamples: int = RESAMPLES) -> Samples:
    """Return Pearson r of log counts and the median distance, each with its resamples.

    Args:
        values: The numbers of ``COLUMNS``, (regions, 3).
        resamples: How often regions are drawn. Resample k is the same for all runs.
    """
    from dream_keras.scoring.profiles import RegionScores
    from dream_keras.scoring.region_card import resample_regions

    measured, predicted, distances = values.T
    unknown = np.full(len(values), np.nan)
    scores = RegionScores(measured, predicted, unknown, distances, unknown)
    return Samples(resample_regions(scores, resamples, metrics=tuple(REGION_SCORES)), {}, {})
