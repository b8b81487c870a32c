"""Average runs: make a folder of them that every other command takes as a run."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dream_keras.common.cli import add_plugin_argument, load_backend, make_callable, run

if TYPE_CHECKING:
    from dream_keras.scoring.card import ScoreCard
    from dream_keras.scoring.region_card import RegionCard

SUMMARY = __doc__
"""Of the command; ``make_callable`` gives the module the function's docstring."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(
        prog="python -m dream_keras.ensemble",
        description=SUMMARY,
        epilog="The runs are copied. Their orders may differ; their tasks, the ends of their "
        "sequences and the windows of regions must not.",
    )
    p.add_argument("runs", metavar="RUN", nargs="+", help="run folders, two or more")
    p.add_argument("--out", metavar="ENSEMBLE", required=True, help="folder to make")
    add_plugin_argument(p)
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    report(ensemble(args.runs, args.out, plugins=args.plugin), args.out)


def report(card: "ScoreCard | RegionCard | None", folder: str | Path) -> None:
    """Print an ensemble's score and where it is."""
    if card is not None:
        from dream_keras.scoring.report import table

        print(table(card))
    print(
        f"\nThe ensemble is in {folder}: commands take it as a run. Its report: {folder}/report.md"
    )


def ensemble(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    plugins: Iterable[str | Path] = (),
    progress: bool | None = None,
) -> "ScoreCard | RegionCard | None":
    """Make a folder of runs whose predictions are averaged, and score it.

    Args:
        runs: Run folders, two or more; they are copied.
        out: The folder to make. ``load_run`` opens it, and other commands take it as a run.
        plugins: Files that put on the menu what the runs were trained with, if they have no copies.
        progress: Whether to show a progress bar; None shows one on a terminal.

    Returns:
        The score on the suite that the runs record, or on their test peaks; None without one.

    Raises:
        UserError: If the runs predict other values, or from other sequences, than each other; or
            ``out`` is there already.
    """
    from dream_keras.menu.plugins import check_plugins, listed, load_plugins
    from dream_keras.runs.folder import open_folder
    from dream_keras.runs.run import check_run

    for folder in runs:
        check_run(folder)
    check_plugins(plugins := listed(plugins))
    open_folder(out).check_new()
    load_backend()
    from dream_keras.runs.ensemble import make_ensemble

    load_plugins(plugins)
    return make_ensemble(runs, out, progress)


make_callable(__name__, ensemble)

if __name__ == "__main__":
    run(main)
