"""Compile a training step for a TPU without having one: does it fit, and how fast could it be?"""

import logging
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dream_keras.common.cli import load_backend, make_callable

if TYPE_CHECKING:
    from dream_keras.preflight.findings import Findings

log = logging.getLogger(__name__)

STEPS_PER_EPOCH = 1000
"""Where a trainer leaves them to the data; the DREAM models' number (Prix Fixe, autosome)."""


def preflight(
    config: str | Path,
    topology: str = "v5e:2x2",
    batch: int | None = None,
    overrides: Iterable[str] = (),
    plugins: Collection[str | Path] = (),
    backend: Literal["jax", "tensorflow"] = "jax",
) -> "Findings":
    """Compile an experiment's training step for a TPU, on a machine that has none.

    Call it in a process that has not used Keras or JAX: both are started for this.

    Args:
        config: A YAML file or the name of a built-in config.
        topology: The TPU: chip and grid, such as ``"v5e:2x2"``.
        batch: Rows in a step, over all chips; the config's by default.
        overrides: Settings as ``"section.key=value"``.
        plugins: Files that put something on the menu.
        backend: Whose step: JAX's, of all chips, or that of one TensorFlow replica.

    Returns:
        Memory, operations, traffic and the least time of a step.

    Raises:
        UserError: If a package is missing, a setting is wrong, or the step cannot be compiled,
            with the compiler's reason.
    """
    return compile_config(config, topology, batch, overrides, plugins, backend)[0]


def compile_config(
    config: str | Path,
    topology: str,
    batch: int | None,
    overrides: Iterable[str],
    plugins: Collection[str | Path],
    backend: str,
) -> tuple["Findings", int]:
    """Return the findings, and the steps of the whole run."""
    from dream_keras.config.check import check_experiment
    from dream_keras.config.experiment import load_experiment
    from dream_keras.menu.plugins import listed, load_plugins
    from dream_keras.preflight.chips import Topology
    from dream_keras.preflight.compiling import compile_step, prepare_environment

    place = Topology.parse(topology)
    settings: dict[str, object] = {} if batch is None else {"trainer.batch_size": batch}
    overrides, plugins = list(overrides), listed(plugins)
    check_experiment(config, overrides, settings, plugins)
    prepare_environment(backend)
    load_backend()
    load_plugins(plugins)
    experiment = load_experiment(config, overrides, settings, plugins)

    trainer = experiment.make_trainer()
    log.info(
        "compiling the training step of %s for %s, %d rows; this takes a minute or two ...",
        Path(config).stem,
        place,
        trainer.batch_size,
    )
    findings = compile_step(experiment, place, trainer.batch_size)
    log.info("compiled in %.0f s", findings.compile_seconds)
    return findings, trainer.epochs * (trainer.steps_per_epoch or STEPS_PER_EPOCH)


make_callable(__name__, preflight)
