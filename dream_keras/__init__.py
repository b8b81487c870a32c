"""dream_keras: the models of the Random Promoter DREAM Challenge as Keras 3 building blocks.

The commands (``python -m dream_keras.train``) are functions here too: ``simulate``, ``fetch``,
``regions``, ``prepare``, ``train``, ``ensemble``, ``evaluate``, ``predict``, ``variants``,
``attribute``, ``marginalise``, ``design``, ``analyse``, ``leaderboard``, ``search``, ``serve``,
``convert``, ``export``, ``preflight`` and ``doctor``; ``help(dream_keras.train)`` explains one of
them. ``load_run``, or ``from_preset``, opens what ``train`` has left, published weights by name,
and models on the Hugging Face hub.

Everything public is imported on first use, so importing the package is quick and loads neither
Keras nor TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dream_keras._registration import register_with_keras
from dream_keras._version import __version__

if TYPE_CHECKING:
    from dream_keras.config.experiment import Experiment, load_experiment
    from dream_keras.config.order import Order
    from dream_keras.menu.plugins import load_plugins
    from dream_keras.model.build import build_network, expression, load_model
    from dream_keras.model.torch_weights import load_torch_weights
    from dream_keras.runs.push import push
    from dream_keras.runs.run import from_preset, load_run

_HOME = {
    "build_network": "dream_keras.model.build",
    "expression": "dream_keras.model.build",
    "Experiment": "dream_keras.config.experiment",
    "Order": "dream_keras.config.order",
    "load_experiment": "dream_keras.config.experiment",
    "load_model": "dream_keras.model.build",
    "load_plugins": "dream_keras.menu.plugins",
    "load_torch_weights": "dream_keras.model.torch_weights",
    "load_run": "dream_keras.runs.run",
    "from_preset": "dream_keras.runs.run",
    "push": "dream_keras.runs.push",
    "predict_interval": "dream_keras.predict",
    "cross_validate": "dream_keras.train",
    "train_ensemble": "dream_keras.train",
    "score_attributions": "dream_keras.attribute",
    "score_variants": "dream_keras.evaluate",
}
COMMANDS = (
    "doctor",
    "menu",
    "simulate",
    "fetch",
    "regions",
    "prepare",
    "train",
    "ensemble",
    "evaluate",
    "predict",
    "variants",
    "attribute",
    "marginalise",
    "design",
    "analyse",
    "leaderboard",
    "search",
    "serve",
    "convert",
    "export",
    "preflight",
)
"""All commands, in the order in which ``python -m dream_keras`` lists them."""

__all__ = [
    "Experiment",
    "Order",
    "__version__",
    "analyse",
    "attribute",
    "build_network",
    "convert",
    "cross_validate",
    "design",
    "doctor",
    "ensemble",
    "evaluate",
    "export",
    "expression",
    "fetch",
    "from_preset",
    "leaderboard",
    "load_experiment",
    "load_model",
    "load_plugins",
    "load_run",
    "load_torch_weights",
    "marginalise",
    "menu",
    "predict",
    "predict_interval",
    "preflight",
    "prepare",
    "push",
    "regions",
    "score_attributions",
    "score_variants",
    "search",
    "serve",
    "simulate",
    "train",
    "train_ensemble",
    "variants",
]


def __getattr__(name: str) -> Any:
    if name in COMMANDS or name in ("nn", "model", "testing"):
        return importlib.import_module(f"dream_keras.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'dream_keras' has no attribute {name!r}")


# In quotes, so that the doctor can tell a Python before 3.9 that it is too old.
def __dir__() -> "list[str]":
    return __all__


register_with_keras()
