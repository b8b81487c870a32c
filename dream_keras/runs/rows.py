"""The rows of a run: read or simulated, and split into those to train and to validate on."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.config.experiment import DataSettings
from dream_keras.data.alphabet import Tokens
from dream_keras.data.kmers import Sequences
from dream_keras.data.processor import Lengths
from dream_keras.data.region_rows import RegionRows, load_training_regions
from dream_keras.data.region_shards import ShardedRegions, open_region_shards
from dream_keras.data.regions import RegionFiles, is_regions_file, read_regions_file
from dream_keras.data.shards import ShardedRows, is_prepared, open_shards
from dream_keras.data.similarity import hold_out_families
from dream_keras.data.split import Part
from dream_keras.data.stream import hold_out
from dream_keras.data.table import Rows, load_rows
from dream_keras.hub.paths import local_copy
from dream_keras.menu.atac import ProfileProcessor
from dream_keras.runs.run import Run

VALIDATION_SHARE = 0.1
"""Share of the training rows held out when there is no validation table."""

log = logging.getLogger(__name__)

Visit = Callable[[Tokens, Lengths], None]


def _no_visit(tokens: Tokens, lengths: Lengths) -> None:
    """Do nothing with rows that are read."""


def split_seed(run: Run) -> int:
    """Return the seed of the rows that are held out: the trainer's, unless one is set."""
    seed = run.experiment.data.split_seed
    return run.seed if seed is None else seed


def load_validation(run: Run) -> Rows:
    """Read the rows to validate on; others only where these are held out of them.

    Raises:
        UserError: As for ``load_data``.
    """
    if run.is_of_regions:
        return load_data(run)[1]
    train, validation = run.tables()
    table = train if run.experiment.data.split_column is not None else validation
    if table is None:
        return load_data(run)[1]
    return _load(run, str(local_copy(table)), "validation")


def load_data(run: Run, visit: Visit = _no_visit) -> tuple[Rows | ShardedRows, Rows]:
    """Read, or simulate and read, the rows to train and to validate on.

    The rows of a prepared folder to train on stay on the disk, unless only the first
    ``data.max_rows`` are wanted.

    Args:
        run: The run.
        visit: Called with the training rows, block by block, before they are encoded; not with
            those of a prepared folder.

    Raises:
        UserError: If a table cannot be used, or not be split as asked.
    """
    settings, seed = run.experiment.data, split_seed(run)
    if run.is_of_regions:
        return _load_regions(run)
    train, validation = run.tables()
    train = str(local_copy(train))
    prepared = Path(train).is_dir()
    if settings.split_column is not None:
        if prepared:
            raise UserError(
                f"{train} is a prepared folder, which has no column {settings.split_column}. Give "
                "the table itself, or prepare each part of it."
            )
        return _load(run, train, "train", visit), _load(run, train, "validation")
    validation = validation and str(local_copy(validation))
    on_disk = _open_prepared(run, train) if prepared and settings.max_rows is None else None
    if validation is not None:
        if settings.split != "random":
            raise UserError(
                f"data.split={settings.split} says how rows are held out for validation, but there "
                f"is a validation table, {validation}. Give a training table alone (--train), or "
                "leave --split out."
            )
        return (
            on_disk or _load(run, train, "train", visit),
            _load(run, validation, "validation"),
        )
    if prepared and settings.split != "random":
        raise UserError(
            f"data.split={settings.split} needs the sequences themselves; {train} is a prepared "
            "folder. Split the table first and give a validation table with --val, or leave "
            "--split out."
        )
    if on_disk is not None:
        of_disk, held_out = on_disk.hold_out(VALIDATION_SHARE, seed)
        return of_disk, held_out.load()
    return _split(run, train, seed, visit)


def _load_regions(run: Run) -> tuple[RegionRows, RegionRows]:
    """Read the regions to train and to validate on.

    Raises:
        UserError: If the training table is no regions file, nor prepared of one, or settings of
            tables are given.
    """
    processor = run.processor
    assert isinstance(processor, ProfileProcessor)
    check_data_of_regions(run.experiment.data)
    regions = regions_of(run)
    if isinstance(regions, ShardedRegions):
        table, rows, validation = regions.folder, regions.part("train"), regions.part("valid")
    else:
        table = regions.path
        rows, validation = load_training_regions(
            regions, run.experiment.regions, processor.windows()
        )
    for part, found in (("train", rows), ("valid", validation)):
        peaks = int(found.regions.is_peak.sum())
        log.info(
            "%s: %s peaks and %s regions without, part %s",
            table,
            f"{peaks:,}",
            f"{len(found) - peaks:,}",
            part,
        )
    return rows, validation


def check_data_of_regions(data: DataSettings) -> None:
    """Refuse settings that belong to tables.

    Raises:
        UserError: Names the setting.
    """
    for name in ("validation", "test", "split_column", "weight_column", "error_column", "max_rows"):
        if getattr(data, name) is not None:
            raise UserError(
                f"data.{name}={getattr(data, name)}: which regions are trained, validated and "
                "tested on says the file of folds that the regions file names"
            )


def regions_of(run: Run, path: str | Path | None = None) -> RegionFiles | ShardedRegions:
    """Open the regions that a run is trained and scored on: its own, or those of another path.

    Raises:
        UserError: If it is neither a regions file nor a folder that was prepared of one for the
            run's settings.
    """
    table = local_copy(path or run.tables()[0])
    if is_prepared(table):
        return open_region_shards(table, run.processor, run.experiment.processor_settings())
    if not is_regions_file(table):
        raise UserError(
            f"{table}: networks that predict profiles are trained and scored on a regions file, "
            "*.yaml, which names a genome, bigWigs and peaks (docs/atac.md), or on a folder that "
            "was prepared of one. To simulate one: python -m dream_keras.simulate --genome OUT"
        )
    return read_regions_file(table)


def _split(run: Run, table: str, seed: int, visit: Visit) -> tuple[Rows, Rows]:
    """Read a table and hold out a part of its rows."""
    by_family = run.experiment.data.split == "similarity"
    sequences: list[Sequences] = []

    def visit_all(tokens: Tokens, lengths: Lengths) -> None:
        visit(tokens, lengths)
        if by_family:
            sequences.append(Sequences.of(tokens, lengths))

    rows = _load(run, table, "train", visit_all)
    if len(rows) < 2:
        raise UserError(f"{table}: one row is too few to learn from; give a table with more")
    if by_family:
        chosen = hold_out_families(sequences, VALIDATION_SHARE, seed)
        kept, held_out = (rows.take(np.flatnonzero(side)) for side in (~chosen, chosen))
    else:
        kept, held_out = hold_out(rows, VALIDATION_SHARE, seed)
    return dataclasses.replace(kept, skipped=rows.skipped), held_out


def _open_prepared(run: Run, folder: str) -> ShardedRows:
    rows = open_shards(Path(folder), run.processor, run.experiment.processor_settings())
    log.info("%s: %s rows, prepared", folder, f"{len(rows):,}")
    return rows


def _load(
    run: Run,
    path: str,
    part: Part,
    visit: Visit = _no_visit,
) -> Rows:
    settings = run.experiment.data
    if Path(path).is_dir():
        return _open_prepared(run, path).load(settings.max_rows)
    rows = load_rows(path, run.processor, settings.reading(part), visit)
    named = f" of the {part} part" if settings.split_column else ""
    log.info("%s: %s rows%s", path, f"{len(rows):,}", named)
    return rows.weighted_by_errors(settings.error_floor)
