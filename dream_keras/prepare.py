"""Encode a table, or regions of a genome, once into shards that are trained from."""

import argparse
import logging
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.cli import (
    add_column_arguments,
    add_plugin_argument,
    load_backend,
    make_callable,
    run,
)
from dream_keras.common.errors import UserError

if TYPE_CHECKING:
    from dream_keras.config.experiment import Experiment
    from dream_keras.data.region_rows import RegionRows
    from dream_keras.data.regions import Part

log = logging.getLogger(__name__)

SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(prog="python -m dream_keras.prepare", description=SUMMARY)
    p.add_argument(
        "table", metavar="IN", help="training or validation table, - reads stdin; or regions file"
    )
    p.add_argument("--out", metavar="DIR", required=True, help="folder to make")
    p.add_argument(
        "--shards",
        type=int,
        default=16,
        metavar="N",
        help="files to write (default: %(default)s); a multiple of the hosts that will read them",
    )
    p.add_argument(
        "--config",
        help="YAML file or name of a built-in config, whose processor encodes the rows "
        "(default: quickstart)",
    )
    add_column_arguments(p)
    p.add_argument("--on-bad-row", choices=["fail", "skip"], help="what to do with bad rows")
    p.add_argument(
        "--set",
        metavar="section.key=value",
        action="append",
        default=[],
        help="change one setting of the config; may be given several times",
    )
    add_plugin_argument(p)
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    out = prepare(
        args.table,
        args.out,
        args.shards,
        args.config,
        sequence_column=args.sequence_column,
        target_columns=args.target_columns,
        id_column=args.id_column,
        on_bad_row=args.on_bad_row,
        overrides=args.set,
        plugins=args.plugin,
    )
    print(f"prepared {out}: train --train {out} with the same config trains from it")


def prepare(
    table: str | Path,
    out: str | Path,
    shards: int = 16,
    config: str | Path | None = None,
    *,
    sequence_column: str | None = None,
    target_columns: str | Sequence[str] | None = None,
    target_column: str | None = None,
    id_column: str | None = None,
    on_bad_row: str | None = None,
    overrides: Iterable[str] = (),
    plugins: Collection[str | Path] = (),
    progress: bool | None = None,
) -> Path:
    """Encode a table, or regions of a genome, into shards.

    ``dream_keras.data.shards`` and ``region_shards`` document what the folder holds.

    Args:
        table: The table; ``-`` reads standard input. Or a regions file, ``*.yaml``, with a config
            whose network predicts profiles: its fold and the settings of its ``regions`` section
            choose the regions.
        out: Folder to make.
        shards: Files to write.
        config: A YAML file or the name of a built-in config; its processor encodes the rows, and
            its ``data`` section says how the table is read.
        sequence_column: Header name of the sequences; by default the column called seq or
            sequence, or the first one of a table without a header.
        target_columns: Header name of the measured values, or a list of names; by default the only
            other column of numbers.
        target_column: The same under its former name.
        id_column: Header name of the rows' names.
        on_bad_row: ``"fail"`` or ``"skip"``.
        overrides: Settings as ``"section.key=value"``.
        plugins: Files that put something on the menu.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The folder.

    Raises:
        UserError: For anything wrong with the settings, the table or the folder.
    """
    from dream_keras.config.check import check_experiment, check_files
    from dream_keras.config.completion import with_length
    from dream_keras.config.experiment import DEFAULT_CONFIG, load_experiment
    from dream_keras.data.regions import is_regions_file
    from dream_keras.data.shard_writer import check_out, write_shards
    from dream_keras.menu.plugins import listed, load_plugins

    given = {
        "data.sequence_column": sequence_column,
        "data.target_columns": target_columns or target_column,
        "data.id_column": id_column,
        "data.on_bad_row": on_bad_row,
    }
    settings = {key: value for key, value in given.items() if value is not None}
    overrides, plugins = list(overrides), listed(plugins)
    check_experiment(config or DEFAULT_CONFIG, overrides, settings, plugins)
    check_files(table)
    check_out(Path(out), shards)
    load_backend()  # processors are written with Keras
    from tqdm import tqdm

    from dream_keras.common.progress import hide_bar
    from dream_keras.data.table import read_rows

    load_plugins(plugins)
    experiment = load_experiment(config or DEFAULT_CONFIG, overrides, settings, plugins)
    if experiment.is_of_regions != is_regions_file(table):
        raise UserError(
            f"{table}: networks that predict profiles (--config atac_dream_cnn) are trained on a "
            "regions file, *.yaml, which names a genome, bigWigs and peaks (docs/atac.md); others "
            "on a table"
        )
    if experiment.is_of_regions:
        _prepare_regions(experiment, table, Path(out), shards, progress)
        return Path(out)
    experiment = with_length(experiment, lambda: table)
    data = experiment.data
    for column in (data.split_column, data.weight_column, data.error_column):
        if column is not None:
            raise UserError(
                f"prepared folders hold sequences and values alone, not column {column}: train on "
                "the table itself, or prepare each part of it without such columns"
            )
    rows = read_rows(table, experiment.make_processor(), experiment.data.reading())
    with tqdm(unit="row", unit_scale=True, disable=hide_bar(progress)) as bar:
        counted = (part for part in rows if bar.update(len(part)) or True)
        manifest = write_shards(
            counted, Path(out), shards, _name_of(table), experiment.processor_settings()
        )
    log.info("%s: %s rows in %d shards", out, f"{manifest.rows:,}", shards)
    return Path(out)


def _prepare_regions(
    experiment: "Experiment", table: str | Path, out: Path, shards: int, progress: bool | None
) -> None:
    """Write the regions of a fold into shards; other arguments as for ``prepare``."""
    from dream_keras.common.progress import progress_bar
    from dream_keras.data.region_rows import load_training_regions
    from dream_keras.data.region_shards import write_region_shards
    from dream_keras.data.regions import read_regions_file
    from dream_keras.hub.paths import local_copy
    from dream_keras.menu.atac import ProfileProcessor
    from dream_keras.runs.region_scores import has_test_part, load_test_regions
    from dream_keras.runs.rows import check_data_of_regions

    check_data_of_regions(experiment.data)
    files, settings = read_regions_file(local_copy(table)), experiment.regions
    processor = experiment.make_processor()
    assert isinstance(processor, ProfileProcessor)
    compared: dict[str, float] = {}
    with progress_bar(progress, desc="reading", unit="region") as bar:
        rows, validation = load_training_regions(files, settings, processor.windows(), bar.update)
        parts: dict[Part, RegionRows] = {"train": rows, "valid": validation}
        if has_test_part(files, settings.fold):
            windows = processor.windows(jitter=False)
            parts["test"], compared = load_test_regions(files, settings.fold, windows, bar.update)
    count = sum(map(len, parts.values()))
    with progress_bar(progress, desc="writing", unit="region", total=count) as bar:
        write_region_shards(
            parts,
            out,
            shards,
            _name_of(files.path),
            experiment.processor_settings(),
            compared,
            bar.update,
        )
    numbers = ", ".join(f"{name} {len(part):,}" for name, part in parts.items())
    log.info("%s: %s regions (%s) in %d shards", out, f"{count:,}", numbers, shards)


def _name_of(rows: str | Path) -> str:
    """Return what a manifest calls a table or regions file."""
    from dream_keras.simulate.truth import SIMULATED, is_simulated

    return Path(rows).name + (SIMULATED if is_simulated(rows) else "")


make_callable(__name__, prepare)

if __name__ == "__main__":
    run(main)
