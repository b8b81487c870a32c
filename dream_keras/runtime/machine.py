"""What the machine has: TPUs, and packages that do not go together. Imports no framework."""

import os
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from dream_keras.common.errors import UserError

TPU_VARIABLES = ("TPU_NAME", "COLAB_TPU_ADDR", "TPU_ACCELERATOR_TYPE")
"""Environment variables that TPU machines and runtimes set."""
TPU_DEVICES = ("/dev/accel0", "/dev/vfio/0")
"""Device files of the chips on TPU machines."""
LIBTPU = "libtpu==0.0.14"
"""For tensorflow-tpu 2.20, whose own pin lets pip choose one that finds no TPU. Untested."""
REQUIRED = (
    "keras",
    "keras-tuner",
    "tensorboard",
    "numpy",
    "pandas",
    "scipy",
    "PyYAML",
    "matplotlib",
    "tqdm",
    "pooch",
)
"""Packages that nothing works without, as in pyproject.toml."""
FRAMEWORKS = ("tensorflow", "tensorflow-cpu", "tensorflow-tpu", "jax", "jaxlib", "libtpu")
"""Packages that some backend or device needs."""
PACKAGES = (*REQUIRED, *FRAMEWORKS)
"""Packages whose versions matter to a result."""
OLDEST = {
    "python": (3, 11),
    "keras": (3, 10),
    "tensorflow": (2, 18),
    "tensorflow-tpu": (2, 18),
    "jax": (0, 4, 35),
}
"""First versions that the package runs on, as in pyproject.toml."""


def has_tpu() -> bool:
    """Whether this machine looks as if it had a TPU, or a way to one."""
    return bool(tpu_signs())


def tpu_signs() -> list[str]:
    """Return what makes this machine look as if it had a TPU, or a way to one."""
    variables = [name for name in TPU_VARIABLES if os.environ.get(name)]
    return variables + [device for device in TPU_DEVICES if Path(device).exists()]


def numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, at most three, to be compared."""
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])[:3]))


def version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_tpu_packages(backend: str) -> None:
    """Refuse a set of packages with which a backend finds no TPU.

    Raises:
        UserError: Says what to install.
    """
    trouble = tpu_package_trouble(backend, version)
    if trouble:
        raise UserError(": ".join(trouble))


def tpu_package_trouble(backend: str, find: Callable[[str], str | None]) -> tuple[str, str] | None:
    """Return what keeps a backend from a TPU and its cure, or None if nothing does.

    Args:
        backend: "jax" or "tensorflow".
        find: Returns the version of a package, or None if it is not installed.
    """
    if backend == "jax":
        if find("libtpu") is None:
            return "JAX cannot use a TPU without libtpu", "pip install 'jax[tpu]'"
        return None
    instead = "or use the JAX backend: pip install 'jax[tpu]', and KERAS_BACKEND=jax"
    if find("tensorflow-tpu") is None:
        return (
            f"TensorFlow {find('tensorflow')} has no TPU support",
            "use the JAX backend (pip install 'jax[tpu]', and KERAS_BACKEND=jax), or pip uninstall "
            f"-y tensorflow, then pip install tensorflow-tpu {LIBTPU}",
        )
    if find("tensorflow") is not None:
        return (
            "tensorflow and tensorflow-tpu are both installed and overwrite each other's files",
            "pip uninstall -y tensorflow tensorflow-tpu, then pip install tensorflow-tpu "
            f"{LIBTPU}; {instead}",
        )
    if find("libtpu") is None:
        return "TensorFlow cannot use a TPU without libtpu", f"pip install {LIBTPU}; {instead}"
    return None
