"""Analyse the errors of a run's predictions of a suite, and write a report."""

import argparse

from dream_keras.analyse import analyse
from dream_keras.common.cli import add_plugin_argument, run
from dream_keras.scoring.suite import PARTS


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(
        prog="python -m dream_keras.analyse",
        description="Write RUN/analysis/analysis.md with tables and pictures: residuals by GC "
        "content, expression, subset and motif; calibration of the sorting bins; agreement of the "
        "two strands; similarity of test rows to training rows; and the worst rows. Of a run "
        "that predicts profiles: scores, counts, distances and profiles of its test peaks.",
    )
    p.add_argument("run", metavar="RUN", help="run folder")
    p.add_argument(
        "--suite",
        metavar="PATH",
        help="scoring suite, regions file or prepared folder of regions (default: as recorded in "
        "RUN)",
    )
    p.add_argument(
        "--part",
        choices=PARTS,
        help="rows to analyse (default: private, or all where nothing is public)",
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


if __name__ == "__main__":
    run(main)
