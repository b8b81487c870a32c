"""Simulate the experiment and write the official files, with the noise-free truth."""

import argparse

from dream_keras.common.cli import run
from dream_keras.simulate import GENOME_BP, TEST_ROWS, TRAIN_ROWS, simulate


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dream_keras.simulate",
        description="Simulate the random-promoter experiment and write exactly the official "
        "files, and beside them the noise-free expression and the motif sites.",
    )
    parser.add_argument("out", metavar="OUT", help="folder to create")
    parser.add_argument(
        "--train-rows",
        type=int,
        default=TRAIN_ROWS,
        metavar="N",
        help="rows of train.txt (default: %(default)s); val.txt gets a ninth as many",
    )
    parser.add_argument(
        "--test-rows",
        type=int,
        default=TEST_ROWS,
        metavar="N",
        help="rows of the test table, at least 600 (default: %(default)s; official: 71103)",
    )
    parser.add_argument(
        "--genome",
        action="store_true",
        help="a genome with ATAC-seq counts instead: FASTA, bigWig, peaks, folds and truth",
    )
    parser.add_argument(
        "--bp",
        type=int,
        default=GENOME_BP,
        metavar="N",
        help="with --genome, its length, at least 200000 (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="(default: 0)")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    options = parser().parse_args(argv)
    print(simulate(**vars(options)))


if __name__ == "__main__":
    run(main)
