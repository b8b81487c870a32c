"""Which devices a run is computed on: one, or several that each take a part of every batch."""

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from dream_keras.common.cli import EXIT_RESUME
from dream_keras.common.errors import UserError
from dream_keras.common.text import reason
from dream_keras.runtime.cluster import ALONE, WorkerProcess, find_worker_process
from dream_keras.runtime.machine import check_tpu_packages, has_tpu

LOCAL = "local"
"""The TPU of this machine, as an address."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Strategy:
    """Devices that share each batch.

    Attributes:
        name: What it is; "auto" says what it came to.
        devices: Names of the devices, one per replica.
        scope: The context in which networks and their steps are built.
        process: Which of several workers this process is.
    """

    name: str
    devices: tuple[str, ...]
    scope: Callable[[], AbstractContextManager[object]]
    process: WorkerProcess = ALONE

    @property
    def replicas(self) -> int:
        """Copies of the network that share each batch equally."""
        return len(self.devices)

    def check_batch_size(self, batch_size: int) -> None:
        """Refuse a batch that the replicas cannot share equally.

        Raises:
            UserError: Names the two nearest batch sizes that they can.

        Examples:
            >>> devices = ("gpu:0", "gpu:1", "gpu:2")
            >>> strategy = Strategy("mirrored:3", devices, contextlib.nullcontext)
            >>> strategy.check_batch_size(99)
            >>> try:
            ...     strategy.check_batch_size(100)
            ... except UserError as error:
            ...     print(str(error).partition("; ")[2])
            the nearest that do: 99 and 102
        """
        left = batch_size % self.replicas
        if left:
            near = [size for size in (batch_size - left, batch_size - left + self.replicas) if size]
            raise UserError(
                f"trainer.batch_size={batch_size} does not divide by the {self.replicas} replicas "
                f"of runtime.strategy={self.name}; the nearest that do: "
                f"{' and '.join(map(str, near))}"
            )

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Leave with the status ``EXIT_RESUME`` when another worker has gone."""
        if self.process.workers == 1:
            yield
            return
        import tensorflow as tf

        errors = tf.errors
        try:
            yield
        except (errors.UnavailableError, errors.AbortedError, errors.CancelledError) as error:
            log.error(
                "error: worker %d of %d stopped, since another one has ended. Restart all of "
                "them with --resume: they continue from the last checkpoint",
                self.process.worker + 1,
                self.process.workers,
            )
            log.debug("%s", error)
            raise SystemExit(EXIT_RESUME) from None

    def describe(self, batch_size: int, precision: str) -> dict[str, object]:
        """Return the hardware of a run, for the log and the run folder."""
        import keras

        return {
            "strategy": self.name,
            "backend": keras.backend.backend(),
            "devices": list(self.devices),
            "replicas": self.replicas,
            "workers": self.process.workers,
            "batch": batch_size,
            "batch_per_replica": batch_size // self.replicas,
            "precision": precision,
        }


def make_strategy(name: str, tpu: str | None = None) -> Strategy:
    """Return the devices that a run asks for.

    Args:
        name: As ``runtime.strategy``. "auto" is a TPU if there is one, else several GPUs, else one
            device.
        tpu: As ``runtime.tpu``, for the TensorFlow backend: ``"local"``, a name or an address.

    Raises:
        UserError: If the machine lacks the devices, or what it takes to use them.
    """
    import keras

    return _jax(name) if keras.backend.backend() == "jax" else _tensorflow(name, tpu)


def _jax(name: str) -> Strategy:
    import jax
    import keras

    if name == "multiworker":
        raise UserError(
            "runtime.strategy=multiworker runs on TensorFlow only: KERAS_BACKEND=tensorflow"
        )
    found = jax.devices()
    if name == "tpu" and found[0].platform != "tpu":
        check_tpu_packages("jax")
        raise UserError(
            f"runtime.strategy=tpu: JAX finds no TPU here, only {found[0].platform}. Choose a "
            "runtime with a TPU, or another strategy."
        )
    if name == "auto":
        name = {"tpu": "tpu", "cpu": "none"}.get(found[0].platform) or _several(len(found))
    devices = tuple(f"{device.platform}:{device.id}" for device in found)
    devices = _first(name, devices)
    if len(devices) == 1:
        return Strategy(name, devices, contextlib.nullcontext)
    distribution = keras.distribution.DataParallel(devices=list(devices))
    return Strategy(name, devices, distribution.scope)


def _tensorflow(name: str, tpu: str | None) -> Strategy:
    import tensorflow as tf

    if name == "multiworker":
        return _tensorflow_workers()
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = "tpu" if tpu or has_tpu() else _several(len(gpus))
    if name == "tpu":
        return _tensorflow_tpu(tpu)
    count = re.search(r"\d+", name)
    if not gpus and count:
        _cut_cpu(int(count[0]))
    logical = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    devices = _first(name, [device.name for device in logical])
    if name == "none":
        return Strategy(name, devices, tf.distribute.get_strategy().scope)
    return Strategy(name, devices, tf.distribute.MirroredStrategy(devices).scope)


def _tensorflow_workers() -> Strategy:
    """Join the other workers: blocks until all of them have been started."""
    import tensorflow as tf

    process = find_worker_process("multiworker")
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(
            f"runtime.strategy=multiworker: worker {process.worker + 1}, "
            f"{process.addresses[process.worker]}, cannot join the others ({reason(error)}). Its "
            "address must be one of this machine with a free port, and TensorFlow not yet in use "
            "in this process."
        ) from error
    local = len(strategy.extended.worker_devices)
    devices = tuple(f"{address}/{n}" for address in process.addresses for n in range(local))
    return Strategy("multiworker", devices, strategy.scope, process)


def _tensorflow_tpu(address: str | None) -> Strategy:
    """Connect to a TPU and start it, as TensorFlow wants it done."""
    import tensorflow as tf

    check_tpu_packages("tensorflow")
    where = address or (LOCAL if has_tpu() else "")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=where)
        if where != LOCAL:
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        strategy = tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise UserError(
            f"runtime.strategy=tpu: no TPU could be started at {where or 'any known address'} "
            f"({reason(error)}). On a TPU VM give --tpu local, for a TPU node its name or "
            "grpc://ADDRESS. Where TensorFlow finds no TPU, the JAX backend may: "
            "KERAS_BACKEND=jax."
        ) from error
    devices = [device.name for device in tf.config.list_logical_devices("TPU")]
    return Strategy("tpu", tuple(devices), strategy.scope)


def _several(gpus: int) -> str:
    return "mirrored" if gpus > 1 else "none"


def _first(name: str, devices: Sequence[str]) -> tuple[str, ...]:
    """Return the devices that a strategy takes: one for "none", N for "mirrored:N", or all."""
    count = re.search(r"\d+", name)
    wanted = 1 if name == "none" else int(count[0]) if count else len(devices)
    if wanted > len(devices):
        raise UserError(
            f"runtime.strategy={name}: {len(devices)} devices were found here "
            f"({', '.join(devices)}). Ask for fewer."
        )
    return tuple(devices[:wanted])


def _cut_cpu(count: int) -> None:
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
