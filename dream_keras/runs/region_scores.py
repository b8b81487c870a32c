"""Scores of a run on the regions of a genome that it was not trained on."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

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


def windows_of(run: Run) -> Windows:
    """Return the sizes of the windows that a run predicts."""
    processor = run.processor
    assert isinstance(processor, ProfileProcessor)
    return processor.windows(jitter=False)


def test_chroms_of(regions: RegionFiles | ShardedRegions, fold: int) -> frozenset[str]:
    """Return the chromosomes that a fold is tested on; empty without any."""
    if isinstance(regions, ShardedRegions):
        count = regions.manifest.parts.get("test", 0)
        return frozenset(regions.regions.chroms[len(regions.regions) - count :].tolist())
    return frozenset(regions.chroms(fold)["test"])


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
    run: Run,
    regions: RegionFiles | ShardedRegions,
    bootstrap: int = 0,
    progress: bool | None = None,
) -> tuple[RegionCard, pd.DataFrame]:
    """Score a run on the peaks of the part test of its fold.

    Args:
        run: The run, or an ensemble.
        regions: The regions file, or what was prepared of one.
        bootstrap: Resamples of the regions for 95 % intervals; 0 for none.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The scores, and a table with a row for each region.

    Raises:
        UserError: If there are no such regions, or members of an ensemble were trained on them.
    """
    peaks = read_test_peaks(run, regions)
    card, found, counts = score_peaks(run, peaks, bootstrap, progress)
    return card, _table(peaks.rows, found, counts)


def score_peaks(
    run: Run, peaks: Peaks, bootstrap: int = 0, progress: bool | None = None
) -> tuple[RegionCard, dict[str, RegionScores], dict[str, Distribution]]:
    """Score a run on peaks that have been read; see ``score_run_on_regions``.

    Returns:
        The scores; those of each region, by who predicts; and the predicted log counts of each
        network likewise.

    Raises:
        UserError: If members of an ensemble were trained on the peaks.
    """
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

    Raises:
        UserError: If members of an ensemble were trained on the regions.
    """
    _check_unseen(run)
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


def _check_unseen(run: Run) -> None:
    """Refuse an ensemble whose members have other test chromosomes.

    Raises:
        UserError: If they have: the peaks of some were trained on by others.
    """
    used = {(each.tables()[0], each.experiment.regions.fold) for each in run.members}
    if len(used) > 1 and len({test_chroms_of(regions_of(run, path), f) for path, f in used}) > 1:
        raise UserError(
            f"{run.folder}: its members have different test chromosomes, so that some were "
            "trained on what others are tested on: score each member"
        )


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
