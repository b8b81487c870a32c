"""Start the backend, choose devices and train one step, in a process that may crash.

Run as ``python -m dream_keras.doctor.probe``; prints a JSON object per stage.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from dream_keras.common.cli import load_backend
from dream_keras.common.errors import UserError
from dream_keras.common.text import reason
from dream_keras.doctor.system import STAGES


def main() -> None:
    """Print the report of each stage, up to the first that fails."""
    for stage, look in zip(STAGES, (devices, strategy, step), strict=True):
        try:
            report = look()
        except Exception as error:
            said = reason(error)
            if not isinstance(error, UserError):
                said = f"{type(error).__name__}: {said}"
            print(json.dumps({"stage": stage, "error": said}), flush=True)
            return
        print(json.dumps({"stage": stage, **report}), flush=True)


def devices() -> dict[str, Any]:
    """Import the backend; return its devices and the seconds it took."""
    began = time.perf_counter()
    load_backend()
    import keras

    find: Callable[[], list[tuple[str, str]]]
    find = _jax_devices if keras.backend.backend() == "jax" else _tensorflow_devices
    found = find()
    return {
        "kinds": [kind for kind, _ in found],
        "names": [name for _, name in found],
        "seconds": time.perf_counter() - began,
    }


def _jax_devices() -> list[tuple[str, str]]:
    import jax

    return [(device.platform, device.device_kind) for device in jax.devices()]


def _tensorflow_devices() -> list[tuple[str, str]]:
    """Return the physical devices: asking for logical ones would fix how they are cut.

    A TPU shows up only when it is started, by the strategy.
    """
    import tensorflow as tf

    found = tf.config.list_physical_devices()
    return [(d.device_type.lower(), d.name.removeprefix("/physical_device:")) for d in found]


def strategy() -> dict[str, Any]:
    """Return what runtime.strategy=auto comes to."""
    from dream_keras.runtime.strategy import make_strategy

    chosen = make_strategy("auto")
    return {"name": chosen.name, "devices": list(chosen.devices)}


def step() -> dict[str, Any]:
    """Train two steps of the quick-start order in miniature on random rows.

    Returns:
        The losses, the rows of a batch, and the seconds of each step; the first holds the
        compilation.
    """
    import numpy as np

    from dream_keras.config.experiment import DEFAULT_CONFIG, load_experiment
    from dream_keras.config.smoke import shrink
    from dream_keras.data.alphabet import N
    from dream_keras.data.stream import Batch
    from dream_keras.model.build import build_network
    from dream_keras.runtime.steps import Steps
    from dream_keras.runtime.strategy import make_strategy

    experiment = shrink(load_experiment(DEFAULT_CONFIG))
    processor, trainer = experiment.make_processor(), experiment.make_trainer()
    with make_strategy("auto").scope():
        network = build_network(experiment.model, processor.length, processor.channels)
        steps = Steps(network, processor, trainer.optimizer(2))
    rows = trainer.batch_size * steps.replicas
    random = np.random.default_rng(0)
    batch = Batch(
        random.integers(0, N, (rows, processor.length), np.uint8),
        random.integers(0, 2, rows, np.uint8),
        np.zeros(rows, np.uint8),
        random.uniform(0, 17, (rows, 1)).astype(np.float32),
        np.ones(rows, np.float32),
    )
    losses, seconds = [], []
    for _ in range(2):
        began = time.perf_counter()
        losses.append(float(steps.train([batch])[0, 0]))
        seconds.append(time.perf_counter() - began)
    return {"losses": losses, "rows": rows, "seconds": seconds}


if __name__ == "__main__":
    main()
