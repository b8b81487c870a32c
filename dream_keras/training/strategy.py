"""Which devices a run is computed on: one, or several that each take a part of every batch."""

from typing import Any

from dream_keras.errors import UserError


def make_strategy(name: str) -> Any:
    """Return the TensorFlow distribution strategy that a run asks for.

    Args:
        name: As ``runtime.strategy``: ``"none"``, ``"mirrored"`` or ``"mirrored:N"``.

    Raises:
        UserError: If the machine lacks the devices.
    """
    import tensorflow as tf

    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    count = int(name.partition(":")[2])
    gpus = tf.config.list_logical_devices("GPU") if tf.config.list_physical_devices("GPU") else []
    devices = gpus or _logical_cpus(count)
    if len(devices) < count:
        raise UserError(
            f"runtime.strategy={name}: this machine has {len(devices)} GPUs. Ask for fewer."
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices[:count]])


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
