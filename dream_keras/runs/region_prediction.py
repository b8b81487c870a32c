"""Predictions for regions of a genome, as a table or as a track."""

from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from dream_keras.common.errors import UserError
from dream_keras.common.files import replacing
from dream_keras.data.region_rows import Source
from dream_keras.data.regions import RegionFiles, Regions
from dream_keras.data.tracks import write_track
from dream_keras.runs.prediction import (
    Distribution,
    columns,
    predict_profile_distribution,
    progress_bar,
)
from dream_keras.runs.region_scores import windows_of
from dream_keras.runs.run import Run

TRACKS = (".bw", ".bigwig")
AT_A_TIME = 4_096
"""Regions that are read and predicted at a time."""


def regions_to_predict(run: Run, files: RegionFiles) -> tuple[Source, Regions]:
    """Return the genome, and all regions of a file whose windows lie within it.

    Raises:
        UserError: If there are none.
    """
    source, regions = Source.open(files), files.regions()
    regions = regions.take(regions.inside(source.lengths(regions), windows_of(run).length))
    if not len(regions):
        raise UserError(f"{files.path}: no region's window lies within a chromosome of the genome")
    return source, regions


def predict_regions(
    run: Run,
    source: Source,
    regions: Regions,
    visit: Callable[[Regions, npt.NDArray[np.float64], Distribution], None],
    progress: bool | None = None,
) -> None:
    """Predict the network's counts for regions, without the bias model's.

    Args:
        run: The run, or an ensemble.
        source: The genome.
        regions: The regions, whose windows lie within it, in any order.
        visit: Called with some regions, their expected counts at each position, (regions,
            positions), and the log counts of each network, (members, regions, 1).
        progress: Whether to show a progress bar; None shows one on a terminal.
    """
    every = source.tokens(regions, windows_of(run).length)  # reads each chromosome once
    members = [member.steps for member in run.members]
    with progress_bar(progress, len(regions)) as bar:
        for start in range(0, len(regions), AT_A_TIME):
            part = regions.take(np.arange(start, min(start + AT_A_TIME, len(regions))))
            tokens = every[start : start + AT_A_TIME]
            logits, counts = predict_profile_distribution(members, tokens, done=bar.update)
            shares = softmax(logits[:, 0].astype(np.float64), axis=-1)
            visit(part, shares * np.maximum(np.expm1(counts.mean), 0), counts)


def write_region_table(
    run: Run, files: RegionFiles, target: IO[str], progress: bool | None = None
) -> int:
    """Write chromosome, centre, whether it is a peak and log count of each region; return how many.

    Behind the mean log count of an ensemble stands the standard deviation of its members' ones.

    Args:
        run: As for ``predict_regions``.
        files: The regions file.
        target: Where the table goes.
        progress: As for ``predict_regions``.
    """
    source, regions = regions_to_predict(run, files)
    names = ["chrom", "centre", "peak", "log_counts"]
    names += ["log_counts_sd"] if run.experiment.members else []
    target.write("\t".join(names) + "\n")

    def visit(part: Regions, profiles: npt.NDArray, counts: Distribution) -> None:
        places = (part.chroms, part.centres, part.is_peak.astype(int))
        values = columns(counts)
        for place, numbers in zip(zip(*places, strict=True), values, strict=True):
            cells = [*map(str, place), *(f"{value:.6f}" for value in numbers)]
            target.write("\t".join(cells) + "\n")

    predict_regions(run, source, regions, visit, progress)
    return len(regions)


def write_region_track(
    run: Run, files: RegionFiles, out: Path, progress: bool | None = None
) -> int:
    """Write expected counts at each base as a bigWig, the mean of regions that overlap.

    Args:
        run: As for ``predict_regions``.
        files: The regions file.
        out: The bigWig.
        progress: As for ``predict_regions``.

    Returns:
        The number of regions.
    """
    source, regions = regions_to_predict(run, files)
    lengths = source.lengths(regions)
    positions = windows_of(run).positions
    predicted = list[npt.NDArray[np.float32]]()
    predict_regions(
        run,
        source,
        regions,
        lambda part, profiles, counts: predicted.append(profiles.astype(np.float32)),
        progress,
    )
    profiles = np.concatenate(predicted)

    def means(chrom: str) -> npt.NDArray:
        sums, numbers = np.zeros(lengths[chrom], np.float32), np.zeros(lengths[chrom], np.uint16)
        for row in np.flatnonzero(regions.chroms == chrom).tolist():
            start = int(regions.centres[row]) - positions // 2
            sums[start : start + positions] += profiles[row]
            numbers[start : start + positions] += 1
        return sums / np.maximum(numbers, 1)

    with replacing(out) as temporary:
        write_track(temporary, lengths, means)
    return len(regions)
