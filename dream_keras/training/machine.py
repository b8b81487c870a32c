"""What the machine has: TPUs, and packages that do not go together. Imports no framework."""

import os
from importlib import metadata
from pathlib import Path

from dream_keras.errors import UserError

TPU_VARIABLES = ("TPU_NAME", "COLAB_TPU_ADDR", "TPU_ACCELERATOR_TYPE")
"""Environment variables that TPU machines and runtimes set."""
TPU_DEVICES = ("/dev/accel0", "/dev/vfio/0")
"""Device files of the chips on TPU machines."""
LIBTPU = "libtpu==0.0.14"
"""For tensorflow-tpu 2.20, whose own pin lets pip choose one that finds no TPU. Untested."""


def has_tpu() -> bool:
    """Whether this machine looks as if it had a TPU, or a way to one."""
    return any(os.environ.get(name) for name in TPU_VARIABLES) or any(
        Path(device).exists() for device in TPU_DEVICES
    )


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
    if backend == "jax":
        if version("libtpu") is None:
            raise UserError("JAX cannot use a TPU without libtpu: pip install 'jax[tpu]'")
        return
    instead = "or use the JAX backend: KERAS_BACKEND=jax"
    if version("tensorflow-tpu") is None:
        raise UserError(
            f"TensorFlow {version('tensorflow')} has no TPU support: pip uninstall -y tensorflow, "
            f"then pip install tensorflow-tpu {LIBTPU}; {instead}"
        )
    if version("tensorflow") is not None:
        raise UserError(
            "tensorflow and tensorflow-tpu are both installed and overwrite each other's files: "
            "pip uninstall -y tensorflow tensorflow-tpu, then pip install tensorflow-tpu "
            f"{LIBTPU}; {instead}"
        )
    if version("libtpu") is None:
        raise UserError(f"TensorFlow cannot use a TPU without libtpu: pip install {LIBTPU}")
