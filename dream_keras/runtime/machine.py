"""TPUs of this machine, and the packages on it. Imports no framework."""

import os
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from dream_keras.common.errors import UserError

TPU_VARIABLES = ("TPU_NAME", "COLAB_TPU_ADDR", "TPU_ACCELERATOR_TYPE")
"""Environment variables that TPU machines and runtimes set."""
TPU_DEVICES = ("/dev/accel0", "/dev/vfio/0")
"""Device files of the chips on TPU machines."""
NAME = "dream-keras"
"""Of this package, as pip knows it."""
FRAMEWORKS = ("keras", "tensorflow", "tensorflow-cpu", "tensorflow-tpu", "jax", "jaxlib", "libtpu")
"""Packages that compute, or that some device needs for it."""
KERNELS = (
    "XLA_FLAGS",
    "TF_XLA_FLAGS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_ENABLE_AUTO_MIXED_PRECISION",
    "TF_DETERMINISTIC_OPS",
    "NVIDIA_TF32_OVERRIDE",
)
"""Environment variables that choose kernels: results are rounded otherwise than without them."""


def has_tpu() -> bool:
    """Whether this machine looks as if it had a TPU, or a way to one."""
    return bool(tpu_signs())


def tpu_signs() -> list[str]:
    """Return what makes this machine look as if it had a TPU, or a way to one."""
    variables = [name for name in TPU_VARIABLES if os.environ.get(name)]
    return variables + [device for device in TPU_DEVICES if Path(device).exists()]


def version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def requirements() -> dict[str, dict[str, str]]:
    """Return what this package needs: by extra, "" for none, the versions of each package.

    They stand in pyproject.toml, like ``"<4,>=3.10"``, and are read from what pip has written down
    when it installed the package; the Python is among them as "python". Empty where that, or the
    package that can read it, is missing.
    """
    try:
        own = metadata.metadata(NAME)
        from packaging.requirements import Requirement
    except ImportError:
        return {}
    extras = ["", *(own.get_all("Provides-Extra") or [])]
    found: dict[str, dict[str, str]] = {extra: {} for extra in extras}
    found[""]["python"] = own["Requires-Python"]
    for needed in map(Requirement, metadata.requires(NAME) or []):
        for extra in extras:
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                found[extra][needed.name] = str(needed.specifier)
                break
    return found


def fits(found: str, needed: str) -> bool:
    """Whether a version is one of those needed; development versions count as versions."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return SpecifierSet(needed).contains(Version(found), prereleases=True)
    except InvalidVersion:
        return True  # nothing can be said of it


def packages() -> list[str]:
    """Return the packages whose versions matter to a result."""
    needed = requirements().get("", {})
    return [name for name in dict.fromkeys([*needed, *FRAMEWORKS]) if name != "python"]


def check_tpu_packages(backend: str) -> None:
    """Refuse a set of packages with which a backend finds no TPU.

    Raises:
        UserError: Says what to install.
    """
    trouble = tpu_package_trouble(backend, version, requirements())
    if trouble:
        raise UserError(": ".join(trouble))


def tpu_package_trouble(
    backend: str, find: Callable[[str], str | None], needed: Mapping[str, Mapping[str, str]]
) -> tuple[str, str] | None:
    """Return what keeps a backend from a TPU and its cure, or None if nothing does.

    Args:
        backend: "jax" or "tensorflow".
        find: Returns the version of a package, or None if it is not installed.
        needed: What ``requirements`` returns.
    """
    if backend == "jax":
        if find("libtpu") is None:
            return "JAX cannot use a TPU without libtpu", "pip install 'jax[tpu]'"
        return None
    libtpu = "libtpu" + needed.get("tpu", {}).get("libtpu", "")
    instead = "or use the JAX backend: pip install 'jax[tpu]', and KERAS_BACKEND=jax"
    if find("tensorflow-tpu") is None:
        return (
            f"TensorFlow {find('tensorflow')} has no TPU support",
            "use the JAX backend (pip install 'jax[tpu]', and KERAS_BACKEND=jax), or pip uninstall "
            f"-y tensorflow, then pip install tensorflow-tpu {libtpu}",
        )
    if find("tensorflow") is not None:
        return (
            "tensorflow and tensorflow-tpu are both installed and overwrite each other's files",
            "pip uninstall -y tensorflow tensorflow-tpu, then pip install tensorflow-tpu "
            f"{libtpu}; {instead}",
        )
    if find("libtpu") is None:
        return "TensorFlow cannot use a TPU without libtpu", f"pip install {libtpu}; {instead}"
    return None
