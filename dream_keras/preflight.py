"""Compile a training step for a TPU without having one: does it fit, and how fast could it be?"""

import argparse
import json
import logging
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dream_keras.cli import add_plugin_argument, load_backend, make_callable, run

if TYPE_CHECKING:
    from dream_keras.tpu.findings import Findings

log = logging.getLogger(__name__)

STEPS_PER_EPOCH = 1000
"""Where a trainer leaves them to the data; the DREAM models' number (Prix Fixe, autosome)."""


def parser() -> argparse.ArgumentParser:
    """Build the command's argument parser."""
    p = argparse.ArgumentParser(
        prog="python -m dream_keras.preflight",
        description=__doc__,
        epilog="Times are the least that the chip's peaks allow; a real step takes longer.",
    )
    p.add_argument("--config", required=True, help="YAML file or name of a built-in config")
    p.add_argument(
        "--topology",
        default="v5e:2x2",
        metavar="CHIP:GRID",
        help="the TPU, for example v5e:1x1, v5e:4x4, v6e:2x2, v5p:2x2x1 (default: v5e:2x2)",
    )
    p.add_argument(
        "--backend",
        choices=("jax", "tensorflow"),
        default="jax",
        help="whose step: that of all chips, or of one TensorFlow replica (default: jax)",
    )
    p.add_argument("--batch", type=int, help="rows in a step, all chips together (as the config)")
    p.add_argument(
        "--set",
        metavar="section.key=value",
        action="append",
        default=[],
        help="change one setting of the config; may be given several times",
    )
    add_plugin_argument(p)
    p.add_argument("--json", metavar="FILE", help="write the figures there as well")
    return p


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parser().parse_args(argv)
    findings, steps = _preflight(
        args.config, args.topology, args.batch, args.set, args.plugin, args.backend
    )
    from dream_keras.tpu.report import report

    print(report(findings, steps))
    if args.json:
        from dream_keras.files import write_text

        figures = {**findings.plain(), "steps": steps, "hours": findings.hours(steps)}
        write_text(Path(args.json), json.dumps(figures, indent=2) + "\n")


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
    return _preflight(config, topology, batch, overrides, plugins, backend)[0]


def _preflight(
    config: str | Path,
    topology: str,
    batch: int | None,
    overrides: Iterable[str],
    plugins: Collection[str | Path],
    backend: str,
) -> tuple["Findings", int]:
    """Return the findings, and the steps of the whole run."""
    from dream_keras.order import load_experiment
    from dream_keras.plugins import load_plugins
    from dream_keras.tpu.chips import Topology
    from dream_keras.tpu.compiling import compile_step, prepare_environment

    place = Topology.parse(topology)
    settings: dict[str, Any] = {} if batch is None else {"trainer.batch_size": batch}
    prepare_environment(backend)
    load_backend()
    load_plugins(plugins)
    experiment = load_experiment(config, overrides, settings, plugins)
    from dream_keras.training.run_folder import make_trainer

    trainer = make_trainer(experiment)
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

if __name__ == "__main__":
    run(main)
