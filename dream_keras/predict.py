"""Predict the expression of sequences with a trained run."""

import argparse
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from dream_keras.common.cli import add_plugin_argument, load_backend, make_callable, run
from dream_keras.common.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(
        prog="python -m dream_keras.predict",
        description=SUMMARY,
        epilog="Writes name<TAB>prediction lines in the order of the input; both strands are "
        "averaged. The name is the sequence itself, or its FASTA name. Sequences carry their "
        "adapters, as in the training table.",
    )
    p.add_argument("run", metavar="RUN", help="run folder")
    p.add_argument(
        "input", metavar="INPUT", help="FASTA, or text with a sequence per line; - for stdin"
    )
    p.add_argument("-o", "--out", metavar="OUT.tsv", help="file to write (default: -, stdout)")
    p.add_argument("--sequence-column", metavar="NAME", help="for tables with a header")
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
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> int: ...


def predict(
    run: str | Path,
    source: str | Path | Sequence[str],
    out: str | Path | None = None,
    *,
    sequence_column: str | None = None,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> "npt.NDArray[np.float64] | int":
    """Predict sequences with a trained run.

    Args:
        run: Run folder.
        source: A list of sequences; or a file: FASTA, or text with a sequence in each line's first
            column; ``-`` for stdin.
        out: File to write, whole or not at all; ``-`` for standard output. None returns the
            predictions.
        sequence_column: Header name of the sequences, for tables with a header.
        plugins: Files that put on the menu what the run was trained with, if it has no copies.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The predictions, (rows,), or (rows, tasks) for a run with several tasks; those of a file
        have six decimals, as when they are written. With ``out``, the number of sequences.

    Raises:
        UserError: If run or source cannot be used.
    """
    from dream_keras.config.check import check_files
    from dream_keras.menu.plugins import check_plugins
    from dream_keras.runs.run import check_run, load_run

    check_run(run)
    check_plugins(plugins := list(plugins))
    if isinstance(source, str | Path):
        check_files(source)
    elif out is not None:
        raise UserError("a list of sequences is predicted without a file to write: leave out out")
    if out is not None and str(out) != "-" and not Path(out).parent.is_dir():
        raise UserError(f"{out}: the folder {Path(out).parent} does not exist")
    load_backend()
    from dream_keras.common.files import replacing
    from dream_keras.menu.plugins import load_plugins
    from dream_keras.runs.prediction import predict_file
    from dream_keras.runtime.steps import Steps

    load_plugins(plugins)
    opened = load_run(run)
    if not isinstance(source, str | Path):
        return opened.predict(source, progress)
    steps = Steps(opened.network, opened.processor)
    if out is None:
        written = io.StringIO()
        predict_file(steps, source, written, sequence_column, progress)
        return _values(written.getvalue())
    if str(out) == "-":
        return predict_file(steps, source, sys.stdout, sequence_column, progress)
    with replacing(Path(out)) as temporary, temporary.open("w", encoding="utf-8") as file:
        return predict_file(steps, source, file, sequence_column, progress)


def _values(lines: str) -> "npt.NDArray[np.float64]":
    """Return the numbers behind the names in lines of ``predict_file``."""
    import numpy as np

    values = np.array([line.split("\t")[1:] for line in lines.splitlines()], np.float64)
    return values[:, 0] if values.shape[1:] == (1,) else values


make_callable(__name__, predict)

if __name__ == "__main__":
    run(main)
