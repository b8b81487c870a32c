"""Compile a training step for a TPU without having one: does it fit, and how fast could it be?"""

import argparse
import json
from pathlib import Path

from dream_keras.common.cli import add_plugin_argument, run
from dream_keras.preflight import compile_config


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
    findings, steps = compile_config(
        args.config, args.topology, args.batch, args.set, args.plugin, args.backend
    )
    from dream_keras.preflight.report import report

    print(report(findings, steps))
    if args.json:
        from dream_keras.common.files import write_text

        figures = {**findings.plain(), "steps": steps, "hours": findings.hours(steps)}
        write_text(Path(args.json), json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
