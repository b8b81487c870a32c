"""Scores of a run on the regions of a genome that it was not trained on."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dream_keras.common.errors import UserError
from dream_keras.data.region_rows import RegionRows, Windows, load_regions
from dream_keras.data.regions import Part, RegionFiles, is_regions_file, read_regions_file
from dream_keras.hub.paths import local_copy
from dream_keras.menu.atac import ProfileProcessor
from dream_keras.runs.prediction import Distribution, predict_profile_distribution, progress_bar
from dream_keras.runs.run import Run
from dream_keras.scoring.profiles import RegionScores, score_regions
from dream_keras.scoring.region_card import RegionCard, baselines, bootstrap_regions


def regions_of(run: Run, path: str | Path | None = None) -> RegionFiles:
    """Return the regions file that a run is scored on: its own, or another one.

    Raises:
        UserError: If it is none.
    """
    table = local_copy(path or run.tables()[0])
    if not is_regions_file(table):
        raise UserError(
            f"{table}: a run that predicts profiles is scored on a regions file, *.yaml, which "
            "names a genome, bigWigs and peaks (docs/atac.md)"
        )
    return read_regions_file(table)


def windows_of(run: Run) -> Windows:
    """Return the sizes of the windows that a run predicts."""
    processor = run.processor
    assert isinstance(processor, ProfileProcessor)
    return Windows(processor.length, processor.positions)


def score_run_on_regions(
    run: Run,
    files: RegionFiles,
    parts: Sequence[Part] = ("test",),
    bootstrap: int = 0,
    progress: bool | None = None,
) -> tuple[RegionCard, pd.DataFrame]:
    """Score a run on the peaks of a part of a fold.

    Args:
        run: The run, or an ensemble.
        files: The regions file.
        parts: Parts of the run's fold.
        bootstrap: Resamples of the regions for 95 % intervals; 0 for none.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The scores, and a table with a row for each region.

    Raises:
        UserError: If there are no such regions, or members of an ensemble were trained on them.
    """
    rows = load_regions(files, run.experiment.regions.fold, parts, windows_of(run))
    card, found, counts = score_rows(run, files, rows, parts, bootstrap, progress)
    return card, _table(rows, found, counts)


def score_rows(
    run: Run,
    files: RegionFiles,
    rows: RegionRows,
    parts: Sequence[Part],
    bootstrap: int = 0,
    progress: bool | None = None,
) -> tuple[RegionCard, dict[str, RegionScores], dict[str, Distribution]]:
    """Score a run on regions that have been read; arguments are those of ``score_run_on_regions``.

    Returns:
        The scores; those of each region, by who predicts; and the predicted log counts of each
        network likewise.

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
    card = RegionCard(
        str(files.path),
        " and ".join(parts),
        len(rows),
        {kind: scores.summary() for kind, scores in found.items()},
        {kind: bootstrap_regions(s, bootstrap) for kind, s in found.items()} if bootstrap else {},
        baselines(rows.profiles[:, 0], _replicates(run, files, parts)),
    )
    return card, found, counts


def _replicates(
    run: Run, files: RegionFiles, parts: Sequence[Part]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return counts of the first replicate and of the others, if there are several."""
    if len(files.counts) < 2:
        return None
    first, others = (
        load_regions(
            dataclasses.replace(files, counts=counts),
            run.experiment.regions.fold,
            parts,
            windows_of(run),
        ).profiles[:, 0]
        for counts in (files.counts[:1], files.counts[1:])
    )
    return first, others


def _check_unseen(run: Run) -> None:
    """Refuse an ensemble whose members have other test chromosomes.

    Raises:
        UserError: If they have: the peaks of some were trained on by others.
    """
    used = {(each.tables()[0], each.experiment.regions.fold) for each in run.members}
    if len(used) > 1:
        parts = {frozenset(regions_of(run, path).chroms(fold)["test"]) for path, fold in used}
        if len(parts) > 1:
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
