"""What is found on this machine. Imports no framework, and nothing here can fail."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dream_keras._version import __version__
from dream_keras.common.cli import (
    JAX_DEFAULTS,
    backend_trouble,
    installed_backends,
    keras_file,
)
from dream_keras.runtime.machine import KERNELS, packages, requirements, tpu_signs, version

STAGES = ("devices", "strategy", "step")
"""What the probe reports, in this order; each may be the one that a process dies of."""
SECONDS = 300.0
"""That the probe is given; on two busy CPU cores it takes half a minute."""
NVIDIA = Path("/dev/nvidia0")
"""Device file of the first NVIDIA GPU."""
VARIABLES = ("KERAS_BACKEND", "JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES")
"""Environment variables that choose a backend or hide devices from one."""
OVERRULED = (
    "KERAS_MAX_EPOCHS",
    "KERAS_MAX_STEPS_PER_EPOCH",
    "KERAS_NNX_ENABLED",
    *(name.upper() for name in JAX_DEFAULTS),
)
"""Environment variables of Keras and JAX that runs do not follow."""


@dataclass(frozen=True)
class SystemInfo:
    """What was found.

    Attributes:
        python: Version of Python.
        requirements: What the package needs, as ``machine.requirements`` returns it.
        versions: Versions of the installed packages among ``machine.packages``, by name.
        installed: The backends that can be imported.
        environment: The variables among ``VARIABLES``, ``KERNELS`` and ``OVERRULED`` that are set.
        keras_file: The user's ``keras.json``.
        keras_settings: What it holds.
        tpu_signs: What makes the machine look as if it had a TPU.
        gpu: Whether it has an NVIDIA GPU.
        disk: Free bytes in the working folder; None if not known.
        memory: Bytes of memory that are free; None if not known.
        reports: What each of ``STAGES`` found in a process of its own; a stage that failed, and
            those after it, are missing.
        failure: Why a stage failed, or None.
    """

    python: str = "3.11.0"
    requirements: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    installed: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    keras_file: str = ""
    keras_settings: Mapping[str, object] = field(default_factory=dict)
    tpu_signs: tuple[str, ...] = ()
    gpu: bool = False
    disk: int | None = None
    memory: int | None = None
    reports: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    failure: str | None = None

    @property
    def backend(self) -> str | None:
        """The backend that a command would run on, or None if none can."""
        wanted = self.environment.get("KERAS_BACKEND")
        if backend_trouble(self.installed, wanted):
            return None
        return wanted or self.installed[0]

    @property
    def devices(self) -> list[str] | None:
        """Kinds of the devices that the backend found, or None if it did not get so far."""
        return self.reports["devices"]["kinds"] if "devices" in self.reports else None

    @property
    def failed_stage(self) -> str | None:
        """The stage that gave no report."""
        return next((stage for stage in STAGES if stage not in self.reports), None)


def gather() -> SystemInfo:
    """Look at this machine and at what a process that starts a backend says."""
    installed = tuple(installed_backends())
    known = (*VARIABLES, *KERNELS, *OVERRULED)
    environment = {name: os.environ[name] for name in known if name in os.environ}
    startable = backend_trouble(installed, environment.get("KERAS_BACKEND")) is None
    reports, failure = probe() if startable else ({}, None)
    found = {name: version(name) for name in packages()}
    return SystemInfo(
        python=platform.python_version(),
        requirements=requirements(),
        versions={"dream_keras": __version__} | {k: v for k, v in found.items() if v},
        installed=installed,
        environment=environment,
        keras_file=str(keras_file()),
        keras_settings=read_keras_file(keras_file()),
        tpu_signs=tuple(tpu_signs()),
        gpu=NVIDIA.exists(),
        disk=free_disk(),
        memory=free_memory(),
        reports=reports,
        failure=failure,
    )


def read_keras_file(path: Path) -> dict[str, object]:
    """Return the settings in a ``keras.json``; none where it is missing or damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def free_disk() -> int | None:
    """Return the free bytes in the working folder, or None where that cannot be said."""
    try:
        return shutil.disk_usage(".").free
    except OSError:
        return None


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that are free, or None where that cannot be said.

    A container sees the memory of its host in ``/proc``; its own limit is the cgroup's.
    """
    found = []
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    except (OSError, ValueError, IndexError):
        pass
    try:
        group = root / "sys/fs/cgroup"
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # The kernel takes back file pages that are no longer in use before a limit is reached.
        used = int((group / "memory.current").read_text()) - int(statistics["inactive_file"])
        found.append(int((group / "memory.max").read_text()) - used)
    except (OSError, ValueError, KeyError):
        pass
    return max(min(found), 0) if found else None


def probe(
    command: Iterable[str] = ("-m", "dream_keras.doctor.probe"), seconds: float = SECONDS
) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Start the backend in a process of its own, which may crash or hang.

    Args:
        command: What Python is to run: it prints a JSON object with a "stage" per line.
        seconds: After which the process is ended.

    Returns:
        The reports by stage, and why the process failed, or None if it did not.
    """
    package_home = str(Path(__file__).parents[2])
    paths = [package_home, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    try:
        done = subprocess.run(
            [sys.executable, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as late:
        reports, _ = _read(late.stdout or b"")
        return reports, f"no answer within {seconds:g} s"
    except OSError as error:
        return {}, f"no process could be started: {error}"
    reports, failure = _read(done.stdout)
    if done.returncode and failure is None:
        failure = _last_words(done.returncode, done.stderr)
    return reports, failure


def _read(output: bytes) -> tuple[dict[str, dict[str, Any]], str | None]:
    """Read the probe's lines among whatever else was printed."""
    reports, failure = {}, None
    for line in output.decode(errors="replace").splitlines():
        if not line.startswith('{"stage": '):
            continue
        try:
            report = json.loads(line)
        except ValueError:
            continue  # cut off when the process ended
        if "error" in report:
            failure = report["error"]
        else:
            reports[report.pop("stage")] = report
    return reports, failure


def _last_words(status: int, errors: bytes) -> str:
    """Say how a process ended, with the last line of its error stream."""
    lines = errors.decode(errors="replace").strip().splitlines()
    try:
        how = f"ended by {signal.Signals(-status).name}"
    except ValueError:
        how = f"ended with status {status}"
    return f"{how}: {lines[-1]}" if lines else how
