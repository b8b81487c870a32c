"""Look at this machine and say what stands in the way of training, and what to do about it."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036, the imports below would not get so far
    sys.exit("problem  python        this Python is too old: install Python 3.11 or newer")

import dataclasses
from collections.abc import Iterator

from dream_keras.common.cli import make_callable
from dream_keras.doctor.checks import CHECKS, Finding
from dream_keras.doctor.system import SystemInfo, gather


def doctor() -> list[Finding]:
    """Look at this machine: packages, devices, one tiny training step, disk and memory.

    The backend is started in a process of its own, so that a crash is a finding too.

    Returns:
        What was found, one finding per line that the command prints; ``level`` is ``"ok"``,
        ``"warning"`` or ``"problem"``, and ``cure`` says what to do.
    """
    return list(diagnose(gather()))


def diagnose(system: SystemInfo) -> Iterator[Finding]:
    """Yield what each check finds, those that find nothing left out."""
    for subject, check in CHECKS.items():
        finding = check(system)
        if finding is not None:
            yield dataclasses.replace(finding, subject=subject)


make_callable(__name__, doctor)
