"""Predict the expression of sequences with a trained run."""

import argparse
import csv
import dataclasses
import io
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints, overload

from dream_keras.common.cli import (
    add_adapters_argument,
    add_column_arguments,
    add_plugin_argument,
    load_backend,
    make_callable,
    run,
)
from dream_keras.common.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dream_keras.data.parse import BadRow
    from dream_keras.data.table import ReadSettings
    from dream_keras.runs.prediction import Bounds, Floats
    from dream_keras.runs.run import Run

SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""
NAMED = 3
"""Sequences without a prediction that are named in the log."""

log = logging.getLogger(__name__)


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(
        prog="python -m dream_keras.predict",
        description=SUMMARY,
        epilog="Writes name<TAB>prediction lines in the order of the input; both strands are "
        "averaged. The name is the sequence itself, its FASTA name or its id. Sequences are those "
        "of the training table's kind; the options below are by default what the run was trained "
        "with.",
    )
    p.add_argument("run", metavar="RUN", help="run folder")
    p.add_argument(
        "input",
        metavar="INPUT",
        help="FASTA, a table, or text with a sequence per line; - for stdin; or a regions file, of "
        "a run that predicts profiles",
    )
    p.add_argument(
        "-o",
        "--out",
        metavar="OUT.tsv",
        help="file to write (default: -, stdout); OUT.bw writes a regions file's counts as bigWig",
    )
    add_column_arguments(p, targets=False)
    p.add_argument(
        "--on-bad-row",
        choices=["fail", "skip", "nan"],
        help="what to do with sequences that cannot be predicted: stop, leave them out, write nan",
    )
    p.add_argument(
        "--long-rows",
        choices=["fail", "drop", "crop"],
        help="what to do with sequences that are too long",
    )
    add_adapters_argument(p)
    p.add_argument(
        "--interval",
        metavar="SHARE",
        type=float,
        help="also write bounds that cover this share of the measurements, such as 0.9; calibrated "
        "on the run's validation rows",
    )
    add_plugin_argument(p)
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    rows = predict(
        args.run,
        args.input,
        args.out or "-",
        sequence_column=args.sequence_column,
        id_column=args.id_column,
        on_bad_row=args.on_bad_row,
        long_rows=args.long_rows,
        adapters=args.adapters,
        interval=args.interval,
        plugins=args.plugin,
    )
    if args.out and args.out != "-":
        print(f"{rows:,} predictions in {args.out}", file=sys.stderr)


@overload
def predict(
    run: str | Path,
    source: str | Path | Sequence[str],
    out: None = None,
    *,
    sequence_column: str | None = None,
    id_column: str | None = None,
    on_bad_row: str | None = None,
    long_rows: str | None = None,
    adapters: str | None = None,
    interval: float | None = None,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> "npt.NDArray[np.float64]": ...


@overload
def predict(
    run: str | Path,
    source: str | Path | Sequence[str],
    out: str | Path,
    *,
    sequence_column: str | None = None,
    id_column: str | None = None,
    on_bad_row: str | None = None,
    long_rows: str | None = None,
    adapters: str | None = None,
    interval: float | None = None,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> int: ...


def predict(
    run: str | Path,
    source: str | Path | Sequence[str],
    out: str | Path | None = None,
    *,
    sequence_column: str | None = None,
    id_column: str | None = None,
    on_bad_row: str | None = None,
    long_rows: str | None = None,
    adapters: str | None = None,
    interval: float | None = None,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> "npt.NDArray[np.float64] | int":
    """Predict sequences with a trained run.

    Args:
        run: Run folder.
        source: A list of sequences; or a file: FASTA, a table, or text with a sequence in each
            line's first column; ``-`` for stdin. Of a run that predicts profiles also a regions
            file: all of its regions, which then needs ``out``, a table of log counts or, with the
            ending ``.bw``, a bigWig of the counts at each base.
        out: File to write, whole or not at all; ``-`` for standard output. Sequences that are left
            out are listed beside it, in ``OUT.skipped.tsv``. None returns the predictions.
        sequence_column: Header name of the sequences; by default that of the training table if the
            source has it, the column called seq or sequence, or the first one of a table without a
            header.
        id_column: Header name of the sequences' names; that of the training table likewise.
        on_bad_row: ``"fail"``, ``"skip"`` or ``"nan"``: what is done about sequences that cannot be
            predicted; None as in training, like the next two.
        long_rows: ``"fail"``, ``"drop"`` or ``"crop"``, for sequences that are too long.
        adapters: ``"present"``, ``"add"`` or ``"LEFT,RIGHT"``, as ``data.adapters``.
        interval: Share of measurements, 0 to 1, that the bounds written beside the predictions are
            to cover (see ``dream_keras.runs.calibration``); needs ``out``.
            ``dream_keras.predict_interval`` returns bounds.
        plugins: Files that put on the menu what the run was trained with, if it has no copies.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The predictions, (rows,), or (rows, tasks) for a run with several tasks; those of a file
        have six decimals, as when they are written. With ``out``, the number of sequences. An
        ensemble predicts the mean of its members, and a file then has their standard deviation,
        ``TASK_sd``, in a column of its own.

    Raises:
        UserError: If run or source cannot be used.
    """
    from dream_keras.config.check import check_files
    from dream_keras.menu.plugins import check_plugins, listed
    from dream_keras.runs.run import check_run, load_run

    check_run(run)
    check_plugins(plugins := listed(plugins))
    if isinstance(source, str | Path):
        check_files(source)
    elif out is not None:
        raise UserError("a list of sequences is predicted without a file to write: leave out out")
    if interval is not None and out is None:
        raise UserError("interval needs out, a file to write; predict_interval returns bounds")
    if out is not None and str(out) != "-" and not Path(out).parent.is_dir():
        raise UserError(f"{out}: the folder {Path(out).parent} does not exist")
    load_backend()
    from dream_keras.common.files import replacing
    from dream_keras.data.columns import Columns
    from dream_keras.data.regions import is_regions_file
    from dream_keras.data.shards import is_prepared
    from dream_keras.menu.plugins import load_plugins
    from dream_keras.runs.prediction import predict_file

    load_plugins(plugins)
    opened = load_run(run)
    trained = opened.experiment.data.reading()
    settings = _settings(
        trained,
        columns=Columns(
            sequence_column,
            (),
            id_column,
            usual_sequence=trained.columns.sequence,
            usual_id=trained.columns.id,
        ),
        on_bad_row=on_bad_row,
        long_rows=long_rows,
        adapters=adapters,
    )
    if not isinstance(source, str | Path):
        return opened.predict(source, progress)
    if is_prepared(source):
        raise UserError(
            f"{source} is a prepared folder: give the table, or the regions file, that it was "
            "made of"
        )
    if is_regions_file(source):
        return _predict_regions(opened, source, out, interval, progress)
    members = [member.steps for member in opened.members]
    header = _header(opened.task_names, len(members), interval is not None)
    bounds = _bounds(opened, interval, progress)
    if out is None or str(out) == "-":
        written = io.StringIO() if out is None else sys.stdout
        if out is not None:
            sys.stdout.write(header)
        rows, left_out = predict_file(members, source, written, settings, progress, bounds)
        _report(source, rows, left_out, None)
        if isinstance(written, io.StringIO):
            return _values(written.getvalue(), len(opened.task_names))
        return rows
    with replacing(Path(out)) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(header)
        rows, left_out = predict_file(members, source, file, settings, progress, bounds)
    _report(source, rows, left_out, Path(out) if Path(out).is_file() else None)
    return rows


def _predict_regions(
    run: "Run",
    source: str | Path,
    out: str | Path | None,
    interval: float | None,
    progress: bool | None,
) -> int:
    """Predict all regions of a regions file; arguments as for ``predict``."""
    from dream_keras.common.files import replacing
    from dream_keras.data.regions import read_regions_file
    from dream_keras.hub.paths import local_copy
    from dream_keras.runs.region_prediction import (
        TRACKS,
        write_region_table,
        write_region_track,
    )

    if not run.is_of_regions:
        raise UserError(f"{run.folder} predicts no profiles of regions: give sequences")
    if out is None or interval is not None:
        raise UserError("regions are predicted into a file, and without intervals: give out")
    files = read_regions_file(local_copy(source))
    if str(out) == "-":
        return write_region_table(run, files, sys.stdout, progress)
    if str(out).lower().endswith(TRACKS):
        return write_region_track(run, files, Path(out), progress)
    with replacing(Path(out)) as temporary, temporary.open("w", encoding="utf-8") as file:
        return write_region_table(run, files, file, progress)


def predict_interval(
    run: "Run | str | Path",
    sequences: Sequence[str],
    coverage: float = 0.9,
    progress: bool | None = None,
) -> "tuple[Floats, Floats, Floats]":
    """Predict sequences, with an interval for the measurement of each.

    Args:
        run: A run or ensemble, opened or its folder.
        sequences: A list of sequences, as in the training table.
        coverage: Probability with which an interval covers a measurement, if the sequences are
            drawn as the validation rows are.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        Predictions, lower and upper bounds: each (rows,), or (rows, tasks) for several tasks.

    Raises:
        UserError: What ``Run.predict`` raises; if the run cannot be calibrated on its validation
            rows, or these are too few.
    """
    load_backend()
    from dream_keras.runs.calibration import calibrate
    from dream_keras.runs.run import load_run

    run = load_run(run) if isinstance(run, str | Path) else run
    predicted = run.predict_distribution(sequences, progress)
    low, high = calibrate(run, progress).bounds(predicted, coverage)
    if predicted.mean.shape[1] == 1:
        return predicted.mean[:, 0], low[:, 0], high[:, 0]
    return predicted.mean, low, high


def _bounds(run: "Run", interval: float | None, progress: bool | None) -> "Bounds | None":
    """Return what gives the bounds of predictions, if an interval is asked for."""
    if interval is None:
        return None
    from dream_keras.runs.calibration import calibrate

    calibration = calibrate(run, progress)
    return lambda predicted: calibration.bounds(predicted, interval)


def _header(tasks: Sequence[str], members: int, bounded: bool) -> str:
    """Return the header of the predictions: the names of the columns if there are several."""
    ends = [*(["_sd"] if members > 1 else []), *(["_low", "_high"] if bounded else [])]
    columns = [*tasks, *(f"{task}{end}" for end in ends for task in tasks)]
    return "\t".join(["sequence", *columns]) + "\n" if len(columns) > 1 else ""


def _settings(trained_with: "ReadSettings", **given: object) -> "ReadSettings":
    """Return how sequences are read: as for training, but for what is given.

    Raises:
        UserError: If a setting has no such value.
    """
    from dream_keras.common.options import checked
    from dream_keras.data.adapters import check_setting

    kinds = get_type_hints(type(trained_with))
    chosen = {key: checked(v, kinds[key], key) for key, v in given.items() if v is not None}
    settings = dataclasses.replace(trained_with, **chosen)
    check_setting(settings.adapters)
    return settings


def _report(source: str | Path, rows: int, left_out: "Sequence[BadRow]", out: Path | None) -> None:
    """Say which sequences have no prediction, and list them beside the output."""
    listed = out and out.with_name(f"{out.name}.skipped.tsv")
    if listed:
        listed.unlink(missing_ok=True)  # of an earlier output
    if not left_out:
        return
    first = ", ".join(f"{_short(row.name)} (line {row.line})" for row in left_out[:NAMED])
    log.warning(
        "%s: %s sequences were not predicted, %s were: %s%s",
        source,
        f"{len(left_out):,}",
        f"{rows:,}",
        first + (" and others" if len(left_out) > NAMED else ""),
        f"; all are listed in {listed}" if listed else "",
    )
    if listed:
        with listed.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, delimiter="\t", lineterminator="\n")
            table.writerow(["name", "line", "reason", "detail"])
            table.writerows((row.name, row.line, row.reason, row.detail) for row in left_out)


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:37]}..."


def _values(lines: str, tasks: int) -> "npt.NDArray[np.float64]":
    """Return the predictions behind the names in lines of ``predict_file``."""
    import numpy as np

    cells = [line.split("\t")[1 : 1 + tasks] for line in lines.splitlines()]
    values = np.array(cells, np.float64)
    return values[:, 0] if values.shape[1:] == (1,) else values


make_callable(__name__, predict)

if __name__ == "__main__":
    run(main)
