"""Checks of what is found on a machine: one small function each."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dream_keras.common.cli import KERAS_DEFAULTS, backend_trouble
from dream_keras.doctor.system import OVERRULED, SystemInfo
from dream_keras.runtime.machine import KERNELS, NAME, fits, tpu_package_trouble

GB = 1e9
LITTLE_DISK = 1 * GB
"""Bytes; the challenge's training table alone, 6.7 million rows of 110 bases and a label, has 0.8
GB."""
LITTLE_MEMORY = 2 * GB
"""Bytes; reading the challenge's training table takes up to 2.7 GiB, a slim model on little data
fits."""

GPUS = ("gpu", "cuda", "rocm")
"""What backends call the kind of a GPU."""

RELEASE = "end other processes that hold the TPU (a notebook's kernel does until it is restarted)"

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """What a check says.

    Attributes:
        level: "ok"; "warning" for what works but not as well as it could; "problem" for what stops
            training.
        found: What was found.
        cure: What to do; empty if it is ok.
        subject: What was looked at.
    """

    level: Level
    found: str
    cure: str = ""
    subject: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<8} {self.subject:<14}{self.found}"
        return f"{line}\n{'':<22} -> {self.cure}" if self.cure else line


def check_python(system: SystemInfo) -> Finding:
    """Python must be new enough."""
    needed = _needed(system, "").get("python")
    if needed and not fits(system.python, needed):
        return Finding("problem", f"Python {system.python}", f"install Python {needed}")
    return Finding("ok", system.python)


def check_packages(system: SystemInfo) -> Finding:
    """This package must be installed, and every package that it needs."""
    needed = _needed(system, "")
    if not needed:
        return Finding(
            "problem",
            f"{NAME} is not installed, or not with what it needs",
            "in its folder: pip install '.[tensorflow]', or pip install '.[jax]'",
        )
    missing = [name for name in needed if name not in system.versions and name != "python"]
    if missing:
        return Finding(
            "problem", f"not installed: {', '.join(missing)}", _pip_install(missing, needed)
        )
    return Finding("ok", ", ".join(f"{name} {found}" for name, found in system.versions.items()))


def check_versions(system: SystemInfo) -> Finding | None:
    """The packages, the backend's among them, must be of versions that this one runs on."""
    needed = _needed(system, "")
    if system.backend == "jax":
        needed |= _needed(system, "jax")
    elif system.backend == "tensorflow":
        needed |= _needed(system, "tensorflow") | _needed(system, "tpu")
    needed.pop("libtpu", None)  # has a check of its own
    wrong = {
        name: found
        for name, found in system.versions.items()
        if name in needed and not fits(found, needed[name])
    }
    if not wrong:
        return None
    found = ", ".join(f"{name} {found}" for name, found in wrong.items())
    return Finding("problem", found, _pip_install(wrong, needed))


def check_backend(system: SystemInfo) -> Finding:
    """A backend must be installed, and KERAS_BACKEND must name one of them."""
    trouble = backend_trouble(system.installed, system.environment.get("KERAS_BACKEND"))
    if trouble:
        return Finding("problem", *trouble)
    if "KERAS_BACKEND" in system.environment:
        return Finding("ok", f"{system.backend}, set by KERAS_BACKEND")
    others = [name for name in system.installed if name != system.backend]
    choice = f"KERAS_BACKEND={others[0]} chooses the other" if others else "the only one installed"
    return Finding("ok", f"{system.backend}; {choice}")


def check_keras_file(system: SystemInfo) -> Finding | None:
    """Settings in keras.json that differ from Keras's own are named: runs do not follow them."""
    expected = {**KERAS_DEFAULTS, "backend": system.backend, "nnx_enabled": False}
    others = [
        f"{key} {system.keras_settings[key]!r}"
        for key, value in expected.items()
        if key in system.keras_settings and system.keras_settings[key] != value
    ]
    if not others:
        return None
    return Finding(
        "warning",
        f"{system.keras_file} sets {', '.join(others)}",
        "runs do not follow it, other Keras programs do; KERAS_BACKEND chooses the backend",
    )


def check_variables(system: SystemInfo) -> Finding | None:
    """Environment variables that change how numbers are computed are named."""
    overruled = [name for name in OVERRULED if name in system.environment]
    kernels = [f"{n}={system.environment[n]}" for n in KERNELS if n in system.environment]
    found, cure = [], []
    if kernels:
        found.append(", ".join(kernels))
        cure.append("unset these to get the same digits as elsewhere")
    if overruled:
        found.append(f"{', '.join(overruled)}: not followed by runs")
        cure.append("what a run depends on stands in its config")
    return Finding("warning", "; ".join(found), "; ".join(cure)) if found else None


def check_tensorflow_twice(system: SystemInfo) -> Finding | None:
    """Plain tensorflow and tensorflow-tpu overwrite each other's files."""
    trouble = tpu_package_trouble("tensorflow", system.versions.get, system.requirements)
    if trouble is None or not _has_tensorflow_twice(system):
        return None
    return Finding("problem" if system.backend == "tensorflow" else "warning", *trouble)


def check_tpu_packages(system: SystemInfo) -> Finding | None:
    """With a TPU, or with packages meant for one, the backend's packages must be able to use it."""
    if not system.tpu_signs and not (
        system.backend == "tensorflow" and _has_tensorflow_tpu(system)
    ):
        return None
    trouble = system.backend and tpu_package_trouble(
        system.backend, system.versions.get, system.requirements
    )
    if not trouble or (system.backend == "tensorflow" and _has_tensorflow_twice(system)):
        return None
    return Finding("problem" if system.tpu_signs else "warning", *trouble)


def check_libtpu(system: SystemInfo) -> Finding | None:
    """The libtpu that pip chooses for tensorflow-tpu may be too new to find the TPU.

    Those for tensorflow-tpu before 2.19 carry its own number, which is no later one.
    """
    libtpu, pin = system.versions.get("libtpu"), _needed(system, "tpu").get("libtpu")
    if (
        libtpu is None
        or pin is None
        or not _has_tensorflow_tpu(system)
        or system.backend != "tensorflow"
    ):
        return None
    if not fits(libtpu, f"{pin.replace('==', '>')},<1") or _finds_tpu(system):
        return None
    return Finding(
        "warning",
        f"libtpu {libtpu} may be too new for tensorflow-tpu {system.versions['tensorflow-tpu']}",
        f"if no TPU is found: pip install libtpu{pin}, or use the JAX backend: pip install "
        "'jax[tpu]', and KERAS_BACKEND=jax",
    )


def check_tpu(system: SystemInfo) -> Finding | None:
    """A TPU that the machine seems to have must be among the backend's devices."""
    if _finds_tpu(system):
        return Finding("ok", f"found by {system.backend}")
    if not system.tpu_signs:
        return Finding("ok", "none on this machine")
    if system.backend is None or system.devices is None or check_tpu_packages(system):
        return None
    signs = ", ".join(system.tpu_signs)
    platforms = system.environment.get("JAX_PLATFORMS", "")
    if system.backend == "jax" and platforms and "tpu" not in platforms:
        cure = f"JAX_PLATFORMS={platforms} hides it: unset the variable"
    else:
        cure = RELEASE
        if system.backend != "jax":
            cure += ", or use the JAX backend: pip install 'jax[tpu]', and KERAS_BACKEND=jax"
    return Finding("problem", f"there seems to be one ({signs}), {system.backend} finds none", cure)


def check_gpu(system: SystemInfo) -> Finding | None:
    """An NVIDIA GPU must be among the backend's devices."""
    count = sum(kind in GPUS for kind in system.devices or ())
    if count:
        return Finding("ok", f"{count} found by {system.backend}")
    if not system.gpu:
        return Finding("ok", "none on this machine")
    if system.backend is None or system.devices is None:
        return None
    visible = system.environment.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1"):
        cure = f'CUDA_VISIBLE_DEVICES="{visible}" hides it: unset the variable'
    else:
        extra = {"tensorflow": "tensorflow[and-cuda]", "jax": "jax[cuda12]"}[system.backend]
        cure = f"pip install '{extra}'; nvidia-smi shows whether the driver works"
    return Finding("warning", f"there is one, {system.backend} finds none", cure)


def check_devices(system: SystemInfo) -> Finding | None:
    """The backend must start."""
    report = system.reports.get("devices")
    if system.backend is None:
        return None
    if report is None:
        mend = "mend the problems above, or reinstall the backend"
        return _failed(system, "devices", RELEASE if system.tpu_signs else mend)
    names = ", ".join(report["names"])
    return Finding("ok", f"{names}; started in {report['seconds']:.1f} s")


def check_strategy(system: SystemInfo) -> Finding | None:
    """Automatic choice of devices must come to something."""
    report = system.reports.get("strategy")
    if report is None:
        one_device = "mend the problems above, or train on one device: --strategy none"
        return _failed(system, "strategy", one_device)
    count = len(report["devices"])
    devices = "1 device" if count == 1 else f"{count} devices"
    return Finding("ok", f"auto chooses {report['name']}: {devices}")


def check_step(system: SystemInfo) -> Finding | None:
    """A training step must give a finite loss."""
    report = system.reports.get("step")
    if report is None:
        return _failed(system, "step", "mend the problems above, or try the other backend")
    first, second = report["seconds"]
    times = f"{report['rows']} rows in {second * 1e3:.0f} ms, compiled in {first:.1f} s"
    if not all(map(math.isfinite, report["losses"])):
        return Finding(
            "problem",
            f"the loss is {report['losses'][-1]}",
            "the packages compute wrong numbers on this device: update them, or try the other "
            "backend",
        )
    return Finding("ok", f"loss {report['losses'][-1]:.2f}, {times}")


def check_disk(system: SystemInfo) -> Finding:
    """Runs are written to disk."""
    return _room(
        system.disk, LITTLE_DISK, "free in this folder", "free some, or train elsewhere: --out"
    )


def check_memory(system: SystemInfo) -> Finding:
    """Networks and rows are held in memory."""
    cure = "close other programs, or train smaller batches: --set trainer.batch_size=32"
    return _room(system.memory, LITTLE_MEMORY, "free", cure)


CHECKS: dict[str, Callable[[SystemInfo], Finding | None]] = {
    "python": check_python,
    "packages": check_packages,
    "versions": check_versions,
    "backend": check_backend,
    "keras.json": check_keras_file,
    "variables": check_variables,
    "tensorflow": check_tensorflow_twice,
    "TPU packages": check_tpu_packages,
    "libtpu": check_libtpu,
    "disk": check_disk,
    "memory": check_memory,
    "devices": check_devices,
    "TPU": check_tpu,
    "GPU": check_gpu,
    "strategy": check_strategy,
    "training step": check_step,
}
"""By what they look at, in the order in which they are shown. None has nothing to say."""


def _failed(system: SystemInfo, stage: str, cure: str) -> Finding | None:
    """Report the stage that failed; those behind it were not reached."""
    if system.failed_stage != stage:
        return None
    return Finding("problem", system.failure or "no report", cure)


def _room(free: int | None, little: float, where: str, cure: str) -> Finding:
    if free is None:
        return Finding("ok", "not known on this system")
    found = f"{free / GB:.1f} GB {where}"
    return Finding("warning", found, cure) if free < little else Finding("ok", found)


def _needed(system: SystemInfo, extra: str) -> dict[str, str]:
    return dict(system.requirements.get(extra, {}))


def _pip_install(names: Iterable[str], needed: Mapping[str, str]) -> str:
    return " ".join(["pip install -U", *(f"'{name}{needed[name]}'" for name in names)])


def _has_tensorflow_tpu(system: SystemInfo) -> bool:
    return "tensorflow-tpu" in system.versions


def _has_tensorflow_twice(system: SystemInfo) -> bool:
    return _has_tensorflow_tpu(system) and "tensorflow" in system.versions


def _finds_tpu(system: SystemInfo) -> bool:
    chosen = system.reports.get("strategy", {}).get("name")
    return "tpu" in (system.devices or []) or chosen == "tpu"
