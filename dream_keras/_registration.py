"""Saved networks load with Keras's own ``load_model`` after ``import dream_keras`` alone.

Keras finds the classes of a file only when their modules have been imported, and these import
Keras, which takes seconds. So they are imported right after Keras is, whoever imports it.
"""

import contextlib
import importlib
import importlib.abc
import importlib.util
import sys
from typing import Any

MODULES = (
    "dream_keras.menu.autosome",
    "dream_keras.menu.unlockdna",
    "dream_keras.menu.vaishnav",
    "dream_keras.model.network",
    "dream_keras.nn.layers",
    "dream_keras.nn.losses",
    "dream_keras.nn.optimizers",
    "dream_keras.nn.schedules",
)
"""Modules with objects that are registered with Keras."""


def register_with_keras() -> None:
    """Import ``MODULES`` now if Keras is there, or else when it is imported."""
    if "keras" in sys.modules:
        _import_modules()
    else:
        sys.meta_path.insert(0, _AfterKeras())


def _import_modules() -> None:
    with contextlib.suppress(ImportError):  # of a backend that Keras could not import
        for name in MODULES:
            importlib.import_module(name)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Finds Keras once, as the other finders do, and has ``MODULES`` imported after it."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("keras")
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: Any) -> None:
                load(module)
                _import_modules()

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec
