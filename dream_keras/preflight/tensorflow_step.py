"""TensorFlow's training step, compiled for a TPU by JAX's compiler client."""

from typing import Any

import jax
import tensorflow as tf
from jax.interpreters import mlir
from jaxlib import xla_client

from dream_keras.common.errors import UserError
from dream_keras.common.text import reason
from dream_keras.runtime.steps_tensorflow import TensorFlowSteps


def compile_replica(steps: TensorFlowSteps, device: jax.Device, rows: int) -> Any:
    """Compile the step of one replica.

    TensorFlow makes a program of the very function that each replica of a strategy runs, and the
    TPU's compiler takes it from there. It is made as for a CPU: TensorFlow makes none for a TPU
    where there is none.

    Args:
        steps: A run's steps.
        device: A stand-in for one of the TPU's devices.
        rows: Rows of this replica.

    Raises:
        UserError: If the step has operations that XLA does not know, with their names; or if this
            TensorFlow is too old.
    """
    length = steps.processor.length
    batch = (
        tf.zeros((rows, length), tf.uint8),
        tf.zeros((rows,), tf.uint8),
        tf.zeros((rows,), tf.uint8),
        tf.zeros((rows, steps.network.tasks), tf.float32),
        tf.zeros((rows,), tf.float32),
    )
    function = tf.function(steps._train_replica, jit_compile=True)
    try:
        program = function.experimental_get_compiler_ir(*batch)("stablehlo_serialized")
    except (tf.errors.OpError, ValueError, TypeError, NotImplementedError) as error:
        if "Invalid stage" in str(error):
            raise UserError(
                f"TensorFlow {tf.__version__} cannot give the step's program as StableHLO. Install "
                "a newer one, such as 2.21, or compile for JAX: --backend jax"
            ) from error
        raise UserError(f"TensorFlow cannot compile the step: {reason(error)}") from error
    with mlir.make_ir_context():
        module = mlir.ir.Module.parse(program)
        _drop_copies(module.operation)
        options = xla_client.CompileOptions()
        return device.client.compile(module, xla_client.DeviceList((device,)), options)


def _drop_copies(operation: mlir.ir.Operation) -> None:
    """Let what TensorFlow copies into its variables be given as it is.

    The copies are of a dialect that the TPU's compiler does not take, and only say that a
    variable must not share memory with another.
    """
    for region in operation.regions:
        for block in region.blocks:
            for inner in list(block.operations):
                _drop_copies(inner.operation)
                if inner.operation.name == "mhlo.copy":
                    inner.operation.results[0].replace_all_uses_with(inner.operation.operands[0])
                    inner.operation.erase()
