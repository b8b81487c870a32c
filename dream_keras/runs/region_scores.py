"""Scores of a run on the regions of a genome that it was not trained on."""

import dataclasses
from collections.abc import Mapping

import pandas as pd

from dream_keras.data.region_rows import Done, RegionRows, Windows, load_regions
from dream_keras.data.region_shards import ShardedRegions
from dream_keras.data.regions import RegionFiles
from dream_keras.menu.atac import ProfileProcessor
from dream_keras.runs.prediction import predict_profiles, progress_bar
from dream_keras.runs.run import Run
from dream_keras.scoring.profiles import RegionScores, score_regions
from dream_keras.scoring.region_card import RegionCard, baselines, bootstrap_regions


def windows_of(run: Run) -> Windows:
    """Return the sizes of the windows that a run predicts."""
    processor = run.processor
    assert isinstance(processor, ProfileProcessor)
    return processor.windows(jitter=False)


def has_test_regions(regions: RegionFiles | ShardedRegions, fold: int) -> bool:
    """Whether regions have a part to test on."""
    if isinstance(regions, ShardedRegions):
        return "test" in regions.manifest.parts
    return bool(regions.chroms(fold)["test"])


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
        run: The run, no ensemble.
        regions: The regions file, or what was prepared of one.
        bootstrap: Resamples of the regions for 95 % intervals; 0 for none.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The scores, and a table with a row for each region.

    Raises:
        UserError: If there are no such regions, or the run is an ensemble.
    """
    compared: Mapping[str, float]
    if isinstance(regions, ShardedRegions):
        rows, compared, path = regions.part("test"), regions.manifest.baselines, regions.folder
    else:
        rows, compared = load_test_regions(regions, run.experiment.regions.fold, windows_of(run))
        path = regions.path
    found = {}
    kinds = ("joint", "network") if run.bias is not None else ("network",)
    with progress_bar(progress, len(kinds) * len(rows)) as bar:
        for kind in kinds:
            logits, counts = predict_profiles(run.steps, rows.tokens, kind == "joint", bar.update)
            found[kind] = score_regions(rows.profiles[:, 0], logits[:, 0], counts[:, 0])
    card = RegionCard(
        str(path),
        "test",
        len(rows),
        {kind: scores.summary() for kind, scores in found.items()},
        {kind: bootstrap_regions(s, bootstrap) for kind, s in found.items()} if bootstrap else {},
        compared,
    )
    return card, _table(rows, found)


def _table(rows: RegionRows, found: dict[str, RegionScores]) -> pd.DataFrame:
    """Return a row for each region, with what was measured and predicted."""
    table = pd.DataFrame({"chrom": rows.regions.chroms, "centre": rows.regions.centres})
    table["log_counts"] = next(iter(found.values())).log_counts
    for kind, scores in found.items():
        table[f"{kind}.log_counts"] = scores.predicted
        table[f"{kind}.jsd"] = scores.distances
        table[f"{kind}.normalised_jsd"] = scores.normalised
    return table
