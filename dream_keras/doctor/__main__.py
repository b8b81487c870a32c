"""Look at this machine and say what stands in the way of training, and what to do about it."""

import argparse
import logging
import sys

from dream_keras.common.cli import run
from dream_keras.doctor import doctor

log = logging.getLogger(__name__)


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    return argparse.ArgumentParser(
        prog="python -m dream_keras.doctor",
        description=__doc__,
        epilog="Each line is ok, a warning or a problem. The exit status is 1 if there is a "
        "problem, else 0.",
    )


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser().parse_args(argv)
    log.info("starting Keras and training one tiny step ...")
    findings = doctor()
    for finding in findings:
        print(finding)
    levels = [finding.level for finding in findings]
    print(f"\nproblems: {levels.count('problem')}, warnings: {levels.count('warning')}")
    sys.exit(1 if "problem" in levels else 0)


if __name__ == "__main__":
    run(main)
