"""Look at this machine and say what stands in the way of training, and what to do about it."""

import sys

if sys.version_info < (3, 10):  # noqa: UP036, the imports below would not get so far
    sys.exit("problem  python        this Python is too old: install Python 3.11 or newer")

import argparse
import dataclasses
import logging
from collections.abc import Iterator

from dream_keras.cli import make_callable, run
from dream_keras.diagnosis.checks import CHECKS, Finding
from dream_keras.diagnosis.facts import Facts, gather

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


def doctor() -> list[Finding]:
    """Look at this machine: packages, devices, one tiny training step, disk and memory.

    The backend is started in a process of its own, so that a crash is a finding too.

    Returns:
        What was found, one finding per line that the command prints; ``level`` is ``"ok"``,
        ``"warning"`` or ``"problem"``, and ``cure`` says what to do.
    """
    return list(diagnose(gather()))


def diagnose(facts: Facts) -> Iterator[Finding]:
    """Yield what each check says about the facts, those that have nothing to say left out."""
    for subject, check in CHECKS.items():
        finding = check(facts)
        if finding is not None:
            yield dataclasses.replace(finding, subject=subject)


make_callable(__name__, doctor)

if __name__ == "__main__":
    run(main)
