"""Find out where a run's predictions of a suite are wrong, and write it down."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from dream_keras.cli import add_plugin_argument, load_backend, make_callable, run
from dream_keras.errors import UserError
from dream_keras.scoring.suite import PARTS


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(
        prog="python -m dream_keras.analyse",
        description="Write RUN/analysis/analysis.md with tables and pictures: residuals by GC "
        "content, expression, subset and motif; calibration of the sorting bins; agreement of the "
        "two strands; similarity of test rows to training rows; and the worst rows.",
    )
    p.add_argument("run", metavar="RUN", help="run folder")
    p.add_argument(
        "--suite", metavar="PATH", help="scoring suite (default: the suite recorded in RUN)"
    )
    p.add_argument(
        "--part",
        choices=PARTS,
        help="rows to look at (default: private, or all where nothing is public)",
    )
    p.add_argument(
        "--train",
        metavar="FILE",
        help="training table to compare test rows with (default: the one recorded in RUN)",
    )
    add_plugin_argument(p)
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    page = analyse(
        args.run, suite=args.suite, part=args.part, train=args.train, plugins=args.plugin
    )
    print(f"The analysis is in {page}")


def analyse(
    run: str | Path,
    *,
    suite: str | Path | None = None,
    part: str | None = None,
    train: str | Path | None = None,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> Path:
    """Find out where a run's predictions of a suite are wrong, and write it down.

    Args:
        run: Run folder.
        suite: Folder or YAML file of the suite; the one recorded in the run when left out.
        part: ``"private"``, ``"public"`` or ``"all"``; None is private, or all where nothing is
            public.
        train: Training table to compare test rows with; the run's own when left out.
        plugins: Files that put on the menu what the run was trained with, if it has no copies.
        progress: Whether to show progress bars; None shows them on a terminal.

    Returns:
        The page that was written, ``analysis/analysis.md`` in the run folder.

    Raises:
        UserError: If run, suite or training table cannot be used, or the suite has several
            targets.
    """
    load_backend()
    from dream_keras.analysis.analysis import Analysis
    from dream_keras.analysis.report import write_analysis
    from dream_keras.plugins import load_plugins
    from dream_keras.scoring.suite import load_suite
    from dream_keras.training.run_folder import load_run

    load_plugins(plugins)
    opened = load_run(run)
    suite = suite or opened.suite_folder
    if suite is None:
        raise UserError(f"no suite to look at: {run} records none. Name one with --suite PATH.")
    loaded = load_suite(suite)
    loaded.check_one_target()
    part = loaded.choose_part(part)
    predictions = opened.find_predictions(loaded, part, progress)
    page = write_analysis(Analysis(opened, loaded, part, predictions, train, progress))
    opened.folder.publish()
    return page


make_callable(__name__, analyse)

if __name__ == "__main__":
    run(main)
