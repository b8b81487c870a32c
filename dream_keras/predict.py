"""Predict the expression of sequences with a trained run."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from dream_keras.common.cli import add_plugin_argument, load_backend, make_callable, run

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
    p.add_argument("-o", "--out", metavar="OUT.tsv", help="file to write (default: stdout)")
    p.add_argument("--sequence-column", metavar="NAME", help="for tables with a header")
    add_plugin_argument(p)
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    rows = predict(
        args.run,
        args.input,
        args.out,
        sequence_column=args.sequence_column,
        plugins=args.plugin,
    )
    if args.out:
        print(f"{rows:,} predictions in {args.out}", file=sys.stderr)


def predict(
    run: str | Path,
    source: str | Path,
    out: str | Path | None = None,
    *,
    sequence_column: str | None = None,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> int:
    """Predict the sequences of a file with a trained run.

    Args:
        run: Run folder.
        source: FASTA, or text with a sequence in each line's first column; ``-`` for stdin.
        out: File to write, whole or not at all; None writes to standard output.
        sequence_column: Header name of the sequences, for tables with a header.
        plugins: Files that put on the menu what the run was trained with, if it has no copies.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The number of sequences.

    Raises:
        UserError: If run or source cannot be used.
    """
    load_backend()
    from dream_keras.common.files import replacing
    from dream_keras.menu.plugins import load_plugins
    from dream_keras.runs.prediction import predict_file
    from dream_keras.runs.run import load_run
    from dream_keras.runtime.steps import Steps

    load_plugins(plugins)
    opened = load_run(run)
    steps = Steps(opened.network, opened.processor)
    if out is None:
        return predict_file(steps, source, sys.stdout, sequence_column, progress)
    with replacing(Path(out)) as temporary, temporary.open("w", encoding="utf-8") as file:
        return predict_file(steps, source, file, sequence_column, progress)


make_callable(__name__, predict)

if __name__ == "__main__":
    run(main)
