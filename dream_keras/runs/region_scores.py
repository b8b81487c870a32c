"""Scores of a run on the regions of a genome that it was not trained on."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dream_keras.common.errors import UserError
from dream_keras.data.region_rows import Done, RegionRows, Windows, load_regions
from dream_keras.data.region_shards import ShardedRegions
from dream_keras.data.regions import RegionFiles
from dream_keras.menu.atac import ProfileProcessor
from dream_keras.runs.prediction import Distribution, predict_profile_distribution, progress_bar
from dream_keras.runs.rows import regions_of
from dream_keras.runs.run import Run
from dream_keras.scoring.profiles import RegionScores, score_regions
from dream_keras.scoring.region_card import RegionCard, baselines, bootstrap_regions

log = logging.getLogger(__name__)


def windows_of(run: Run) -> Windows:
    """Return the sizes of the windows that a run predicts."""
    processor = run.processor
    assert isinstance(processor, ProfileProcessor)
    return processor.windows(jitter=False)


def has_test_part(regions: RegionFiles | ShardedRegions, fold: int) -> bool:
    """Whether a fold has chromosomes to be tested on."""
    if isinstance(regions, ShardedRegions):
        return "test" in regions.manifest.parts
    return bool(regions.chroms(fold)["test"])


class Peaks(NamedTuple):
    """Peaks that a run is scored on.

    Attributes:
        rows: The peaks.
        baselines: What predictions are compared with; see ``baselines``.
        source: The regions file, or the prepared folder, that they come from.
    """

    rows: RegionRows
    baselines: Mapping[str, float]
    source: Path


def read_test_rows(run: Run, regions: RegionFiles | ShardedRegions) -> RegionRows:
    """Read the peaks of the test part of a run's fold.

    Raises:
        UserError: If there are none.
    """
    if isinstance(regions, ShardedRegions):
        return regions.part("test")
    return load_regions(regions, run.experiment.regions.fold, ("test",), windows_of(run))


def read_test_peaks(run: Run, regions: RegionFiles | ShardedRegions) -> Peaks:
    """Read the peaks of the test part of a run's fold, and what predictions are compared with.

    Raises:
        UserError: If there are none.
    """
    if isinstance(regions, ShardedRegions):
        return Peaks(read_test_rows(run, regions), regions.manifest.baselines, regions.folder)
    found = load_test_regions(regions, run.experiment.regions.fold, windows_of(run))
    return Peaks(*found, regions.path)


def find_test_peaks(run: Run) -> Peaks | None:
    """Read the peaks of the test part of a run's fold; None if that has no test chromosomes.

    Raises:
        UserError: If there are no peaks on them.
    """
    if not run.is_of_regions:
        return None
    regions = regions_of(run)
    if not has_test_part(regions, run.experiment.regions.fold):
        return None
    return read_test_peaks(run, regions)


def seen_regions(run: Run, rows: RegionRows) -> str | None:
    """Return what to say if a run has seen regions in training or validation, by chromosome.

    Args:
        run: The run, or an ensemble; its folders name their chromosomes.
        rows: The regions.
    """
    seen = set[str]()
    for member in run.members:
        seen.update(member.folder.read_json("environment.json").get("rows", {}).get("chroms", ()))
    both = sorted(seen.intersection(rows.regions.chroms.tolist()))
    if not both:
        return None
    count = int(np.isin(rows.regions.chroms, both).sum())
    return (
        f"{run.folder} was trained or validated on {', '.join(both)}, where {count:,} of the "
        f"{len(rows):,} test regions lie"
    )


def load_test_regions(
    files: RegionFiles, fold: int, windows: Windows, done: Done = lambda count: None
) -> tuple[RegionRows, dict[str, float]]:
    """Read the peaks of the part test, and compute what predictions of them are compared with.

    Args:
        files: The regions file.
        fold: Number of the file of folds.
        windows: Sizes, without jitter.
        done: Called after each region that is read.

    Raises:
        UserError: If there are none.
    """
    rows = load_regions(files, fold, ("test",), windows, done=done)
    replicates = None
    if len(files.counts) > 1:
        first, others = (
            load_regions(
                dataclasses.replace(files, counts=counts), fold, ("test",), windows, done=done
            ).profiles[:, 0]
            for counts in (files.counts[:1], files.counts[1:])
        )
        replicates = first, others
    return rows, baselines(rows.profiles[:, 0], replicates)


def score_run_on_regions(
    run: Run, peaks: Peaks, bootstrap: int = 0, progress: bool | None = None
) -> tuple[RegionCard, pd.DataFrame]:
    """Score a run on peaks.

    Args:
        run: The run, or an ensemble.
        peaks: The peaks.
        bootstrap: Resamples of the regions for 95 % intervals; 0 for none.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The scores, and a table with a row for each region.

    Raises:
        UserError: If members of an ensemble were trained on them.
    """
    card, found, counts = score_peaks(run, peaks, bootstrap, progress)
    return card, _table(peaks.rows, found, counts)


def score_peaks(
    run: Run, peaks: Peaks, bootstrap: int = 0, progress: bool | None = None
) -> tuple[RegionCard, dict[str, RegionScores], dict[str, Distribution]]:
    """Score a run on peaks; see ``score_run_on_regions``.

    A single run that has seen them is scored with a warning: the genome may be another one.

    Returns:
        The scores; those of each region, by who predicts; and the predicted log counts of each
        network likewise.

    Raises:
        UserError: If members of an ensemble were trained on the peaks.
    """
    said = seen_regions(run, peaks.rows)
    if said is not None:
        if run.experiment.members:
            raise UserError(f"{said}: its members have different folds. Score each of them")
        log.warning("%s: if the genome is the same, the scores are too good", said)
    found, counts = score_rows(run, peaks.rows, progress)
    card = RegionCard(
        str(peaks.source),
        "test",
        len(peaks.rows),
        {kind: scores.summary() for kind, scores in found.items()},
        {kind: bootstrap_regions(s, bootstrap) for kind, s in found.items()} if bootstrap else {},
        dict(peaks.baselines),
    )
    return card, found, counts


def score_rows(
    run: Run, rows: RegionRows, progress: bool | None = None
) -> tuple[dict[str, RegionScores], dict[str, Distribution]]:
    """Predict and score regions, one by one.

    Returns:
        The scores, by who predicts: ``"joint"`` if there is a bias model, and ``"network"``; and
        the predicted log counts of each network likewise.
    """
    found, counts = dict[str, RegionScores](), dict[str, Distribution]()
    members = [member.steps for member in run.members]
    kinds = ("joint", "network") if members[0].bias is not None else ("network",)
    with progress_bar(progress, len(kinds) * len(rows)) as bar:
        for kind in kinds:
            logits, counts[kind] = predict_profile_distribution(
                members, rows.tokens, kind == "joint", bar.update
            )
            said = counts[kind].mean[:, 0]
            found[kind] = score_regions(rows.profiles[:, 0], logits[:, 0], said)
    return found, counts


def _table(
    rows: RegionRows, found: Mapping[str, RegionScores], counts: Mapping[str, Distribution]
) -> pd.DataFrame:
    """Return a row for each region, with what was measured and predicted."""
    table = pd.DataFrame({"chrom": rows.regions.chroms, "centre": rows.regions.centres})
    table["log_counts"] = next(iter(found.values())).log_counts
    for kind, scores in found.items():
        table[f"{kind}.log_counts"] = scores.predicted
        if len(counts[kind].values) > 1:
            table[f"{kind}.log_counts_sd"] = counts[kind].between[:, 0]
        table[f"{kind}.jsd"] = scores.distances
        table[f"{kind}.normalised_jsd"] = scores.normalised
    return table
