"""Compile a training step for a TPU without having one, and read its memory and traffic."""

import contextlib
import importlib.util
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from dream_keras.common.errors import UserError
from dream_keras.common.text import reason
from dream_keras.config.experiment import Experiment
from dream_keras.preflight.chips import GIB, Topology
from dream_keras.preflight.findings import USABLE, Findings
from dream_keras.preflight.loops import Program, operations
from dream_keras.preflight.roofline import largest_batch

if TYPE_CHECKING:
    import jax

    from dream_keras.model.network import Network
    from dream_keras.runtime.steps_jax import JaxSteps

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "CUDA_VISIBLE_DEVICES": "-1",
}
"""With these JAX and TensorFlow compute on the CPU, and libtpu neither looks for a TPU nor minds
that another process compiles as well. The accelerator named here need not be the one that is
compiled for."""
EXTRAS = {"jax": "preflight", "tensorflow": "tensorflow,preflight"}
"""Packages needed to compile the step of each backend."""


def prepare_environment(backend: str = "jax") -> None:
    """Set what must be set before JAX and Keras are imported.

    Args:
        backend: Keras's, whose step is compiled.

    Raises:
        UserError: If JAX or Keras is in use already on other terms, or a package is missing.
    """
    if backend not in EXTRAS:
        raise UserError(f"backend: expected {' or '.join(EXTRAS)}, got {backend!r}")
    needed = dict.fromkeys((backend, "jax", "libtpu"))
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"preflight needs {' and '.join(missing)}: install what it takes to compile for a "
            f"TPU: pip install 'dream-keras[{EXTRAS[backend]}]'"
        )
    environment = {**ENVIRONMENT, "KERAS_BACKEND": backend}
    set_already = all(os.environ.get(name) == value for name, value in environment.items())
    if not set_already and {"keras", "jax"} & sys.modules.keys():
        raise UserError(
            "preflight sets how Keras and JAX start, but they are in use already: call it in a new "
            "process, as python -m dream_keras.preflight"
        )
    os.environ.update(environment)


def compile_step(experiment: Experiment, topology: Topology, batch: int) -> Findings:
    """Compile an experiment's whole training step for a TPU.

    ``prepare_environment`` must have been called before JAX was imported.

    Args:
        experiment: What would be trained.
        topology: The TPU.
        batch: Rows in a step, over all chips.

    Raises:
        UserError: If the batch does not divide by the chips, the topology does not exist, or the
            step cannot be compiled, with the compiler's reason.
    """
    import keras

    devices = find_devices(topology)
    if batch % len(devices):
        raise UserError(
            f"batch {batch} does not divide by the {len(devices)} devices of {topology}: choose a "
            f"multiple of {len(devices)} with --batch"
        )
    steps = build_steps(experiment)
    began = time.monotonic()
    with _compiler_errors(topology, batch), _as_on(devices):
        if keras.backend.backend() == "tensorflow":
            from dream_keras.preflight.tensorflow_step import compile_replica

            compiled = compile_replica(steps, devices[0], batch // len(devices))
        else:
            compiled = _compile_jax(steps, devices, batch)
    seconds = time.monotonic() - began
    weights = sum(int(np.prod(w.shape)) for w in steps.network.trainable_weights)
    return _findings(compiled, topology, batch, weights, len(devices), seconds)


def _compile_jax(steps: "JaxSteps", devices: "list[jax.Device]", batch: int) -> Any:
    """Compile the step of all devices: each has the weights and its part of the rows."""
    import jax
    import keras
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    mesh = Mesh(np.array(devices), ("rows",))
    everywhere, shared = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("rows",)))

    def like(variable: keras.Variable) -> jax.ShapeDtypeStruct:
        value = variable.value
        return jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=everywhere)

    state = tuple([like(v) for v in variables] for variables in steps._variables)
    rows = tuple(
        jax.ShapeDtypeStruct(shape, dtype, sharding=shared)
        for shape, dtype in (
            ((batch, steps.processor.length), np.uint8),
            ((batch,), np.uint8),
            ((batch,), np.uint8),
            ((batch, steps.network.tasks), np.float32),
            ((batch,), np.float32),
        )
    )
    step = jax.jit(steps.train_step, donate_argnums=0)
    return step.lower(state, rows).compile().runtime_executable()


def _findings(
    compiled: Any,
    topology: Topology,
    batch: int,
    weights: int,
    devices: int,
    seconds: float,
) -> Findings:
    """Read the memory, operations and traffic of a compiled step, per chip."""
    import keras

    # Of some TPUs the compiler sees the two cores of a chip as devices of their own.
    cores = devices // topology.chips
    memory = compiled.get_compiled_memory_stats()
    program = Program.read(compiled.hlo_modules()[0].to_string())
    loops = program.loops()
    state = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return Findings(
        backend=keras.backend.backend(),
        topology=topology,
        batch=batch,
        weights=weights,
        state_bytes=cores * (state - memory.alias_size_in_bytes),
        temporary_bytes=cores * memory.temp_size_in_bytes,
        program_bytes=cores * memory.generated_code_size_in_bytes,
        flops=cores * (operations(compiled) + program.repeated_flops()),
        moved_bytes=cores * program.bytes_moved(),
        loops=tuple(loop.trip_count for loop in loops),
        lower_bound=program.is_lower_bound,
        compile_seconds=seconds,
    )


def find_devices(topology: Topology) -> "list[jax.Device]":
    """Return stand-ins for a TPU's devices, to compile for.

    Raises:
        UserError: If there is no such TPU.
    """
    import jax
    from jax.experimental import topologies

    # A host has 2x2 chips or more, except where it has one; the compiler needs this as a setting.
    alone = {"chips_per_host_bounds": (1, 1, 1)} if topology.chips == 1 else {}
    try:
        return list(topologies.get_topology_desc(str(topology), "tpu", **alone).devices)
    except jax.errors.JaxRuntimeError as error:
        raise UserError(
            f"topology {topology}: {reason(error)}. Try {topology.chip.example}, or a grid "
            "whose sides double it."
        ) from None


def build_steps(experiment: Experiment) -> Any:
    """Build the network, the optimiser and the step that a run of the experiment would train.

    Raises:
        UserError: If its network has no static shapes.
    """
    from dream_keras.runs.folder import RunFolder
    from dream_keras.runs.run import Run
    from dream_keras.runtime.steps import Steps

    run = Run(RunFolder(Path()), experiment)
    network = run.untrained_network()
    check_shapes(network)
    trainer = experiment.make_trainer()
    total = trainer.epochs * (trainer.steps_per_epoch or 1)
    return Steps(network, run.processor, trainer.optimizer(total))


def check_shapes(network: "Network") -> None:
    """Refuse a network with an unknown dimension besides the batch.

    Raises:
        UserError: Names the first layer that has one.
    """
    import keras

    for layer in network.layers:
        for tensor in keras.tree.flatten(layer.output):
            if None in tensor.shape[1:]:
                raise UserError(
                    f"layer {layer.name} gives {tuple(tensor.shape)}, whose sides are not all "
                    "known beforehand; a TPU takes static shapes only. Give the layer a fixed "
                    "length"
                )


@contextlib.contextmanager
def _as_on(devices: "list[jax.Device]") -> Iterator[None]:
    """Let Keras, which asks JAX where it is and has other code for TPUs, find these devices."""
    import jax

    with (
        mock.patch.object(jax, "devices", return_value=devices),
        mock.patch.object(jax, "default_backend", return_value="tpu"),
    ):
        yield


@contextlib.contextmanager
def _compiler_errors(topology: Topology, batch: int) -> Iterator[None]:
    """Turn an error of the compiler into one clear message."""
    import jax

    try:
        yield
    except jax.errors.JAXTypeError as error:
        raise UserError(
            "the step depends on values or shapes that are known only when it is run, which a TPU "
            f"cannot take: {reason(error)}"
        ) from error
    except (jax.errors.JaxRuntimeError, NotImplementedError) as error:
        raise UserError(describe(str(error), topology, batch)) from None


def describe(message: str, topology: Topology, batch: int) -> str:
    """Explain why the compiler refused a step.

    Args:
        message: The compiler's.
        topology: The TPU.
        batch: Rows in a step.
    """
    needed = re.search(r"\(([\d.]+)G\) exceeds|Used ([\d.]+)G of", message)
    if "RESOURCE_EXHAUSTED" not in message or not needed:
        return f"the TPU compiler refuses the step for {topology}: {' '.join(message.split())}"
    gib = float(needed[1] or needed[2])
    limit = USABLE * topology.chip.memory
    fits = largest_batch(batch, 0.0, gib * GIB, limit, 8 * topology.chips)
    return (
        f"a batch of {batch} rows needs {gib:g} GiB on each chip of {topology}, which has "
        f"{limit / GIB:.2f}. Choose a smaller --batch (about {fits} would fit, memory taken as "
        "proportional to it), more chips, or runtime.precision=mixed_bfloat16"
    )
