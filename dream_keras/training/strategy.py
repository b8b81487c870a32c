"""Which devices a run is computed on: one, or several that each take a part of every batch."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from dream_keras.errors import UserError


@dataclass(frozen=True)
class Strategy:
    """Devices that share each batch.

    Attributes:
        name: As ``runtime.strategy``, and what "auto" came to.
        devices: Names of the devices, one per replica.
        scope: The context in which networks and their steps are built.
    """

    name: str
    devices: tuple[str, ...]
    scope: Callable[[], AbstractContextManager[Any]]

    @property
    def replicas(self) -> int:
        """Copies of the network that share each batch equally."""
        return len(self.devices)


def make_strategy(name: str) -> Strategy:
    """Return the devices that a run asks for.

    Args:
        name: As ``runtime.strategy``.

    Raises:
        UserError: If the machine lacks the devices.
    """
    import keras

    return (_jax if keras.backend.backend() == "jax" else _tensorflow)(name)


def _tensorflow(name: str) -> Strategy:
    import tensorflow as tf

    if name == "none":
        strategy = tf.distribute.get_strategy()
        devices = tf.config.list_logical_devices("GPU")[:1] or tf.config.list_logical_devices("CPU")
        return Strategy(name, (devices[0].name,), strategy.scope)
    if name == "mirrored":
        strategy = tf.distribute.MirroredStrategy()
        return Strategy(name, strategy.extended.worker_devices, strategy.scope)
    count = int(name.partition(":")[2])
    gpus = tf.config.list_logical_devices("GPU") if tf.config.list_physical_devices("GPU") else []
    devices = tuple(device.name for device in gpus or _logical_cpus(count))
    _check_count(name, len(devices), count)
    strategy = tf.distribute.MirroredStrategy(devices[:count])
    return Strategy(name, devices[:count], strategy.scope)


def _jax(name: str) -> Strategy:
    import jax
    import keras

    devices = tuple(f"{device.platform}:{device.id}" for device in jax.devices())
    if name == "none":
        return Strategy(name, devices[:1], contextlib.nullcontext)
    count = int(name.partition(":")[2] or len(devices))
    _check_count(name, len(devices), count)
    distribution = keras.distribution.DataParallel(devices=list(devices[:count]))
    return Strategy(name, devices[:count], distribution.scope)


def _check_count(name: str, found: int, wanted: int) -> None:
    if found < wanted:
        raise UserError(
            f"runtime.strategy={name}: this machine has {found} devices. Ask for fewer."
        )


def check_batch_size(batch_size: int, replicas: int) -> None:
    """Refuse a batch that the replicas cannot share equally.

    Raises:
        UserError: Names the two nearest batch sizes that they can.
    """
    left = batch_size % replicas
    if left:
        near = [size for size in (batch_size - left, batch_size - left + replicas) if size]
        raise UserError(
            f"trainer.batch_size={batch_size} does not divide by the {replicas} replicas of "
            f"runtime.strategy; the nearest that do: {' and '.join(map(str, near))}"
        )


def _logical_cpus(count: int) -> list[Any]:
    """Cut the CPU into ``count`` devices, which can be done once in a process."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    configuration = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        if len(tf.config.get_logical_device_configuration(cpu) or ()) < count:
            tf.config.set_logical_device_configuration(cpu, configuration)
    except RuntimeError:
        raise UserError(
            f"runtime.strategy=mirrored:{count}: the CPU can be cut into {count} devices only "
            "before TensorFlow is used: start a new process"
        ) from None
    return tf.config.list_logical_devices("CPU")
