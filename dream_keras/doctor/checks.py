"""What each fact about a machine means: one small function per check."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dream_keras.common.cli import backend_trouble
from dream_keras.doctor.facts import Facts
from dream_keras.runtime.machine import (
    LIBTPU,
    OLDEST,
    REQUIRED,
    numbers,
    tpu_package_trouble,
)

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


def check_python(facts: Facts) -> Finding:
    """Python must be new enough."""
    if numbers(facts.python) < OLDEST["python"]:
        cure = f"install Python {_oldest('python')} or newer"
        return Finding("problem", f"Python {facts.python}", cure)
    return Finding("ok", facts.python)


def check_packages(facts: Facts) -> Finding:
    """Every package that the code imports must be there."""
    missing = [name for name in REQUIRED if name not in facts.versions]
    if missing:
        return Finding(
            "problem", f"not installed: {', '.join(missing)}", f"pip install {' '.join(missing)}"
        )
    return Finding("ok", ", ".join(f"{name} {found}" for name, found in facts.versions.items()))


def check_keras(facts: Facts) -> Finding | None:
    """Keras must be 3, and new enough."""
    found = facts.versions.get("keras")
    if found is None:
        return None
    if not OLDEST["keras"] <= numbers(found) < (4,):
        return Finding(
            "problem", f"Keras {found}", f"pip install -U 'keras>={_oldest('keras')},<4'"
        )
    return None


def check_backend(facts: Facts) -> Finding:
    """A backend must be installed, and KERAS_BACKEND must name one of them."""
    trouble = backend_trouble(facts.installed, facts.environment.get("KERAS_BACKEND"))
    if trouble:
        return Finding("problem", *trouble)
    if "KERAS_BACKEND" in facts.environment:
        return Finding("ok", f"{facts.backend}, set by KERAS_BACKEND")
    others = [name for name in facts.installed if name != facts.backend]
    choice = f"KERAS_BACKEND={others[0]} chooses the other" if others else "the only one installed"
    return Finding("ok", f"{facts.backend}; {choice}")


def check_backend_version(facts: Facts) -> Finding | None:
    """The backend must be new enough."""
    if facts.backend is None:
        return None
    for name in (facts.backend, f"{facts.backend}-tpu"):
        found = facts.versions.get(name)
        if found is not None and numbers(found) < OLDEST[name]:
            return Finding(
                "problem", f"{name} {found}", f"pip install -U '{name}>={_oldest(name)}'"
            )
    return None


def check_tensorflow_twice(facts: Facts) -> Finding | None:
    """Plain tensorflow and tensorflow-tpu overwrite each other's files."""
    trouble = tpu_package_trouble("tensorflow", facts.versions.get)
    if trouble is None or not _has_tensorflow_twice(facts):
        return None
    return Finding("problem" if facts.backend == "tensorflow" else "warning", *trouble)


def check_tpu_packages(facts: Facts) -> Finding | None:
    """With a TPU, or with packages meant for one, the backend's packages must be able to use it."""
    if not facts.tpu_signs and not (facts.backend == "tensorflow" and _has_tensorflow_tpu(facts)):
        return None
    trouble = facts.backend and tpu_package_trouble(facts.backend, facts.versions.get)
    if not trouble or (facts.backend == "tensorflow" and _has_tensorflow_twice(facts)):
        return None
    return Finding("problem" if facts.tpu_signs else "warning", *trouble)


def check_libtpu(facts: Facts) -> Finding | None:
    """The libtpu that pip chooses for tensorflow-tpu may be too new to find the TPU.

    Those for tensorflow-tpu before 2.19 carry its own number, which is no later one.
    """
    libtpu = facts.versions.get("libtpu")
    if libtpu is None or not _has_tensorflow_tpu(facts) or facts.backend != "tensorflow":
        return None
    if not numbers(LIBTPU) < numbers(libtpu) < (1,) or _finds_tpu(facts):
        return None
    return Finding(
        "warning",
        f"libtpu {libtpu} may be too new for tensorflow-tpu {facts.versions['tensorflow-tpu']}",
        f"if no TPU is found: pip install {LIBTPU}, or use the JAX backend: pip install "
        "'jax[tpu]', and KERAS_BACKEND=jax",
    )


def check_tpu(facts: Facts) -> Finding | None:
    """A TPU that the machine seems to have must be among the backend's devices."""
    if _finds_tpu(facts):
        return Finding("ok", f"found by {facts.backend}")
    if not facts.tpu_signs:
        return Finding("ok", "none on this machine")
    if facts.backend is None or facts.devices is None or check_tpu_packages(facts):
        return None
    signs = ", ".join(facts.tpu_signs)
    platforms = facts.environment.get("JAX_PLATFORMS", "")
    if facts.backend == "jax" and platforms and "tpu" not in platforms:
        cure = f"JAX_PLATFORMS={platforms} hides it: unset the variable"
    else:
        cure = RELEASE
        if facts.backend != "jax":
            cure += ", or use the JAX backend: pip install 'jax[tpu]', and KERAS_BACKEND=jax"
    return Finding("problem", f"there seems to be one ({signs}), {facts.backend} finds none", cure)


def check_gpu(facts: Facts) -> Finding | None:
    """An NVIDIA GPU must be among the backend's devices."""
    count = sum(kind in GPUS for kind in facts.devices or ())
    if count:
        return Finding("ok", f"{count} found by {facts.backend}")
    if not facts.gpu:
        return Finding("ok", "none on this machine")
    if facts.backend is None or facts.devices is None:
        return None
    visible = facts.environment.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1"):
        cure = f'CUDA_VISIBLE_DEVICES="{visible}" hides it: unset the variable'
    else:
        extra = {"tensorflow": "tensorflow[and-cuda]", "jax": "jax[cuda12]"}[facts.backend]
        cure = f"pip install '{extra}'; nvidia-smi shows whether the driver works"
    return Finding("warning", f"there is one, {facts.backend} finds none", cure)


def check_devices(facts: Facts) -> Finding | None:
    """The backend must start."""
    report = facts.reports.get("devices")
    if facts.backend is None:
        return None
    if report is None:
        mend = "mend the problems above, or reinstall the backend"
        return _failed(facts, "devices", RELEASE if facts.tpu_signs else mend)
    names = ", ".join(report["names"])
    return Finding("ok", f"{names}; started in {report['seconds']:.1f} s")


def check_strategy(facts: Facts) -> Finding | None:
    """Automatic choice of devices must come to something."""
    report = facts.reports.get("strategy")
    if report is None:
        one_device = "mend the problems above, or train on one device: --strategy none"
        return _failed(facts, "strategy", one_device)
    count = len(report["devices"])
    devices = "1 device" if count == 1 else f"{count} devices"
    return Finding("ok", f"auto chooses {report['name']}: {devices}")


def check_step(facts: Facts) -> Finding | None:
    """A training step must give a finite loss."""
    report = facts.reports.get("step")
    if report is None:
        return _failed(facts, "step", "mend the problems above, or try the other backend")
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


def check_disk(facts: Facts) -> Finding:
    """Runs are written to disk."""
    return _room(
        facts.disk, LITTLE_DISK, "free in this folder", "free some, or train elsewhere: --out"
    )


def check_memory(facts: Facts) -> Finding:
    """Networks and rows are held in memory."""
    cure = "close other programs, or train smaller batches: --set trainer.batch_size=32"
    return _room(facts.memory, LITTLE_MEMORY, "free", cure)


CHECKS: dict[str, Callable[[Facts], Finding | None]] = {
    "python": check_python,
    "packages": check_packages,
    "keras": check_keras,
    "backend": check_backend,
    "version": check_backend_version,
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


def _failed(facts: Facts, stage: str, cure: str) -> Finding | None:
    """Report the stage that failed; those behind it were not reached."""
    if facts.failed_stage != stage:
        return None
    return Finding("problem", facts.failure or "no report", cure)


def _room(free: int | None, little: float, where: str, cure: str) -> Finding:
    if free is None:
        return Finding("ok", "not known on this system")
    found = f"{free / GB:.1f} GB {where}"
    return Finding("warning", found, cure) if free < little else Finding("ok", found)


def _oldest(name: str) -> str:
    return ".".join(map(str, OLDEST[name]))


def _has_tensorflow_tpu(facts: Facts) -> bool:
    return "tensorflow-tpu" in facts.versions


def _has_tensorflow_twice(facts: Facts) -> bool:
    return _has_tensorflow_tpu(facts) and "tensorflow" in facts.versions


def _finds_tpu(facts: Facts) -> bool:
    chosen = facts.reports.get("strategy", {}).get("name")
    return "tpu" in (facts.devices or []) or chosen == "tpu"
